"""From figures to what prometheus-client writes, at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from api.metrics.catalogue import (
    LIMITS,
    SHARED,
    STATE_STORE_UP,
    WORKERS,
    Limits,
    Metric,
    Sample,
)
from migrations.model.figures import Figures
from migrations.model.workers import Crew

_FAMILIES: dict[str, Callable[..., GaugeMetricFamily | CounterMetricFamily]] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
}


class SharedCollector(Collector):
    """What all processes say alike, because it stands in the state store or in Redis."""

    def __init__(
        self,
        figures: Callable[[], Figures | None],
        crew: Callable[[], Crew | None],
        limits: Callable[[], Limits],
    ) -> None:
        self._figures = figures
        self._crew = crew
        self._limits = limits

    def collect(self) -> Iterable[Family]:
        figures = self._figures()
        yield _family(STATE_STORE_UP, [((), float(figures is not None))])
        if figures is not None:
            for metric in SHARED:
                yield _family(metric, metric.read(figures))
        crew = self._crew()
        if crew is not None:
            for of_workers in WORKERS:
                yield _family(of_workers, of_workers.read(crew))
        limits = self._limits()
        for one in LIMITS:
            yield _family(one, one.read(limits))

    def describe(self) -> Iterable[Family]:
        """So that registering asks PostgreSQL nothing."""
        return [_family(metric, []) for metric in (STATE_STORE_UP, *SHARED, *WORKERS, *LIMITS)]


def _family(metric: Metric[Any], samples: Iterable[Sample]) -> Family:
    family = _FAMILIES[metric.kind](metric.name, metric.says, labels=list(metric.labels))
    for values, number in samples:
        family.add_metric(values, number)
    return family
