"""Wrong input on each route, and the problem document that says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from devstack.client import Answer, ApiClient
from migrations.model.bots import Role
from tests.harness import rows
from tests.harness.bots import BotHandle, expect
from tests.harness.plain_http import fetch
from tests.harness.world import KEYLESS, LARGE, SMALL, World
from tests.services.databases import unique_name


@pytest.fixture(scope="module")
def bot(running_world: World) -> Iterator[BotHandle]:
    """Nothing here changes it."""
    bot = running_world.seed_bot(6)
    yield bot
    running_world.assert_all_well(bot)


def assert_refused(answer: Answer, status: int, code: str, *words: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.body
    assert (status, f"/problems/{code}") == (answer.status, body.get("type")), body
    assert "application/problem+json" == answer.headers["Content-Type"]
    assert body["detail"].endswith((".", "?")), "a sentence"
    told = json.dumps(body)
    assert [] == [word for word in words if word not in told], body
    return body


@dataclass(frozen=True)
class Wrong:
    """A target that cannot be, and how that is answered."""

    wish: dict[str, Any]
    status: int
    code: str
    word: str


TARGETS = {
    "unknown provider": Wrong({"provider": "nobody"}, 422, "unknown-provider", "nobody"),
    "unknown model": Wrong({"model": "nonesuch"}, 422, "unknown-model", "nonesuch"),
    "missing key": Wrong({"provider": KEYLESS}, 422, "provider-key-missing", "KEY_THAT_NOBODY_SET"),
    "wrong dimension": Wrong({"dimension": 31}, 422, "invalid-configuration", "32"),
    "dimension 0": Wrong({"dimension": 0}, 422, "request-invalid", "$.dimension"),
    "misspelt field": Wrong({"modell": "x"}, 422, "request-invalid", "$.modell"),
    "number as text": Wrong({"dimension": "32"}, 422, "request-invalid", "whole number"),
    "no model": Wrong({"model": None}, 422, "request-invalid", "$.model"),
}
BARE = {"provider": LARGE.provider, "model": LARGE.model}


@pytest.mark.parametrize(
    ("action", "what"),
    [
        (action, what)
        for action in ("validate-change", "start-migration", "estimate-migration")
        for what in TARGETS
        # Without a model the estimate is for the present one.
        if (action, what) != ("estimate-migration", "no model")
    ],
)
def test_a_target_that_cannot_be_is_refused_with_what_is_wrong(
    bot: BotHandle, action: str, what: str
) -> None:
    wrong = TARGETS[what]
    answer = bot.api.post(bot.where(action), BARE | wrong.wish)
    assert_refused(answer, wrong.status, wrong.code, wrong.word)


@pytest.mark.parametrize("action", ["validate-change", "start-migration"])
def test_the_model_a_bot_has_is_no_target(bot: BotHandle, action: str) -> None:
    answer = bot.api.post(bot.where(action), SMALL.canonical)
    assert_refused(answer, 422, "same-model", "another")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("batch_size", 0, ["$.batch_size", "at least 1"]),
        ("batch_size", 1_000_000, ["$.batch_size", "at most"]),
        ("max_retries", -1, ["$.max_retries"]),
        ("retry_delay", -0.1, ["$.retry_delay"]),
        ("timeout_seconds", 0, ["$.timeout_seconds"]),
        ("enable_rollback", "yes", ["$.enable_rollback", "true or false"]),
        ("max_failed_ratio", 1.5, ["$.max_failed_ratio"]),
    ],
)
def test_a_value_out_of_bounds_is_named(
    bot: BotHandle, field: str, value: Any, words: list[str]
) -> None:
    answer = bot.ask_start(LARGE, **{field: value})
    assert_refused(answer, 422, "request-invalid", *words)


def test_an_estimate_in_batches_of_none_is_refused(bot: BotHandle) -> None:
    answer = bot.api.post(bot.where("estimate-migration"), {"batch_size": 0})
    assert_refused(answer, 422, "request-invalid", "$.batch_size")


ROUTES = [
    ("POST", "/bots"),
    ("GET", "/bots"),
    ("GET", "/bots/{bot}"),
    ("POST", "/bots/{bot}/embeddings/validate-change"),
    ("POST", "/bots/{bot}/embeddings/estimate-migration"),
    ("POST", "/bots/{bot}/embeddings/start-migration"),
    ("GET", "/bots/{bot}/embeddings/migration-status"),
    ("POST", "/bots/{bot}/embeddings/cancel-migration"),
    ("GET", "/bots/{bot}/embeddings/dimension-info"),
    ("GET", "/embeddings/migration/{migration}/progress"),
    ("POST", "/embeddings/migration/{migration}/rollback"),
    ("GET", "/embeddings/migrations/active"),
]
WITH_BODY = [path for method, path in ROUTES if method == "POST"]
OF_A_BOT = [route for route in ROUTES if "{bot}" in route[1]]
OF_A_MIGRATION = [route for route in ROUTES if "{migration}" in route[1]]


def ask(api: ApiClient, method: str, path: str, **names: object) -> Answer:
    """With a body that is right, where the route takes one."""
    body = BARE if path.endswith(("validate-change", "start-migration")) else None
    filled = path.format(**{"bot": "none", "migration": uuid4()} | names)
    return api.get(filled) if method == "GET" else api.post(filled, body)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_token_nothing_is_answered(world: World, method: str, path: str) -> None:
    for token in (None, "reembed_forged"):
        answer = ask(ApiClient(world.url, token), method, path)
        assert_refused(answer, 401, "not-authenticated", "Bearer")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("method", "path"), OF_A_BOT)
def test_an_unknown_bot_and_another_owners_are_answered_alike(
    world: World, bot: BotHandle, method: str, path: str
) -> None:
    stranger = world.client("stranger")
    unknown = assert_refused(ask(stranger, method, path, bot="nonesuch"), 404, "bot-not-found")
    foreign = assert_refused(ask(stranger, method, path, bot=bot.bot_id), 404, "bot-not-found")
    assert (unknown["title"], unknown["detail"]) == (foreign["title"], foreign["detail"])


@pytest.mark.parametrize(("method", "path"), OF_A_MIGRATION)
def test_an_unknown_migration_and_another_owners_are_answered_alike(
    world: World, method: str, path: str
) -> None:
    bot = world.seed_bot(3)
    run = bot.migrate(LARGE, verify_migration=False)
    stranger = world.client("stranger")
    for migration in (uuid4(), run.id):
        answer = ask(stranger, method, path, migration=migration)
        assert_refused(answer, 404, "migration-not-found")
    answer = ask(stranger, method, path, migration="no-uuid")
    assert_refused(answer, 422, "request-invalid", "UUID")


def test_a_collection_is_registered_by_whom_an_admin_has_granted_it(world: World) -> None:
    team = unique_name("team")
    name, api = unique_name(team), world.client(team)
    rows.make_collection(world.milvus, name, SMALL.dimension)
    wish = {"bot_id": unique_name("bot"), "collection": name, **SMALL.canonical}
    assert_refused(api.post("/bots", wish), 403, "collection-not-granted", "grant")
    world.grant(team, f"{team}_*")
    assert team == expect(201, api.post("/bots", wish))["owner"]


def test_an_admin_may_touch_every_owners_bot(world: World, bot: BotHandle) -> None:
    assert 200 == world.admin.get(f"/bots/{bot.bot_id}").status
    assert 200 == world.client("other admin", Role.ADMIN).get(bot.where("dimension-info")).status


def test_the_live_migrations_of_all_are_for_admins_only(world: World) -> None:
    answer = world.owner.get("/embeddings/migrations/active")
    assert_refused(answer, 403, "not-allowed", "admin")


@pytest.mark.parametrize("path", WITH_BODY)
def test_a_body_that_is_no_json_or_no_object_is_refused(
    world: World, bot: BotHandle, path: str
) -> None:
    filled = path.format(bot=bot.bot_id, migration=uuid4())
    assert_refused(raw(world, filled, b'{"provider": '), 400, "body-malformed", "JSON")
    assert_refused(raw(world, filled, b"[1, 2]"), 422, "request-invalid", "JSON object")
    answer = raw(world, filled, b"provider=stub", "application/x-www-form-urlencoded")
    assert_refused(answer, 415, "media-type-unsupported", "application/json")


def raw(world: World, path: str, body: bytes, media_type: str = "application/json") -> Answer:
    """A body as it stands, from the owner."""
    headers = {"Content-Type": media_type, "Authorization": f"Bearer {world.owner_token}"}
    return fetch(world.url + path, body, headers)


def test_a_collection_that_cannot_be_looked_after_is_not_registered(world: World) -> None:
    name = unique_name("c")
    rows.make_collection(world.milvus, name, SMALL.dimension)
    wish = {"bot_id": unique_name("bot"), "collection": name, **SMALL.canonical}
    refusals: list[tuple[dict[str, Any], str, str]] = [
        ({"collection": "nonesuch"}, "collection-not-found", "nonesuch"),
        ({"provider": "nobody"}, "unknown-provider", "nobody"),
        ({"dimension": SMALL.dimension + 1}, "invalid-configuration", "16"),
        ({"text": {"template": "no field"}}, "request-invalid", "names no field"),
        ({"text": {"field": "a"}, "text_field": "b"}, "request-invalid", "say one of them"),
        ({"vector_field": "embedding"}, "invalid-configuration", "embedding"),
        ({"bot_id": "a b"}, "request-invalid", "$.bot_id"),
    ]
    for change, code, word in refusals:
        assert_refused(world.owner.post("/bots", wish | change), 422, code, word)
    assert 201 == world.owner.post("/bots", wish).status
    assert_refused(world.owner.post("/bots", wish), 409, "bot-exists")
    second = wish | {"bot_id": unique_name("bot")}
    assert_refused(world.owner.post("/bots", second), 409, "bot-exists")


def test_a_migration_that_never_switched_has_nothing_to_roll_back(world: World) -> None:
    bot = world.seed_bot(3)
    world.driver.on("validation.before_run", "raise")
    run = bot.start(LARGE)
    run.ends("rolled_back")
    assert_refused(run.ask_rollback(), 409, "already-rolled-back")
    assert_refused(bot.ask_cancel(), 409, "no-active-migration")


def test_what_is_not_there_is_said_so(world: World) -> None:
    assert_refused(world.owner.get("/nowhere"), 404, "not-found")
    answer = world.owner.post("/embeddings/migrations/active")
    assert_refused(answer, 405, "method-not-allowed")
    assert "GET" in answer.headers["Allow"]
