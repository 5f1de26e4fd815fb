"""What goes around every request: its id, its line in the log, its security headers."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from flask import Flask, Response, g, request

from api.description import DOCUMENTATION_POLICY
from api.trail import remote_address

_log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
#: Of every answer; the documentation has another policy.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_OWN = ("Content-Security-Policy", "Cache-Control")
_PROBES = frozenset(
    {"health.healthz", "health.healthz_deep", "health.readyz", "monitoring.metrics"}
)


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_secure)
    app.after_request(_end)
    app.teardown_request(_forget)


def _begin() -> None:
    g.began = time.perf_counter()
    g.request_id = _request_id(request.headers.get("X-Request-ID", ""))
    # A thread of the server serves many requests: nothing of the last one may stay.
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _request_id(sent: str) -> str:
    """The caller's own id when it is safe to log, else a new one."""
    return sent if _REQUEST_ID.fullmatch(sent) else new_id()


def new_id() -> str:
    return uuid.uuid4().hex


def _secure(response: Response) -> Response:
    # A page that brings its style has a policy of its own, what may be kept a while says so.
    own = {name: response.headers[name] for name in _OWN if name in response.headers}
    response.headers.update({**SECURITY_HEADERS, **own})
    if request.path.startswith("/openapi"):
        response.headers["Content-Security-Policy"] = DOCUMENTATION_POLICY
    return response


def _end(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.request_id
    write = _log.debug if request.endpoint in _PROBES and response.status_code < 400 else _log.info
    write(
        "request_answered",
        method=request.method,
        path=request.path,
        remote=remote_address(),
        status=response.status_code,
        problem=g.get("problem"),
        duration_ms=round(1000 * (time.perf_counter() - g.began), 1),
    )
    return response


def _forget(_error: BaseException | None) -> None:
    structlog.contextvars.clear_contextvars()
