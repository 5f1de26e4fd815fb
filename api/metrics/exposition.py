"""The registry of one application, and its text."""

from __future__ import annotations

from typing import cast

from flask import Flask
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from api.metrics import requests
from api.metrics.collector import SharedCollector
from api.services import services_of

_EXTENSION = "reembed-metrics"


def register(app: Flask) -> None:
    """A registry of its own: none is shared by applications in one process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    requests.register(app, registry)
    registry.register(SharedCollector(lambda: services_of(app).monitored))
    app.extensions[_EXTENSION] = registry


def written(app: Flask, accept: str) -> tuple[bytes, str]:
    """What is told now, in the format that ``accept`` asks for, and its content type."""
    registry = cast("CollectorRegistry", app.extensions[_EXTENSION])
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
