"""From figures to what prometheus-client writes, at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from api.metrics.catalogue import (
    ALL,
    LIMITS,
    SHARED,
    SPENT,
    STATE_STORE_UP,
    WORKERS,
    Metric,
    Sample,
)
from migrations.diagnosis.monitored import Monitored

F = TypeVar("F")

_FAMILIES: dict[str, Callable[..., GaugeMetricFamily | CounterMetricFamily]] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
}


class SharedCollector(Collector):
    """What all processes say alike, because it stands in the state store or in Redis."""

    def __init__(self, monitored: Callable[[], Monitored]) -> None:
        self._monitored = monitored

    def collect(self) -> Iterable[Family]:
        found = self._monitored()
        figures = found.figures()
        yield _family(STATE_STORE_UP, [((), float(figures is not None))])
        yield from _told(SHARED, figures)
        yield from _told(SPENT, found.bill())
        yield from _told(WORKERS, found.crew())
        yield from _told(LIMITS, found.limits())

    def describe(self) -> Iterable[Family]:
        """So that registering asks PostgreSQL nothing."""
        return [_family(metric, []) for metric in ALL]


def _told(metrics: Iterable[Metric[F]], found: F | None) -> Iterable[Family]:
    """Nothing of what nobody knows now."""
    if found is not None:
        for metric in metrics:
            yield _family(metric, metric.read(found))


def _family(metric: Metric[Any], samples: Iterable[Sample]) -> Family:
    family = _FAMILIES[metric.kind](metric.name, metric.says, labels=list(metric.labels))
    for values, number in samples:
        family.add_metric(values, number)
    return family
