"""How a worker loses its connections to the broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kombu import Connection
from kombu.transport import redis

from tests.services.databases import unique_name
from worker import broker


@pytest.fixture
def forgiving() -> Iterator[None]:
    before = redis.Transport.Channel
    broker.install()
    yield
    redis.Transport.Channel = before


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


def _with_one_in_hand(connection: Connection, queue: str) -> redis.Channel:
    with connection.SimpleQueue(queue) as simple:
        simple.put({"work": 1})
    channel = connection.default_channel
    assert channel.basic_get(queue) is not None
    return channel
