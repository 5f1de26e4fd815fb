"""A trial over HTTP."""

from __future__ import annotations

import pytest

from tests.fakes.api_client import TARGET, Api

PATH = "/bots/support/trial"


def test_a_trial_tells_what_was_found_what_it_cost_and_what_all_would_take() -> None:
    api = Api()
    names = api.world.vectors.names()
    answer = api.post(PATH, json=TARGET | {"chunks": 20})
    told = answer.json
    assert 200 == answer.status_code
    assert ("support", 20, 20, 20) == (
        *(told["bot_id"], told["chunks"]),
        *(told["sampled"], told["moved"]),
    )
    assert {"content", "retrieval", "neighbourhoods"} <= {one["name"] for one in told["checks"]}
    assert told["passed"] == (told["errors"] == told["gates"] == [])
    assert told["tokens"] > 0
    assert 20 == told["whole"]["chunks"]
    assert names == api.world.vectors.names()


@pytest.mark.parametrize("chunks", [0, 19, 1001, "20"])
def test_a_trial_is_of_neither_too_few_chunks_nor_too_many(chunks: object) -> None:
    assert 422 == Api().post(PATH, json=TARGET | {"chunks": chunks}).status_code


def test_a_trial_beside_a_live_migration_does_not_disturb_it() -> None:
    api = Api()
    migration = api.start()
    assert 200 == api.post(PATH, json=TARGET | {"chunks": 20}).status_code
    api.world.settle()
    assert "completed" == api.progress(migration)["status"]
