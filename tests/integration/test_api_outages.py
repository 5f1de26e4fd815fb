"""What the API answers while a service behind it takes connections and says nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api import create_app
from devstack.server import LOOPBACK
from migrations.bootstrap import build_system
from migrations.bots.tokens import Access
from migrations.settings import Settings
from tests.contract.state_store_world import World


class Api:
    """On servers of which Redis and Milvus are frozen; a bot can go back and migrates again."""

    def __init__(self, database_url: str, silent_port: int) -> None:
        settings = Settings(
            _env_file=None,
            database_url=database_url,
            redis_url=f"redis://{LOOPBACK}:{silent_port}/0",
            milvus_uri=f"http://{LOOPBACK}:{silent_port}",
            milvus_timeout_seconds=5,
        )
        assembly = build_system(settings)
        store = assembly.services.store
        world = World(store, pass_time=lambda _: None, raise_generation=lambda _: None)
        world.complete(world.start())
        self.bot = store.bot("bot")
        self.migration = world.start(self.bot)
        self._token = Access(store).issue("t", self.bot.owner)[0]
        self._client = create_app(assembly).test_client()

    def get(self, path: str) -> TestResponse:
        return self._client.get(path, headers={"Authorization": f"Bearer {self._token}"})


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with socket.create_server((LOOPBACK, 0)) as frozen:
        yield Api(database_url, frozen.getsockname()[1])


def test_the_deep_probe_says_who_is_silent_and_the_api_stays_ready(api: Api) -> None:
    silent = "No answer within 1 s."
    answer: Any = api.get("/healthz/deep")
    assert (503, {"postgresql": None, "redis": silent, "milvus": silent}) == (
        answer.status_code,
        answer.json["dependencies"],
    )
    assert 200 == api.get("/readyz").status_code


def test_a_bots_status_is_answered_without_milvus(api: Api) -> None:
    answer: Any = api.get("/bots/bot/embeddings/migration-status")
    assert (200, str(api.migration.id)) == (
        answer.status_code,
        answer.json["migration"]["migration_id"],
    )
    (missing,) = answer.json["not_asked"]
    assert f"{api.bot.previous.collection!r} is still there: No answer" in missing


def test_progress_is_answered_without_redis(api: Api) -> None:
    answer: Any = api.get(f"/embeddings/migration/{api.migration.id}/progress")
    assert (200, "pending") == (answer.status_code, answer.json["status"])
    assert {"redis-away", "milvus-away"} <= {one["code"] for one in answer.json["findings"]}
