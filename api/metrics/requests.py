"""How this process has answered: a histogram by route, never by what a path names."""

from __future__ import annotations

import time

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Histogram

from api.metrics.catalogue import Metric

DURATIONS: Metric[None] = Metric(
    "reembed_api_request_duration_seconds",
    "histogram",
    "How long requests took that this process has answered, from when a thread took them up;"
    " `route` is the pattern of a path.",
    lambda _: [],
    {"method": None, "route": None, "status": None},
)
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: Where no route was found: a path that is ours is as many as there are routes, others are not.
NO_ROUTE = "none"


def register(app: Flask, registry: CollectorRegistry) -> None:
    durations = Histogram(
        DURATIONS.name, DURATIONS.says, DURATIONS.labels, buckets=_BUCKETS, registry=registry
    )

    def note(response: Response) -> Response:
        rule = request.url_rule
        method = request.method if rule is not None else NO_ROUTE
        series = durations.labels(
            method, rule.rule if rule is not None else NO_ROUTE, response.status_code
        )
        series.observe(time.perf_counter() - g.began)
        return response

    app.after_request(note)
