"""Where the browser that asks finds Flower."""

from __future__ import annotations

from flask import request

from api.services import services

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


def flower_address() -> str | None:
    """None for who is elsewhere, unless it was said how they reach it."""
    settings = services().settings
    if settings.flower_url:
        return settings.flower_url
    is_here = request.host.rpartition(":")[0] in _LOOPBACK or request.host in _LOOPBACK
    return f"http://127.0.0.1:{settings.flower_port}" if is_here else None
