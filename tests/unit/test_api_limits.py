"""How many requests a minute a token may send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from api import create_app
from api.waiting import ENVIRON_KEY, Chance, WaitingRoom
from devstack.server import free_port
from tests.fakes.api_client import ACME_TOKEN, Api


@pytest.fixture
def client() -> Callable[..., FlaskClient]:
    """Of an application of its own, so that nobody else is counted."""

    def make(requests_per_minute: int, **counters: str) -> FlaskClient:
        api = Api(requests_per_minute=requests_per_minute)
        return create_app(api.services, **counters).test_client()

    return make


def statuses(client: FlaskClient, times: int, token: str | None = ACME_TOKEN) -> list[int]:
    return [ask(client, token).status_code for _ in range(times)]


def ask(client: FlaskClient, token: str | None = ACME_TOKEN, path: str = "/bots") -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return client.get(path, headers=headers)


def test_a_token_that_asks_too_often_is_told_when_to_go_on(
    client: Callable[..., FlaskClient],
) -> None:
    asked = client(3)
    assert [200, 200, 200, 429] == statuses(asked, 4)
    refused = ask(asked)
    assert ("/problems/too-many-requests", 429) == (refused.json["type"], refused.json["status"])
    assert "application/problem+json" == refused.content_type
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["X-Request-ID"] == refused.json["request_id"]


def test_all_routes_of_a_token_are_counted_together(client: Callable[..., FlaskClient]) -> None:
    asked = client(2)
    paths = ["/bots", "/bots/support", "/embeddings/migrations/active"]
    assert [200, 200, 429] == [ask(asked, path=path).status_code for path in paths]


def test_no_token_is_counted_with_another(client: Callable[..., FlaskClient]) -> None:
    asked = client(1)
    everybody = (ACME_TOKEN, "rival-token", "admin-token", "wrong-token", None)
    first = [ask(asked, token).status_code for token in everybody]
    assert [200, 200, 200, 401, 401] == first
    assert {429} == {ask(asked, token).status_code for token in everybody}


@pytest.mark.parametrize(
    "path", ["/healthz", "/healthz/deep", "/readyz", "/problems/not-ready", "/openapi/"]
)
def test_what_asks_for_no_token_is_not_counted(
    client: Callable[..., FlaskClient], path: str
) -> None:
    asked = client(1)
    assert 429 not in {ask(asked, ACME_TOKEN, path).status_code for _ in range(4)}
    assert [200] == statuses(asked, 1)


def test_no_limit_is_a_limit_of_nothing(client: Callable[..., FlaskClient]) -> None:
    assert {200} == set(statuses(client(0), 20))


def test_a_redis_that_is_away_costs_nobody_an_answer_and_lifts_no_limit(
    client: Callable[..., FlaskClient],
) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    assert [200, 200, 429] == statuses(client(2, counters=nobody), 3)


def test_a_request_that_has_waited_is_counted_once(client: Callable[..., FlaskClient]) -> None:
    asked, chance = client(1), Chance(WaitingRoom(lambda bot_ids: {}, places=1))
    assert 200 == ask(asked).status_code
    assert chance.is_left(1), "it waits"
    asked.environ_base[ENVIRON_KEY] = chance
    assert 200 == ask(asked).status_code
    del asked.environ_base[ENVIRON_KEY]
    assert 429 == ask(asked).status_code
