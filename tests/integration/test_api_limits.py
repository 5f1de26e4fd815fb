"""Requests counted in a real Redis: by all processes together, and without it by each alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flask.testing import FlaskClient

from api import create_app
from tests.contract.volatile_redis import volatile_redis
from tests.fakes.api_client import ACME_TOKEN, Api


def process(url: str) -> FlaskClient:
    """What another process of the API is: the same services, counting in the same Redis."""
    return create_app(Api(requests_per_minute=3).services, counters=url).test_client()


def status(client: FlaskClient) -> int:
    return client.get("/bots", headers={"Authorization": f"Bearer {ACME_TOKEN}"}).status_code


def test_two_processes_count_a_token_together(redis_url: str) -> None:
    one, other = process(redis_url), process(redis_url)
    assert [200, 200, 200] == [status(client) for client in (one, other, one)]
    assert [429, 429] == [status(client) for client in (one, other)]


def test_a_redis_that_hangs_costs_no_answer_and_has_forgotten_nothing(tmp_path: Path) -> None:
    with volatile_redis(tmp_path) as redis:
        client, other = process(redis.url), process(redis.url)
        assert 200 == status(client)
        with redis.snapshot_of():
            assert [200, 200, 200, 429] == [status(client) for _ in range(4)]
        # A process that has not lost sight of it: what was counted counts, and perhaps also
        # the one request that reached Redis while it hung.
        first, _, third = (status(other) for _ in range(3))
        assert (200, 429) == (first, third)


def test_requests_that_lose_redis_together_are_all_answered(tmp_path: Path) -> None:
    with volatile_redis(tmp_path) as redis, ThreadPoolExecutor(8) as threads:
        app = create_app(Api(requests_per_minute=30).services, counters=redis.url)
        assert 200 == status(app.test_client())
        with redis.snapshot_of():
            together = [threads.submit(status, app.test_client()) for _ in range(8)]
            assert {200} == {one.result() for one in together}


def test_a_redis_that_dies_costs_no_answer_and_leaves_a_limit(tmp_path: Path) -> None:
    with volatile_redis(tmp_path) as redis:
        client = process(redis.url)
        assert 200 == status(client)
        redis.stop()
        # Counted anew by this process alone: nobody knows what Redis had counted.
        assert [200, 200, 200, 429] == [status(client) for _ in range(4)]
