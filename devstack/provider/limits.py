"""Requests and tokens per minute, enforced and announced as OpenAI does."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Bucket:
    """A token bucket: ``per_minute`` flows in evenly, at most ``burst_seconds`` worth is held."""

    per_minute: float
    burst_seconds: float
    clock: Callable[[], float] = time.monotonic
    _level: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._level, self._at = self.capacity, self.clock()

    @property
    def capacity(self) -> float:
        return self.per_minute * self.burst_seconds / 60

    @property
    def per_second(self) -> float:
        return self.per_minute / 60

    def level(self) -> float:
        now = self.clock()
        self._level = min(self.capacity, self._level + (now - self._at) * self.per_second)
        self._at = now
        return self._level

    def wait_for(self, amount: float) -> float:
        """Seconds until ``amount`` is there; a request above capacity waits for a full bucket."""
        return max(0.0, (min(amount, self.capacity) - self.level()) / self.per_second)

    def take(self, amount: float) -> None:
        self._level = self.level() - amount

    def seconds_to_full(self) -> float:
        return max(0.0, (self.capacity - self.level()) / self.per_second)


class Limits:
    """Both limits of one provider; a request passes both or takes from neither."""

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        *,
        burst_seconds: float = 60,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        wanted = {"requests": requests_per_minute, "tokens": tokens_per_minute}
        self._buckets = {
            name: Bucket(rate, burst_seconds, clock) for name, rate in wanted.items() if rate
        }
        self._lock = threading.Lock()

    def take(self, tokens: int) -> tuple[float, dict[str, str]]:
        """Seconds to wait (0 when admitted) and the headers that announce where we stand."""
        amounts = {"requests": 1, "tokens": tokens}
        with self._lock:
            waits = [bucket.wait_for(amounts[name]) for name, bucket in self._buckets.items()]
            wait = max(waits, default=0.0)
            if wait == 0:
                for name, bucket in self._buckets.items():
                    bucket.take(amounts[name])
            return wait, self._headers(wait)

    def _headers(self, wait: float) -> dict[str, str]:
        headers: dict[str, str] = {}
        for name, bucket in self._buckets.items():
            headers[f"x-ratelimit-limit-{name}"] = str(int(bucket.per_minute))
            headers[f"x-ratelimit-remaining-{name}"] = str(max(0, int(bucket.level())))
            headers[f"x-ratelimit-reset-{name}"] = f"{bucket.seconds_to_full() * 1000:.0f}ms"
        return headers | (retry_headers(wait) if wait else {})


def retry_headers(seconds: float) -> dict[str, str]:
    """Both forms OpenAI sends; the one in whole seconds is rounded up."""
    return {"retry-after-ms": f"{seconds * 1000:.0f}", "retry-after": str(math.ceil(seconds))}
