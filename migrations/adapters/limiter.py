"""The rate limiter all workers share, in Redis.

One key per provider holds the pause, and its time to live *is* the time to
wait: Redis' own clock counts it down, so hosts need not agree on the time. A
pause is only ever lengthened. Every pause is remembered in the process as well,
and that memory is what counts while Redis does not answer: a limiter must never
stop work.
"""

from __future__ import annotations

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from migrations.adapters.clock import SystemClock
from migrations.ports import Clock

#: How long a call may be held up by a Redis that does not answer.
TIMEOUT_SECONDS = 1.0

#: How long Redis is left alone after it did not answer, so that not every batch waits for it.
LEAVE_ALONE_SECONDS = 5.0

#: KEYS: the pause. ARGV: milliseconds.
LENGTHEN = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
end
"""

log = structlog.get_logger(__name__)


class RedisRateLimiter:
    """Pauses per provider. Never raises for a Redis that is away."""

    def __init__(self, redis_url: str, *, clock: Clock | None = None) -> None:
        self._redis: Redis = Redis.from_url(
            redis_url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=30,
        )
        self._lengthen = self._redis.register_script(LENGTHEN)
        self._clock = clock or SystemClock()
        self._paused_until: dict[str, float] = {}
        self._ask_again_at = float("-inf")

    def wait_seconds(self, provider: str) -> float:
        """Seconds until the provider may be called, 0 when it may be now."""
        here = self._paused_until.get(provider, 0.0) - self._clock.monotonic()
        return max(0.0, here, self._shared_wait_seconds(provider))

    def pause(self, provider: str, seconds: float) -> None:
        """The provider asked everybody to wait; a longer pause in force stays."""
        if seconds <= 0:
            return
        until = self._clock.monotonic() + seconds
        self._paused_until[provider] = max(until, self._paused_until.get(provider, until))
        if self._redis_is_worth_asking():
            try:
                self._lengthen(keys=[_key(provider)], args=[max(1, round(seconds * 1000))])
            except RedisError as error:
                self._leave_redis_alone(error)

    def _shared_wait_seconds(self, provider: str) -> float:
        if not self._redis_is_worth_asking():
            return 0.0
        try:
            milliseconds = int(self._redis.pttl(_key(provider)))
        except RedisError as error:
            self._leave_redis_alone(error)
            return 0.0
        return milliseconds / 1000  # negative when there is no pause

    def _redis_is_worth_asking(self) -> bool:
        return self._clock.monotonic() >= self._ask_again_at

    def _leave_redis_alone(self, error: RedisError) -> None:
        self._ask_again_at = self._clock.monotonic() + LEAVE_ALONE_SECONDS
        log.warning("limiter_works_alone", error=str(error))


def _key(provider: str) -> str:
    return f"reembed:{{limiter:{provider}}}:paused"
