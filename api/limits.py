"""How many requests a minute one token may send: counted in Redis, by all processes together.

A Redis that is away is no reason to answer nobody: each process counts for itself then,
and looks for Redis again after one second, two, four and so on up to half a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Blueprint, Flask, Response, request
from flask_limiter import Limiter, RateLimitExceeded
from limits.errors import StorageError

from api import openai_errors, problems, waiting
from api.auth import bearer_token
from api.problems import TooManyRequests
from api.services import services
from api.trail import remote_address
from migrations.bots.tokens import digest
from migrations.model.errors import NotAuthenticated

#: Where one process alone counts, for tests.
IN_MEMORY = "memory://"
_PERIOD_SECONDS = 60
#: What a request may lose by a Redis that does not answer. One that is slow for a moment is
#: taken for away, which costs nothing but a count.
_SILENCE_SECONDS = 0.2
_IN_REDIS: dict[str, Any] = {
    "socket_timeout": _SILENCE_SECONDS,
    "socket_connect_timeout": _SILENCE_SECONDS,
    "wrap_exceptions": True,
}


def register(app: Flask, counters: str, counted: Iterable[Blueprint]) -> Limiter:
    """Count requests to these blueprints in the Redis at the URL ``counters``, or IN_MEMORY.

    Nothing is connected before the first of them. Others may be counted by the answer, too.
    """
    limiter = Limiter(
        _who,
        storage_uri=counters.replace("unix://", "redis+unix://", 1),
        storage_options={} if counters == IN_MEMORY else _IN_REDIS,
        strategy="fixed-window",
        in_memory_fallback_enabled=True,
        # Of requests that lose Redis at the same moment the first falls back, and the error of
        # the others would be an answer of 500.
        swallow_errors=True,
        key_prefix="reembed",
    )
    limiter.init_app(app)
    for blueprint in counted:
        limit_of_tokens(limiter, blueprint, _who)

    def refuse(_: RateLimitExceeded) -> Response:
        error = TooManyRequests(retry_after_seconds=_seconds_left(limiter))
        speaks_openai = request.blueprint == openai_errors.BLUEPRINT
        return openai_errors.answer(error) if speaks_openai else problems.answer(error)

    app.register_error_handler(RateLimitExceeded, refuse)
    return limiter


def limit_of_tokens(limiter: Limiter, blueprint: Blueprint, who: Callable[[], str | None]) -> None:
    """One count for all that a token asks, whichever way it comes; ``who`` is its digest."""
    one_count_for_all = limiter.shared_limit(
        _limit, "api", key_func=lambda: who() or remote_address(), exempt_when=_is_unlimited
    )
    one_count_for_all(blueprint)


def limit_of_posts(
    limiter: Limiter, blueprint: Blueprint, most_a_minute: Callable[[], int]
) -> None:
    """Of what one address may send to the blueprint; 0 is any."""
    limiter.limit(
        lambda: f"{most_a_minute()} per {_PERIOD_SECONDS} second",
        key_func=remote_address,
        methods=["POST"],
        exempt_when=lambda: not most_a_minute(),
    )(blueprint)


def _who() -> str:
    """The token, known or not; where none was sent, the address."""
    try:
        return digest(bearer_token())
    except NotAuthenticated:
        return remote_address()


def _limit() -> str:
    return f"{services().settings.requests_per_minute} per {_PERIOD_SECONDS} second"


def _is_unlimited() -> bool:
    # One that has waited was counted when it came.
    return waiting.is_run_again() or not services().settings.requests_per_minute


def _seconds_left(limiter: Limiter) -> float:
    breached = limiter.current_limit
    try:
        left = breached.reset_at - time.time() if breached else _PERIOD_SECONDS
    except StorageError:
        left = _PERIOD_SECONDS
    return min(max(1, left), _PERIOD_SECONDS)
