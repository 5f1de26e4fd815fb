"""A rate limiter for one process."""

from __future__ import annotations

from migrations.ports import Clock


class FakeRateLimiter:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._paused_until: dict[str, float] = {}

    def wait_seconds(self, provider: str) -> float:
        return max(0.0, self._paused_until.get(provider, 0.0) - self._clock.monotonic())

    def pause(self, provider: str, seconds: float) -> None:
        until = self._clock.monotonic() + max(0.0, seconds)
        self._paused_until[provider] = max(until, self._paused_until.get(provider, until))
