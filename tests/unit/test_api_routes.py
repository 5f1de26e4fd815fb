"""Every route does what it says, on fakes."""

from __future__ import annotations

from uuid import UUID

import pytest

from migrations.config import OverLong
from migrations.entities import HeldCollection, HoldReason
from migrations.requests import StartRequest
from migrations.states import Status
from tests.fakes.api_client import ACME, BOT, TARGET, Api
from tests.fakes.system import NOW, switched_bot


@pytest.fixture
def api() -> Api:
    return Api()


# --- bots ---------------------------------------------------------------------


def test_a_registered_bot_is_answered_with_its_place(api: Api) -> None:
    answer = api.post("/bots", json=BOT | {"dimension": 128, "alias": "docs_now"})
    assert (201, "/bots/new-bot") == (answer.status_code, answer.headers["Location"])
    assert {"provider": "local", "model": "wordllama", "dimension": 128} == answer.json["embedding"]
    assert ("acme", "docs_now") == (answer.json["owner"], answer.json["alias"])
    assert answer.json == api.get(answer.headers["Location"]).json


def test_a_caller_sees_their_own_bots_and_an_admin_sees_all(api: Api) -> None:
    api.post("/bots", "rival-token", json=BOT)
    seen = {
        token: [bot["bot_id"] for bot in api.get("/bots", token).json["bots"]]
        for token in ("acme-token", "rival-token", "admin-token")
    }
    assert {
        "acme-token": ["support"],
        "rival-token": ["new-bot"],
        "admin-token": ["support", "new-bot"],
    } == seen


# --- one bot's embedding ------------------------------------------------------


def test_a_possible_change_is_compatible_with_its_warnings(api: Api) -> None:
    answer = api.post("/bots/support/embeddings/validate-change", json=TARGET)
    assert (200, True, []) == (
        answer.status_code,
        answer.json["compatible"],
        answer.json["errors"],
    )
    assert ["2 chunks have no text."] == answer.json["warnings"]
    assert (64, 256) == (answer.json["current"]["dimension"], answer.json["target"]["dimension"])
    assert ["target_model", "texts"] == [check["name"] for check in answer.json["checks"]]


def test_an_impossible_change_is_an_answer_and_not_a_problem(api: Api) -> None:
    body = {"provider": "openai", "model": "silent"}
    answer = api.post("/bots/support/embeddings/validate-change", json=body)
    assert (200, False) == (answer.status_code, answer.json["compatible"])
    assert ["It is silent."] == answer.json["errors"]


@pytest.mark.parametrize("body", [{"json": {}}, {}], ids=["empty object", "no body"])
def test_an_estimate_without_wishes_is_for_the_current_embedding(
    api: Api, body: dict[str, object]
) -> None:
    answer = api.post("/bots/support/embeddings/estimate-migration", **body)
    assert (200, 20, 1) == (answer.status_code, answer.json["chunks"], answer.json["batches"])
    assert "wordllama" == answer.json["target"]["model"]


def test_an_estimate_follows_the_wishes(api: Api) -> None:
    body = {"provider": "openai", "model": "m", "dimension": 8, "batch_size": 4}
    answer = api.post("/bots/support/embeddings/estimate-migration", json=body)
    assert (5, 20 * 8 * 4) == (answer.json["batches"], answer.json["vector_bytes"])
    assert {"provider": "openai", "model": "m", "dimension": 8} == answer.json["target"]


def test_a_start_is_accepted_with_the_place_to_watch_it(api: Api) -> None:
    answer = api.post("/bots/support/embeddings/start-migration", json=TARGET)
    migration_id = answer.json["migration"]["migration_id"]
    assert (202, True) == (answer.status_code, answer.json["created"])
    assert f"/embeddings/migration/{migration_id}/progress" == answer.headers["Location"]
    assert 200 == api.get(answer.headers["Location"]).status_code
    assert 256 == api.stored(migration_id).config.to_dimension


def test_every_option_of_a_start_reaches_the_use_case(api: Api) -> None:
    options = {
        "batch_size": 7,
        "max_retries": 0,
        "retry_delay": 1,
        "timeout_seconds": 60,
        "enable_rollback": False,
        "verify_migration": False,
        "max_failed_ratio": 0.5,
        "over_long": "split",
    }
    api.post("/bots/support/embeddings/start-migration", json=TARGET | options)
    wanted = StartRequest(
        "support", "local", "wordllama", 256, 7, 0, 1.0, 60, False, False, 0.5, OverLong.SPLIT
    )
    assert [wanted] == api.services.system.started


def test_a_repeated_start_is_answered_with_the_same_migration(api: Api) -> None:
    first, second = (
        api.post(
            "/bots/support/embeddings/start-migration",
            json=TARGET,
            headers={"Idempotency-Key": "k-1"},
        )
        for _ in range(2)
    )
    assert (202, 202) == (first.status_code, second.status_code)
    assert first.json["migration"] == second.json["migration"]
    assert first.headers["Location"] == second.headers["Location"]
    assert (True, False) == (first.json["created"], second.json["created"])
    assert (None, "true") == (
        first.headers.get("Idempotent-Replayed"),
        second.headers.get("Idempotent-Replayed"),
    )


def test_the_status_of_a_bot_that_never_migrated_says_so(api: Api) -> None:
    answer = api.get("/bots/support/embeddings/migration-status")
    assert (200, None, False) == (
        answer.status_code,
        answer.json["migration"],
        answer.json["migrating"],
    )
    assert ["The bot has never been switched."] == answer.json["rollback_blockers"]


def test_the_status_shows_the_live_migration_and_what_can_be_done(api: Api) -> None:
    migration_id = str(api.start().id)
    answer = api.get("/bots/support/embeddings/migration-status").json
    assert (True, migration_id) == (answer["migrating"], answer["migration"]["migration_id"])
    assert {"self", "bot", "status", "cancel", "rollback"} == set(answer["migration"]["links"])


def test_the_status_of_a_switched_bot_shows_the_way_back(api: Api) -> None:
    bots = api.services.system.by_bot
    bots["support"] = switched_bot(bots["support"])
    answer = api.get("/bots/support/embeddings/migration-status").json
    assert (True, "2026-11-06T09:00:00Z", 40) == (
        answer["rollback_ready"],
        answer["rollback_expires_at"],
        answer["rollback_chunks_to_compare"],
    )
    assert (12.5, "Measured.") == (
        answer["rollback_estimate_seconds"],
        answer["rollback_estimate_basis"],
    )
    assert "support_docs" == answer["bot"]["previous"]["collection"]


def test_the_status_shows_what_is_held_and_how_many_conflicts_there_are(api: Api) -> None:
    system, live = api.services.system, api.services.system.by_bot["support"].live
    held = HeldCollection(
        collection="docs__g2_1",
        bot_id="support",
        migration_id=UUID(int=1),
        reason=HoldReason.ROLLED_BACK,
        embedding=live.embedding,
        source_collection=live.collection,
        chunks=7,
        content_digest=None,
        held_at=NOW,
        drop_after=NOW,
    )
    system.held, system.conflicts = [held], 3
    answer = api.get("/bots/support/embeddings/migration-status").json
    assert 3 == answer["conflicts"]
    (item,) = answer["held"]
    assert ("docs__g2_1", "rolled_back", 7, "2026-11-03T09:00:00Z") == (
        item["collection"],
        item["reason"],
        item["chunks"],
        item["drop_after"],
    )


def test_a_cancel_is_accepted_and_the_migration_rolls_back(api: Api) -> None:
    migration_id = api.start().id
    answer = api.post("/bots/support/embeddings/cancel-migration")
    assert (202, "rolling_back") == (answer.status_code, answer.json["migration"]["status"])
    assert f"/embeddings/migration/{migration_id}/progress" == answer.headers["Location"]
    assert {"self", "bot", "status"} == set(answer.json["migration"]["links"])


def test_the_dimension_comes_with_what_known_models_can_give(api: Api) -> None:
    answer = api.get("/bots/support/embeddings/dimension-info")
    assert (200, 64, True) == (
        answer.status_code,
        answer.json["collection_dimension"],
        answer.json["consistent"],
    )
    assert [[64, 128, 256]] == [model["dimensions"] for model in answer.json["known_models"]]


# --- migrations ---------------------------------------------------------------


def test_progress_shows_counts_rate_errors_and_the_timeline(api: Api) -> None:
    answer = api.get(f"/embeddings/migration/{api.start().id}/progress")
    shown = answer.json
    assert 200 == answer.status_code
    assert (20, 10, 1, 50.0) == (
        shown["total_chunks"],
        shown["processed_chunks"],
        shown["failed_chunks"],
        shown["percent"],
    )
    assert (1, 2, 2.5, 100) == (
        shown["current_batch"],
        shown["total_batches"],
        shown["chunks_per_second"],
        shown["tokens_used"],
    )
    assert ["doc-1"] == [failed["key"] for failed in shown["failed_chunk_errors"]]
    assert [
        {"code": "provider-quota", "message": "It is used up.", "phase": "data_migration"}
    ] == shown["errors"]
    assert ["2 chunks have no text."] == shown["warnings"]
    assert [("validation", 2.0), ("backup_creation", None)] == [
        (phase["phase"], phase["duration_seconds"]) for phase in shown["phases"]
    ]
    assert ("pending", "validation", 1, "The provider's rate limit.", "2026-11-03T09:00:04Z") == (
        shown["status"],
        shown["phase"],
        shown["epoch"],
        shown["waiting_for"],
        shown["estimated_completion"],
    )


@pytest.mark.parametrize(
    ("status", "finished"),
    [
        (Status.RUNNING, False),
        (Status.SWITCHED, False),
        (Status.ROLLING_BACK, False),
        (Status.COMPLETED, True),
        (Status.ROLLED_BACK, True),
        (Status.NEEDS_OPERATOR, True),
    ],
)
def test_a_watcher_is_told_when_nothing_more_will_happen(
    api: Api, status: Status, finished: bool
) -> None:
    migration_id = api.start().id
    api.services.system.move(migration_id, status)
    assert finished == api.get(f"/embeddings/migration/{migration_id}/progress").json["finished"]


def test_a_rollback_before_the_switch_is_watched_at_the_same_place(api: Api) -> None:
    migration_id = api.start().id
    answer = api.post(f"/embeddings/migration/{migration_id}/rollback")
    assert (202, "rolling_back", False) == (
        answer.status_code,
        answer.json["migration"]["status"],
        answer.json["created"],
    )
    assert f"/embeddings/migration/{migration_id}/progress" == answer.headers["Location"]
    assert "Idempotent-Replayed" not in answer.headers


def test_a_rollback_after_the_switch_is_a_reverse_run_watched_at_its_own_place(api: Api) -> None:
    migration_id = api.start().id
    api.services.system.move(migration_id, Status.COMPLETED)
    answer = api.post(f"/embeddings/migration/{migration_id}/rollback").json
    assert ("reverse", str(migration_id)) == (
        answer["migration"]["kind"],
        answer["migration"]["reverses"],
    )
    assert migration_id != UUID(answer["migration"]["migration_id"])
    assert answer["migration"]["migration_id"] in answer["links"]["progress"]


def test_an_admin_sees_every_live_migration(api: Api) -> None:
    api.services.system.move(api.start().id, Status.ROLLED_BACK)
    live = api.start()
    answer = api.get("/embeddings/migrations/active", "admin-token")
    assert (200, 1) == (answer.status_code, answer.json["count"])
    assert [str(live.id)] == [one["migration_id"] for one in answer.json["migrations"]]


# --- probes -------------------------------------------------------------------


def test_the_process_is_alive_whatever_its_dependencies_do(api: Api) -> None:
    api.services.dependencies["redis"] = "Redis does not answer."
    answer = api.get("/healthz", None)
    assert (200, {"status": "alive"}) == (answer.status_code, answer.json)


def test_the_process_is_ready_when_every_dependency_answers(api: Api) -> None:
    answer = api.get("/readyz", None)
    assert 200 == answer.status_code
    assert {"postgresql": None, "redis": None} == answer.json["dependencies"]


def test_a_silent_dependency_is_named_with_its_reason(api: Api) -> None:
    api.services.dependencies["redis"] = "Redis does not answer."
    answer = api.get("/readyz", None)
    assert (503, "/problems/not-ready") == (answer.status_code, answer.json["type"])
    assert {"postgresql": None, "redis": "Redis does not answer."} == answer.json["dependencies"]


def test_links_keep_the_prefix_the_application_is_mounted_at(api: Api) -> None:
    start = "/bots/support/embeddings/start-migration"
    answer = api.post(start, json=TARGET, environ_overrides={"SCRIPT_NAME": "/reembed"})
    assert answer.headers["Location"].startswith("/reembed/embeddings/migration/")
    assert answer.headers["Location"] == answer.json["links"]["progress"]
    assert ACME.owner == answer.json["migration"]["requested_by"]
