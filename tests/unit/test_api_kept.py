"""Collections that bots have left: seen, kept longer, dropped, over HTTP and on a command line."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from migrations.model.errors import VectorStoreUnavailable
from migrations.way_back.kept import drop_kept, retire
from tests.fakes.api_client import ACME, Api
from tests.fakes.command_line import CommandLine

KEPT = "/kept-collections"
HOUR = 3600


@pytest.fixture
def api() -> Api:
    return Api(hold_hours=24)


def one(api: Api) -> Any:
    (found,) = api.get(KEPT).json["kept"]
    return found


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def original(api: Api) -> str:
    """The bot's first collection, whose way back has closed."""
    migration = api.start()
    api.world.deliver()
    api.world.clock.sleep(73 * HOUR)
    assert retire(api.world.services, migration.id)
    drop_what_is_due(api)
    return migration.source_collection


def drop_what_is_due(api: Api) -> None:
    api.world.clock.sleep(300)
    api.world.watchdog.look()
    api.world.deliver()


def told(api: Api) -> list[str]:
    migration = one(api)["migration_id"]
    events = api.get(f"/embeddings/migration/{migration}/events").json["events"]
    return [event["sentence"] for event in events]


def test_kept_collections_are_listed_with_their_bot_and_run(api: Api) -> None:
    name = api.kept()
    found = one(api)
    assert (name, "support", "rolled_back", False) == (
        found["collection"],
        found["bot_id"],
        found["reason"],
        found["stays"],
    )
    assert found == api.get(f"{KEPT}?bot_id=support").json["kept"][0]
    assert found == api.get(KEPT, "admin-token").json["kept"][0]
    assert 0 == api.get(KEPT, "rival-token").json["count"]
    assert 404 == api.get(f"{KEPT}?bot_id=support", "rival-token").status_code


def test_kept_collections_come_in_pages(api: Api) -> None:
    names = sorted([original(api), api.kept(dimension=64)])
    first = api.get(f"{KEPT}?limit=1").json
    second = api.get(f"{KEPT}?limit=1&cursor={first['next_cursor']}").json
    assert names == [page["kept"][0]["collection"] for page in (first, second)]
    assert None is second["next_cursor"]


def test_a_collection_is_kept_for_longer(api: Api) -> None:
    name = api.kept()
    before = moment(one(api)["drop_after"])
    kept = api.patch(f"{KEPT}/{name}", json={"hours": 240}).json
    assert timedelta(hours=24 * 9) == moment(kept["drop_after"]) - before
    api.world.clock.sleep(25 * HOUR)
    assert not drop_kept(api.world.services, name)
    assert f"acme asked to keep {name} until {moment(kept['drop_after']).isoformat()}." in told(api)


def test_a_collection_is_kept_for_good_whatever_becomes_of_originals(api: Api) -> None:
    name = api.kept()
    for _ in range(2):
        kept = api.patch(f"{KEPT}/{name}", json={"for_good": True}).json
        assert (None, False) == (kept["drop_after"], kept["stays"])
    assert 1 == [line.endswith("for good.") for line in told(api)].count(True)
    api.patch("/bots/support", json={"drop_originals": True})
    api.world.clock.sleep(10_000 * HOUR)
    drop_what_is_due(api)
    assert name == one(api)["collection"]
    assert api.world.vectors.exists(name)


@pytest.mark.parametrize("body", [{}, {"hours": 1, "for_good": True}, {"hours": 0}, {"days": 1}])
def test_how_long_is_said_once(api: Api, body: Any) -> None:
    assert 422 == api.patch(f"{KEPT}/{api.kept()}", json=body).status_code


def test_a_collection_is_dropped_by_a_worker_and_its_run_says_by_whom(api: Api) -> None:
    name = api.kept()
    answers = [api.delete(f"{KEPT}/{name}") for _ in range(2)]
    assert [202, 202] == [answer.status_code for answer in answers]
    assert answers[0].json == answers[1].json
    assert api.world.vectors.exists(name), "the API itself drops nothing"
    assert 1 == told(api).count(f"acme asked to have {name} dropped now.")
    drop_what_is_due(api)
    assert not api.world.vectors.exists(name)
    assert 404 == api.delete(f"{KEPT}/{name}").status_code


def test_what_was_kept_for_good_is_dropped_when_somebody_asks(api: Api) -> None:
    name = api.kept()
    api.patch(f"{KEPT}/{name}", json={"for_good": True})
    assert 202 == api.delete(f"{KEPT}/{name}").status_code
    drop_what_is_due(api)
    assert not api.world.vectors.exists(name)


def test_an_original_stays_unless_its_bot_lets_originals_go(api: Api) -> None:
    name = original(api)
    refused = api.delete(f"{KEPT}/{name}")
    assert (409, "/problems/original-stays") == (refused.status_code, refused.json["type"])
    assert one(api) == api.patch(f"{KEPT}/{name}", json={"hours": 1}).json
    api.patch("/bots/support", json={"drop_originals": True})
    told_first = api.delete(f"{KEPT}/{name}").json["message"]
    assert "has not been read yet" in told_first
    drop_what_is_due(api)
    assert api.world.vectors.exists(name)
    assert "drops it in a moment" in api.delete(f"{KEPT}/{name}").json["message"]
    drop_what_is_due(api)
    assert not api.world.vectors.exists(name)


def test_what_an_alias_points_to_is_not_dropped(api: Api) -> None:
    name = api.kept()
    api.world.vectors.point_alias("mine", name)
    refused = api.delete(f"{KEPT}/{name}")
    assert (409, "/problems/still-read") == (refused.status_code, refused.json["type"])
    assert one(api)["drop_after"] > api.world.clock.now().isoformat()


def test_a_milvus_that_is_away_leaves_the_question_to_the_worker(api: Api) -> None:
    name = api.kept()
    api.world.vectors.fail("aliases_of", VectorStoreUnavailable())
    assert 202 == api.delete(f"{KEPT}/{name}").status_code


def test_what_a_bot_may_go_back_to_is_not_kept_and_not_dropped(api: Api) -> None:
    migration = api.start()
    api.world.deliver()
    for name in (migration.source_collection, migration.target_collection):
        assert 404 == api.delete(f"{KEPT}/{name}").status_code


def test_another_owner_neither_keeps_nor_drops(api: Api) -> None:
    name = api.kept()
    before = one(api)
    asked = (
        api.patch(f"{KEPT}/{name}", "rival-token", json={"hours": 1}),
        api.delete(f"{KEPT}/{name}", "rival-token"),
    )
    assert [404, 404] == [answer.status_code for answer in asked]
    assert before == one(api)


def test_the_command_line_lists_keeps_and_drops(api: Api, tmp_path: Path) -> None:
    name, line = api.kept(), CommandLine(api, tmp_path)
    assert name in line.done("kept", "list", "--bot", "support")
    assert "never: kept for good" in line.done("kept", "keep", name, "--for-good")
    line.told("kept", "keep", name, "--for", "48h")
    assert timedelta(hours=48) == moment(one(api)["drop_after"]) - api.world.clock.now()
    assert 2 == line.run("kept", "keep", name).exit_code
    assert 1 == line.run("kept", "drop", name, typed="n\n").exit_code
    assert "drops it in a moment" in line.done("kept", "drop", name, "--yes")
    assert ACME.owner in " ".join(told(api))
