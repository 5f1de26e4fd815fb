"""How a worker loses its connections to the broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection
from kombu.transport import redis
from redis import Redis, exceptions

from tests.contract.volatile_redis import VolatileRedis, volatile_redis
from tests.services.databases import unique_name
from worker import broker


@pytest.fixture
def forgiving() -> Iterator[None]:
    before = redis.Transport.Channel
    broker.install()
    yield
    redis.Transport.Channel = before


@pytest.fixture
def volatile(tmp_path: Path) -> Iterator[VolatileRedis]:
    with volatile_redis(tmp_path) as server:
        yield server


@pytest.mark.usefixtures("forgiving")
def test_a_channel_whose_connection_was_given_up_closes_with_a_message_in_hand(
    redis_url: str,
) -> None:
    connection = Connection(redis_url)
    channel = _with_one_in_hand(connection, unique_name("queue"))
    channel.connection.client = None  # what Celery's collecting leaves of a lost connection
    channel.close()
    with Connection(redis_url) as again:
        client = again.default_channel.client
        assert 1 == client.hlen("unacked"), "what was in hand is known and comes back in time"


@pytest.mark.usefixtures("forgiving")
@pytest.mark.parametrize("end", ["basic_ack", "basic_reject"])
def test_work_that_ends_after_its_connection_is_acknowledged_to_nobody(
    redis_url: str, end: str
) -> None:
    connection = Connection(redis_url)
    queue = unique_name("queue")
    channel = _with_one_in_hand(connection, queue)
    (tag,) = channel.qos._delivered
    channel.connection.client = None
    channel.close()
    channel.connection = None
    getattr(channel, end)(tag, True)  # all before it, or back into the queue


@pytest.mark.usefixtures("forgiving")
def test_an_orderly_end_gives_messages_back(redis_url: str) -> None:
    queue = unique_name("queue")
    with Connection(redis_url) as connection:
        _with_one_in_hand(connection, queue)
    with Connection(redis_url) as again:
        assert again.default_channel.basic_get(queue, no_ack=True) is not None


@pytest.mark.usefixtures("forgiving")
def test_a_redis_that_takes_no_writes_ends_no_worker(
    volatile: VolatileRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "REFUSED_SECONDS", 0)
    with Connection(volatile.url) as connection, Redis.from_url(volatile.url) as client:
        channel = _with_one_in_hand(connection, "queue")
        (tag,) = channel.qos._delivered
        channel.basic_consume("queue", no_ack=False, callback=print, consumer_tag="t")
        client.replicaof("127.0.0.1", "1")
        channel.client.connection = channel.client.connection_pool.get_connection()
        channel._brpop_start()
        with pytest.raises(Empty):
            channel._brpop_read()
        channel.basic_ack(tag)
        client.replicaof("no", "one")
        assert 1 == client.hlen("unacked"), "it comes back in time"


@pytest.mark.usefixtures("forgiving")
@pytest.mark.parametrize(
    "error", [exceptions.TimeoutError, exceptions.ConnectionError, exceptions.ResponseError]
)
def test_a_message_that_cannot_be_acknowledged_leaves_its_place_to_another(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, error: type[exceptions.RedisError]
) -> None:
    """As when Redis stands still for longer than an answer is waited for, and goes on."""

    def fails(*given: Any) -> None:
        raise error

    with Connection(redis_url) as connection:
        channel = _with_one_in_hand(connection, unique_name("queue"))
        channel.basic_qos(0, 1, False)
        (tag,) = channel.qos._delivered
        assert not channel.qos.can_consume()
        with monkeypatch.context() as patched:
            patched.setattr(redis.QoS, "_remove_from_indices", fails)
            with suppress(exceptions.TimeoutError, exceptions.ConnectionError):
                channel.basic_ack(tag)
        assert channel.qos.can_consume()


def _with_one_in_hand(connection: Connection, queue: str) -> redis.Channel:
    with connection.SimpleQueue(queue) as simple:
        simple.put({"work": 1})
    channel = connection.default_channel
    assert channel.basic_get(queue) is not None
    return channel
