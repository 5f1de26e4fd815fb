"""How many batches wait in the broker, asked of the real one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis
from celery import Celery
from kombu import Exchange, Queue

from devstack.server import free_port
from migrations.adapters.broker.dispatch import CeleryDispatcher
from migrations.model.errors import CheckpointsUnavailable
from migrations.model.task_names import BATCH_QUEUES


@contextmanager
def dispatcher_on(redis_url: str) -> Iterator[CeleryDispatcher]:
    app = Celery("test", broker=redis_url)
    app.conf.task_queues = [Queue(name, Exchange("m"), name) for name in BATCH_QUEUES]
    app.conf.broker_transport_options = {"socket_connect_timeout": 1, "max_retries": 0}
    yield CeleryDispatcher(app)
    app.pool.force_close_all()


def test_the_line_is_as_long_as_the_batches_nobody_has_taken(redis_url: str) -> None:
    with dispatcher_on(redis_url) as dispatcher:
        assert 0 == dispatcher.waiting()
        with redis.Redis.from_url(redis_url) as client:
            client.rpush(BATCH_QUEUES[0], *("a batch's message" for _ in range(3)))
            client.rpush(BATCH_QUEUES[-1], "another migration's")
        assert 4 == dispatcher.waiting()


def test_a_broker_that_is_away_has_no_known_line() -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    with dispatcher_on(nowhere) as dispatcher, pytest.raises(CheckpointsUnavailable):
        dispatcher.waiting()
