"""A span for each request, within the caller's where it says which that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, Response, g, request

from migrations.process import tracing

_SPAN = "reembed.span"
WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


def register(app: Flask) -> None:
    app.wsgi_app = _traced(app.wsgi_app)  # type: ignore[method-assign, assignment] # as Flask documents
    app.after_request(_describe)


def _traced(application: WsgiApp) -> WsgiApp:
    def traced(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        parent = environ.get("HTTP_TRACEPARENT")
        with tracing.span("request", parent=parent, kind="server") as span:
            environ[_SPAN] = span
            return application(environ, start_response)

    return traced


def _describe(response: Response) -> Response:
    """By the pattern of the route, as in the metrics."""
    span, rule = request.environ.get(_SPAN), request.url_rule
    if span is not None:
        route = rule.rule if rule is not None else "none"
        span.name(f"{request.method} {route}")
        span.note(route=route, status=response.status_code, request_id=g.request_id)
        if response.status_code >= 500:
            span.fails(str(response.status_code))
    return response
