"""Results of tasks that nobody waits for, on the real Redis."""

from __future__ import annotations

import gc
from uuid import uuid4

import pytest
import redis
from celery import Celery
from celery.result import AsyncResult

from migrations.adapters.dispatch import CeleryDispatcher
from migrations.adapters.results import UnawaitedResults
from migrations.states import Phase

MIGRATION = str(uuid4())
MESSAGES = (
    {"kind": "run", "start": Phase.VALIDATION},
    {"kind": "wave", "number": 0, "place": 0, "batches": [(0, None, "a"), (1, "a", "b")]},
)


def app_on(redis_url: str) -> Celery:
    app = Celery("test", set_as_current=False)
    backend = f"{UnawaitedResults.__module__}.{UnawaitedResults.__name__}+{redis_url}"
    app.config_from_object({"broker_url": redis_url, "result_backend": backend})
    return app


def subscriptions_of(client: redis.Redis) -> int:
    """How often anybody has subscribed to anything; a subscription may be over at once."""
    return int(client.info("commandstats").get("cmdstat_subscribe", {}).get("calls", 0))


def results_kept() -> int:
    gc.collect()
    return sum(type(one) is AsyncResult for one in gc.get_objects())


def test_whoever_sends_tasks_neither_listens_for_their_results_nor_keeps_them(
    redis_url: str,
) -> None:
    with app_on(redis_url) as app, redis.Redis.from_url(redis_url) as client:
        before = (subscriptions_of(client), results_kept())
        for message in MESSAGES:
            CeleryDispatcher(app).send({"migration_id": MIGRATION, "epoch": 1, **message})
        assert before == (subscriptions_of(client), results_kept())


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # Celery's own call
def test_a_result_that_is_there_can_be_looked_up(redis_url: str) -> None:
    with app_on(redis_url) as app:
        app.backend.store_result("a task", {"chunks": 3}, "SUCCESS")
        assert {"chunks": 3} == app.AsyncResult("a task").get(timeout=5)
