"""The rate limiter without its Redis: it works alone and never stops work."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.adapters.limiter.limiter import RedisRateLimiter
from tests.fakes.clock import FakeClock


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    return f"unix://{tmp_path}/no-redis-listens-here"


def asked(limiter: RedisRateLimiter, provider: str) -> float:
    """Seconds that a call has to wait."""
    return limiter.acquire(limiter.ticket(provider, 1))


def test_without_redis_nobody_waits_who_was_not_told_to(nowhere: str) -> None:
    assert 0 == asked(RedisRateLimiter(nowhere, clock=FakeClock()), "openai")


def test_without_redis_a_process_keeps_to_the_pauses_it_knows(nowhere: str) -> None:
    clock = FakeClock()
    limiter = RedisRateLimiter(nowhere, clock=clock)

    limiter.pause("openai", 60)
    limiter.pause("openai", 10)
    waits = [asked(limiter, "openai")]
    clock.sleep(20)
    waits.append(asked(limiter, "openai"))
    clock.sleep(45)
    waits.append(asked(limiter, "openai"))

    assert [60, 40, 0] == waits
    assert 0 == asked(limiter, "voyage")
