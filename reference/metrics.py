"""docs/reference/metrics.md: what ``GET /metrics`` tells."""

from __future__ import annotations

from typing import Any

from api.metrics.catalogue import ALL, Metric
from api.metrics.requests import DURATIONS

_HEAD = """\
# Metrics

What `GET /metrics` tells; [monitoring](../operations/monitoring.md) says how it is scraped.

All API processes say the same of the state store and of the limiter in Redis, so take \
the maximum over them, not the sum.
No label holds an id, an owner or a text. Where the values of a label are not listed they are \
codes, or the users' names of providers and models.

| name | kind | what it says | labels |
|---|---|---|---|
"""
_OF_ONE_PROCESS = """
## Of one process

These are of the process that was scraped; add them up.

| name | kind | what it says | labels |
|---|---|---|---|
"""
_TAIL = """
`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and the others \
that Prometheus' client library knows of a process are told as well.
"""


def page() -> str:
    """The page."""
    shared = "".join(map(_row, ALL))
    return f"{_HEAD}{shared}{_OF_ONE_PROCESS}{_row(DURATIONS)}{_TAIL}"


def _row(metric: Metric[Any]) -> str:
    labels = "; ".join(_label(name, values) for name, values in metric.labels.items())
    return f"| `{metric.name}` | {metric.kind} | {metric.says} | {labels} |\n"


def _label(name: str, values: tuple[str, ...] | None) -> str:
    listed = f": {', '.join(values)}" if values else ""
    return f"`{name}`{listed}"
