"""Results of tasks that nobody waits for, on the real Redis."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from runpy import run_path
from uuid import uuid4

import pytest
import redis
from celery import Celery
from celery.result import AsyncResult

from devstack.server import PROJECT
from migrations.adapters.broker.dispatch import CeleryDispatcher
from migrations.model.states import Phase

MIGRATION = str(uuid4())
MESSAGES = (
    {"kind": "run", "start": Phase.VALIDATION},
    {"kind": "wave", "number": 0, "place": 0, "batches": [(0, None, "a"), (1, "a", "b")]},
)


@pytest.fixture
def app(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """Configured as every process of ours is."""
    monkeypatch.setenv("REEMBED_REDIS_URL", redis_url)
    monkeypatch.setenv("REEMBED_DATABASE_URL", "postgresql+psycopg2://nowhere/nothing")
    monkeypatch.setenv("REEMBED_MILVUS_URI", "http://nowhere")
    with Celery("test", set_as_current=False) as app:
        app.config_from_object(run_path(str(PROJECT / "celeryconfig.py")))
        yield app


def subscriptions_of(client: redis.Redis) -> int:
    """How often anybody has subscribed to anything; a subscription may be over at once."""
    return int(client.info("commandstats").get("cmdstat_subscribe", {}).get("calls", 0))


def results_kept() -> int:
    gc.collect()
    return sum(type(one) is AsyncResult for one in gc.get_objects())


def test_whoever_sends_tasks_neither_listens_for_their_results_nor_keeps_them(
    app: Celery, redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        before = (subscriptions_of(client), results_kept())
        for message in MESSAGES:
            CeleryDispatcher(app).send({"migration_id": MIGRATION, "epoch": 1, **message})
        assert before == (subscriptions_of(client), results_kept())


@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # Celery's own call
def test_a_result_that_is_there_can_be_looked_up(app: Celery) -> None:
    app.backend.store_result("a task", {"chunks": 3}, "SUCCESS")
    assert {"chunks": 3} == app.AsyncResult("a task").get(timeout=5)
