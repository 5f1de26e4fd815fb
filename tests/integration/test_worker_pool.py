"""A worker goes on taking messages whatever becomes of their ends."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from celery import Celery
from celery.backends.redis import RedisBackend
from celery.concurrency import get_implementation
from celery.contrib.testing.worker import start_worker
from celery.signals import (
    setup_logging,
    worker_init,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from redis import Redis
from redis.exceptions import ResponseError

from tests.services.databases import unique_name
from worker import pool

LONG = 20


class Refusing(RedisBackend):  # type: ignore[misc]
    """As of a Redis that takes no writes: neither that a task is done nor that it has failed."""

    def mark_as_done(self, *given: Any, **more: Any) -> None:
        raise ResponseError("MISCONF")

    mark_as_failure = mark_as_done


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has nothing of ours but the threads: no logs, no watchdog."""
    for signal in (setup_logging, worker_init, worker_ready, worker_shutting_down, worker_shutdown):
        monkeypatch.setattr(signal, "receivers", [])


@pytest.mark.usefixtures("alone")
def test_a_task_whose_end_is_not_recorded_leaves_its_place_to_the_next(redis_url: str) -> None:
    queue, done = unique_name("queue"), threading.Semaphore(0)
    settings = {
        "broker_url": redis_url,
        "result_backend": f"{__name__}:Refusing+{redis_url}",
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        "task_default_queue": queue,
    }
    assert get_implementation("threads") is pool.TaskPool, "as of --pool threads"
    app = Celery(config_source=settings, set_as_current=False)

    @app.task
    def work() -> None:
        done.release()

    more_than_it_may_have_in_hand = 3
    with start_worker(
        app, pool="threads", concurrency=1, perform_ping_check=False, shutdown_timeout=LONG
    ):
        for _ in range(more_than_it_may_have_in_hand):
            work.delay()
        for _ in range(more_than_it_may_have_in_hand):
            assert done.acquire(timeout=LONG)
    with Redis.from_url(redis_url) as client:
        assert 0 == client.hlen("unacked")
