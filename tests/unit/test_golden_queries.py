"""Golden queries: the owner's own questions, kept with the bot and asked of both sides."""

from __future__ import annotations

import math
from typing import Any

import pytest

from migrations.model.errors import ProviderUnavailable
from migrations.model.golden import MOST_QUERIES, GoldenQuery, id_of
from migrations.model.requests import EstimateRequest
from migrations.model.runs import Migration
from migrations.model.states import Status
from migrations.proof.golden import ndcg, recall
from tests.fakes.api_client import Api
from tests.fakes.world import OWNER, World
from tests.unit.test_parts_of_texts import OPEN, TEXTS, Words, world_of

QUERIES = [
    GoldenQuery(f"q{i}", f"gamma{i} number{i} delta{i}", (f"k{i:03}",)) for i in range(0, 40, 4)
]


def checks(migration: Migration) -> dict[str, dict[str, Any]]:
    found = migration.verification or (migration.error or {})["details"]
    return {check["name"]: check for check in found["checks"]}


def world_with(embedders: Words, **gates: float) -> World:
    world = world_of(embedders, gates={**OPEN, "part_recall": 0, **gates})
    world.system.set_golden_queries(OWNER, "bot", QUERIES)
    return world


def test_golden_queries_are_asked_of_both_sides_and_judged_by_what_is_relevant() -> None:
    found = checks(world_with(Words()).complete())
    assert 10 == found["golden_queries"]["details"]["queries"]
    assert found["golden_ndcg"]["details"]["after"] > 0.9
    assert found["golden_recall"]["details"]["after"] > 0.9


def test_a_model_that_does_not_answer_them_any_more_waits_for_a_person() -> None:
    migration = world_with(Words(sees=lambda text: text.replace(" ", "-"))).complete()
    assert Status.WAITING == migration.status, migration.error
    assert ["golden_ndcg", "golden_recall"] == migration.decision["waits_for"]
    worst = checks(migration)["golden_ndcg"]["details"]["worst"]
    assert worst
    assert {"id", "before", "after"} == worst[0].keys()


def test_without_relevant_keys_the_results_are_compared() -> None:
    world = world_with(Words(), golden_overlap=0.9)
    world.system.set_golden_queries(OWNER, "bot", [GoldenQuery("a", TEXTS[3])])
    migration = world.complete()
    assert ["golden_overlap"] == migration.decision["waits_for"]
    assert "golden_ndcg" not in checks(migration)


def test_a_bot_without_golden_queries_is_told_so() -> None:
    assert "no golden queries" in checks(World().complete())["golden_queries"]["message"]


def test_an_old_model_that_is_gone_is_a_warning() -> None:
    world = world_with(Words())
    world.embedders.fail(ProviderUnavailable("gone"), times=None, model="small")
    migration = world.complete(unproven_text=True)
    assert Status.COMPLETED == migration.status, migration.error
    assert any("Golden queries were not compared" in w for w in migration.warnings)


def test_a_golden_query_that_a_model_refuses_is_counted_and_the_others_are_asked() -> None:
    world = world_with(Words())
    poison = GoldenQuery("p", "poison")
    world.system.set_golden_queries(OWNER, "bot", [*QUERIES, poison])
    world.embedders.refuse("poison")
    details = checks(world.complete())["golden_queries"]["details"]
    assert (10, 1) == (details["queries"], details["refused"])


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["a", "b", "x"], 1.0),
        (["x", "y", "z"], 0.0),
        (["x", "a", "b"], (1 / math.log2(3) + 0.5) / (1 + 1 / math.log2(3))),
        ([], 0.0),
    ],
)
def test_ndcg_is_that_of_the_ranking(keys: list[str], expected: float) -> None:
    assert expected == pytest.approx(ndcg(keys, ["a", "b"]))


def test_a_key_may_be_written_as_a_number_or_as_its_digits() -> None:
    assert 1.0 == recall(["7", "8"], [7, "8"])


def test_the_estimate_counts_what_golden_queries_take_of_both_models() -> None:
    world = World()
    wish = EstimateRequest("bot", "fake", "large")
    before = world.manager.estimate_migration_time(OWNER, wish).estimate
    world.system.set_golden_queries(OWNER, "bot", [GoldenQuery("a", "12345678")] * 3)
    after = world.manager.estimate_migration_time(OWNER, wish).estimate
    assert 2 * 3 * 2 == after.verification_tokens - before.verification_tokens
    assert 2 * 3 * 2 == after.tokens - before.tokens


# --- over HTTP ------------------------------------------------------------------


@pytest.fixture
def api() -> Api:
    return Api()


def test_golden_queries_are_put_seen_and_deleted_and_each_twice_like_once(api: Api) -> None:
    path = "/bots/support/golden-queries"
    body = {"queries": [{"text": "where?"}, {"text": "when?", "relevant": ["a", 7], "id": "w"}]}
    for _ in range(2):
        put = api.put(path, json=body)
        assert 200 == put.status_code
        assert put.json == api.get(path).json
    first, second = put.json["queries"]
    assert (id_of("where?"), []) == (first["id"], first["relevant"])
    assert ("w", ["a", 7]) == (second["id"], second["relevant"])
    for _ in range(2):
        gone = api.delete(path)
        assert (200, 0) == (gone.status_code, gone.json["count"])


@pytest.mark.parametrize(
    "queries",
    [
        [{"text": ""}],
        [{"text": "nul \x00"}],
        [{"text": "a"}, {"text": "a"}],
        [{"text": "a", "id": "x"}, {"text": "b", "id": "x"}],
        [{"text": str(i)} for i in range(MOST_QUERIES + 1)],
        [{"text": "a", "key": "misspelt"}],
    ],
    ids=["empty", "NUL", "twice", "one id twice", "too many", "misspelt"],
)
def test_queries_that_are_none_are_refused(api: Api, queries: list[dict[str, Any]]) -> None:
    answer = api.put("/bots/support/golden-queries", json={"queries": queries})
    assert 422 == answer.status_code
