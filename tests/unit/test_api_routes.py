"""Every route does what it says, with the real use cases on fakes."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from migrations.model import task_names as names
from migrations.model.config import OverLong
from migrations.model.errors import VectorStoreRefused, VectorStoreUnavailable
from migrations.model.left_behind import Conflict, ConflictReason
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.ports.watch_store import SchemaRevision
from migrations.way_back.kept import drop_kept, retire
from tests.fakes.api_client import ACME, BOT, MODEL, TARGET, Api
from tests.fakes.embedders import LOCAL_64
from tests.fakes.workers import crewed
from tests.fakes.world import row_of


@pytest.fixture
def api() -> Api:
    return Api()


def astray(api: Api) -> str:
    """A collection that the bot has nothing to do with."""
    api.world.vectors.seed("elsewhere", [], 8)
    return "elsewhere"


def half_way(api: Api, **changes: Any) -> Migration:
    """Four of seven batches are done."""
    migration = api.start(**changes)
    api.world.deliver(before=names.ADVANCE)
    return migration


def rolling_back(api: Api) -> Migration:
    migration = half_way(api)
    api.world.system.cancel(ACME, "support")
    return migration


def rolled_back(api: Api) -> Migration:
    migration = rolling_back(api)
    api.world.deliver()
    return migration


def in_need(api: Api) -> Migration:
    """Its undo has failed."""
    api.world.vectors.fail("drop", VectorStoreRefused("Not now."), times=100)
    return rolled_back(api)


def switched(api: Api) -> Migration:
    migration = api.start()
    api.world.deliver(before=names.phase_task(Phase.CLEANUP))
    return migration


def completed(api: Api) -> Migration:
    migration = api.start()
    api.world.deliver()
    return migration


REACH = {
    Status.RUNNING: half_way,
    Status.SWITCHED: switched,
    Status.ROLLING_BACK: rolling_back,
    Status.COMPLETED: completed,
    Status.ROLLED_BACK: rolled_back,
    Status.NEEDS_OPERATOR: in_need,
}


# --- bots ---------------------------------------------------------------------


def test_a_registered_bot_is_answered_with_its_place(api: Api) -> None:
    answer = api.post("/bots", json=BOT | {"dimension": 64, "alias": "docs_now"})
    assert (201, "/bots/new-bot") == (answer.status_code, answer.headers["Location"])
    plain = {"prefix": "", "suffix": "", "parameters": {}}
    assert {
        "provider": "local",
        "model": MODEL,
        "dimension": 64,
        "document_role": plain,
        "query_role": plain,
        "version": None,
        "normalized": False,
        "fingerprint": LOCAL_64.fingerprint,
    } == answer.json["embedding"]
    assert ("acme", "docs_now") == (answer.json["owner"], answer.json["alias"])
    assert answer.json == api.get(answer.headers["Location"]).json


def test_a_caller_sees_their_own_bots_and_an_admin_sees_all(api: Api) -> None:
    api.world.store.add_grant("rival", "docs", by="x")
    api.post("/bots", "rival-token", json=BOT)
    seen = {
        token: [bot["bot_id"] for bot in api.get("/bots", token).json["bots"]]
        for token in ("acme-token", "rival-token", "admin-token")
    }
    assert {
        "acme-token": ["support"],
        "rival-token": ["new-bot"],
        "admin-token": ["new-bot", "support"],
    } == seen


def test_bots_come_in_pages_when_there_are_more_than_asked_for(api: Api) -> None:
    api.world.store.add_grant("acme", "?", by="x")
    for name in ("a", "b", "t"):
        api.world.vectors.seed(name, [row_of("k", "text", LOCAL_64)], LOCAL_64.dimension)
        wish = BOT | {"bot_id": name, "collection": name, "text_field": "text"}
        api.post("/bots", json=wish)
    seen, path = [], "/bots?limit=2"
    while path:
        page = api.get(path).json
        assert page["count"] == len(page["bots"])
        seen.append([bot["bot_id"] for bot in page["bots"]])
        cursor = page["next_cursor"]
        path = f"/bots?limit=2&cursor={cursor}" if cursor else ""
    assert [["a", "b"], ["support", "t"]] == seen
    assert (4, None) == ((whole := api.get("/bots").json)["count"], whole["next_cursor"])


def test_live_migrations_come_in_pages_too(api: Api) -> None:
    migration_id = str(api.start().id)
    path = "/embeddings/migrations/active"
    page = api.get(f"{path}?limit=1", "admin-token").json
    assert (1, None) == (page["count"], page["next_cursor"])
    assert [] == api.get(f"{path}?cursor={migration_id}", "admin-token").json["migrations"]
    assert 404 == api.get(f"{path}?cursor={UUID(int=0)}", "admin-token").status_code


@pytest.mark.parametrize(
    ("path", "token", "wrong"),
    [
        ("/bots?limit=0", "acme-token", "limit"),
        ("/bots?limit=1001", "acme-token", "limit"),
        ("/bots?limit=many", "acme-token", "limit"),
        ("/bots?cursor=-x", "acme-token", "cursor"),
        ("/bots?lmit=1", "acme-token", "lmit"),
        ("/embeddings/migrations/active?limit=101", "admin-token", "limit"),
        ("/embeddings/migrations/active?cursor=x", "admin-token", "cursor"),
    ],
)
def test_a_page_that_cannot_be_is_refused(api: Api, path: str, token: str, wrong: str) -> None:
    answer = api.get(path, token)
    assert (422, ["query"], [f"$.{wrong}"]) == (
        answer.status_code,
        [one["in"] for one in answer.json["errors"]],
        [one["path"] for one in answer.json["errors"]],
    )


# --- one bot's embedding ------------------------------------------------------


def test_a_possible_change_is_compatible_with_its_warnings(api: Api) -> None:
    api.world.vectors.point_alias("support_docs_live", astray(api))
    answer = api.post("/bots/support/embeddings/validate-change", json=TARGET)
    assert (200, True, []) == (
        answer.status_code,
        answer.json["compatible"],
        answer.json["errors"],
    )
    (warning,) = answer.json["warnings"]
    assert "The alias 'support_docs_live' does not point to 'support_docs'" in warning
    assert (64, 256) == (answer.json["current"]["dimension"], answer.json["target"]["dimension"])
    assert {"target_model", "texts"} < {check["name"] for check in answer.json["checks"]}


def test_a_diagnosis_shows_what_was_tried_the_likeliest_first(api: Api) -> None:
    answer = api.post("/bots/support/embeddings/diagnose")
    assert 200 == answer.status_code
    assert {"field": "text"} == answer.json["text"]
    first, *others = answer.json["candidates"]
    assert ({"field": "text"}, True) == (first["text"], first["fits"])
    assert first["judged"] > 0
    assert first["median_cosine"] >= 0.999
    assert [] == [other for other in others if other["fits"]]


def test_bot_and_migration_show_what_proves_the_text(api: Api) -> None:
    found = api.get("/bots/support").json["text_proof"]
    assert ("reproduced", 20, 0.999) == (found["how"], found["judged"], found["threshold"])
    api.post("/bots/support/embeddings/start-migration", json=TARGET)
    api.world.deliver()
    status = api.get("/bots/support/embeddings/migration-status").json
    shown = status["migration"]["text_proof"]
    assert ("reproduced", 20, 0, None) == (
        *(shown["how"], shown["judged"], shown["strangers"]),
        shown["closes_way_back"],
    )
    assert shown["cosines"]["lowest"] <= shown["cosines"]["median"]
    assert shown == status["bot"]["text_proof"]


def test_an_impossible_change_is_an_answer_and_not_a_problem(api: Api) -> None:
    api.world.write("k020", "", collection="support_docs")
    answer = api.post("/bots/support/embeddings/validate-change", json=TARGET)
    assert (200, False) == (answer.status_code, answer.json["compatible"])
    (error,) = answer.json["errors"]
    assert error.startswith("21 texts: 1 empty")


@pytest.mark.parametrize("body", [{"json": {}}, {}], ids=["empty object", "no body"])
def test_an_estimate_without_wishes_is_for_the_current_embedding(
    api: Api, body: dict[str, object]
) -> None:
    answer = api.post("/bots/support/embeddings/estimate-migration", **body)
    assert (200, 20, 1) == (answer.status_code, answer.json["chunks"], answer.json["batches"])
    assert MODEL == answer.json["target"]["model"]


def test_an_estimate_follows_the_wishes(api: Api) -> None:
    wish = {"provider": "fake", "model": "large", "dimension": 8}
    answer = api.post("/bots/support/embeddings/estimate-migration", json=wish | {"batch_size": 4})
    assert (5, 20 * 8 * 4) == (answer.json["batches"], answer.json["vector_bytes"])
    assert wish == {name: answer.json["target"][name] for name in wish}


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
    answer = api.post("/bots/support/embeddings/start-migration", json=TARGET | options)
    config = api.stored(answer.json["migration"]["migration_id"]).config
    assert options | {"over_long": OverLong.SPLIT} == {
        name: getattr(config, name) for name in options
    }


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
    assert ["The bot has no previous collection."] == answer.json["rollback_blockers"]


def test_the_status_shows_the_live_migration_and_what_can_be_done(api: Api) -> None:
    migration_id = str(api.start().id)
    answer = api.get("/bots/support/embeddings/migration-status").json
    assert (True, migration_id) == (answer["migrating"], answer["migration"]["migration_id"])
    steering = {"pause", "extend", "cancel", "rollback"}
    assert {"self", "events", "report", "bot", "status"} | steering == set(
        answer["migration"]["links"]
    )


def test_the_status_of_a_switched_bot_shows_the_way_back(api: Api) -> None:
    api.start()
    with api.world.at("verification.after_run", lambda: api.world.clock.sleep(10)):
        api.world.deliver()
    answer = api.get("/bots/support/embeddings/migration-status").json
    assert (True, [], "2026-01-04T00:00:10Z", 20) == (
        answer["rollback_ready"],
        answer["rollback_blockers"],
        answer["rollback_expires_at"],
        answer["rollback_chunks_to_compare"],
    )
    assert 30 == answer["rollback_estimate_seconds"]
    assert "20 chunks" in answer["rollback_estimate_basis"]
    assert "support_docs" == answer["bot"]["previous"]["collection"]


@pytest.mark.parametrize(
    "fault", [VectorStoreUnavailable("Milvus is away."), VectorStoreRefused("Milvus says no.")]
)
def test_the_status_is_answered_while_milvus_is_away_and_says_what_is_missing(
    api: Api, fault: Exception
) -> None:
    migration = completed(api)
    api.world.vectors.fail("exists", fault)
    answer = api.get("/bots/support/embeddings/migration-status")
    missing = (
        "Milvus could not be asked whether the previous collection 'support_docs' is still there: "
        f"{fault}"
    )
    assert (200, [missing], False, [missing], "completed") == (
        answer.status_code,
        answer.json["not_asked"],
        answer.json["rollback_ready"],
        answer.json["rollback_blockers"],
        answer.json["migration"]["status"],
    )
    api.world.vectors.fail("exists", fault)
    refused = api.post(f"/embeddings/migration/{migration.id}/rollback")
    assert (503, missing) == (refused.status_code, refused.json["detail"])
    again = api.get("/bots/support/embeddings/migration-status").json
    assert ([], True) == (again["not_asked"], again["rollback_ready"])


#: Of each route with a turn: method, path, body.
SLOW = [
    ("POST", "/bots", BOT),
    ("POST", "/bots/support/embeddings/validate-change", TARGET),
    ("POST", "/bots/support/embeddings/diagnose", None),
    ("POST", "/bots/support/embeddings/estimate-migration", TARGET),
    ("POST", "/bots/support/embeddings/start-migration", TARGET),
    ("GET", "/bots/support/embeddings/dimension-info", None),
    ("POST", "/embeddings/migration/{migration}/rollback", None),
]
QUICK = [
    ("GET", "/bots", None),
    ("GET", "/bots/support/embeddings/migration-status", None),
    ("GET", "/embeddings/migration/{migration}/progress", None),
    ("POST", "/bots/support/embeddings/cancel-migration", None),
]


@pytest.mark.parametrize(("method", "path", "body"), [*SLOW, *QUICK])
def test_an_owner_whose_requests_hang_is_told_to_wait_with_another_and_may_watch(
    api: Api, method: str, path: str, body: dict[str, object] | None
) -> None:
    there = path.format(migration=api.start().id)

    def ask() -> TestResponse:
        return api.get(there) if method == "GET" else api.post(there, json=body)

    with ExitStack() as held:
        for _ in range(4):
            held.enter_context(api.services.turns.one("acme"))
        answer = ask()
        if (method, path, body) in QUICK:
            assert answer.status_code in {200, 202}
            return
        assert (429, "/problems/too-many-at-once", "5") == (
            answer.status_code,
            answer.json["type"],
            answer.headers["Retry-After"],
        )
    assert 429 != ask().status_code


def test_the_status_shows_what_is_held_and_how_many_conflicts_there_are() -> None:
    api = Api(hold_hours=24)
    migration = rolled_back(api)
    lost = [Conflict(f"k{i}", None, ConflictReason.LIVE_IS_NEWER) for i in range(3)]
    api.world.store.record_conflicts(migration.id, lost)
    answer = api.get("/bots/support/embeddings/migration-status").json
    assert 3 == answer["conflicts"]
    (item,) = answer["held"]
    assert (migration.target_collection, "rolled_back", 12, "2026-01-02T00:00:00Z") == (
        item["collection"],
        item["reason"],
        item["chunks"],
        item["drop_after"],
    )


def test_the_status_says_what_to_do_with_an_original_that_stays(api: Api) -> None:
    migration = api.start()
    api.world.deliver()
    api.world.clock.sleep(80 * 3600)
    assert retire(api.world.services, migration.id)
    for _ in range(2):  # as soon as it is retired, and when it is released
        answer = api.get("/bots/support/embeddings/migration-status").json
        (item,) = answer["held"]
        assert ("support_docs", True, None) == (
            item["collection"],
            item["stays"],
            item["drop_after"],
        )
        assert "PATCH /bots/support with drop_originals: true" in item["note"]
        drop_kept(api.world.services, "support_docs")


def test_a_bot_says_whether_its_originals_may_be_dropped(api: Api) -> None:
    assert api.get("/bots/support").json["drop_originals"] is False
    assert api.post("/bots", json={**BOT, "drop_originals": True}).json["drop_originals"] is True
    refused = api.post("/bots", json={**BOT, "bot_id": "x", "drop_originals": "yes"})
    assert (422, "$.drop_originals") == (refused.status_code, refused.json["errors"][0]["path"])


def test_a_cancel_is_accepted_and_the_migration_rolls_back(api: Api) -> None:
    migration_id = api.start().id
    answer = api.post("/bots/support/embeddings/cancel-migration")
    assert (202, "rolling_back") == (answer.status_code, answer.json["migration"]["status"])
    assert f"/embeddings/migration/{migration_id}/progress" == answer.headers["Location"]
    assert {"self", "events", "report", "bot", "status"} == set(answer.json["migration"]["links"])


def test_the_dimension_comes_with_what_known_models_can_give(api: Api) -> None:
    answer = api.get("/bots/support/embeddings/dimension-info")
    assert (200, 64, True) == (
        answer.status_code,
        answer.json["collection_dimension"],
        answer.json["consistent"],
    )
    known = {model["model"]: model["dimensions"] for model in answer.json["known_models"]}
    assert [64, 128, 256] == known[MODEL] == answer.json["current_model"]["dimensions"]


# --- migrations ---------------------------------------------------------------


def test_progress_shows_counts_rate_and_the_timeline(api: Api) -> None:
    api.world.embedders.refuse("text 4")
    migration = half_way(api, max_failed_ratio=0.1)
    api.world.clock.sleep(4)
    why = "The provider's rate limit."
    api.world.store.wait_for(migration.id, migration.epoch, why)
    shown = api.progress(migration)
    assert (20, 11, 1, 55.0) == (
        shown["total_chunks"],
        shown["processed_chunks"],
        shown["failed_chunks"],
        shown["percent"],
    )
    paid = api.world.embedders.billed - api.world.store.tokens_of_errands("support")
    assert (4, 7, 2.75, paid) == (
        shown["current_batch"],
        shown["total_batches"],
        shown["chunks_per_second"],
        shown["tokens_used"],
    )
    assert [("k004", "text-refused")] == [
        (failed["key"], failed["code"]) for failed in shown["failed_chunk_errors"]
    ]
    assert [] == shown["warnings"]
    times = {phase["phase"]: phase["duration_seconds"] for phase in shown["phases"]}
    assert (0.0, None) == (times["validation"], times["data_migration"])
    assert ("running", "data_migration", 1, why) == (
        shown["status"],
        shown["phase"],
        shown["epoch"],
        shown["waiting_for"],
    )
    assert None is shown["estimated_completion"]
    api.world.store.wait_for(migration.id, migration.epoch, None)
    assert "2026-01-01T00:00:07" == api.progress(migration)["estimated_completion"][:19]


def test_progress_shows_what_ended_a_migration(api: Api) -> None:
    api.world.embedders.refuse("text 4")
    migration = api.start()
    api.world.deliver()
    (error,) = api.progress(migration)["errors"]
    assert ("too-many-failed-chunks", "data_migration") == (error["code"], error["phase"])


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
    migration = REACH[status](api)
    shown = api.progress(migration)
    assert (status, finished) == (shown["status"], shown["finished"])


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
    migration_id = completed(api).id
    answer = api.post(f"/embeddings/migration/{migration_id}/rollback").json
    assert ("reverse", str(migration_id)) == (
        answer["migration"]["kind"],
        answer["migration"]["reverses"],
    )
    assert migration_id != UUID(answer["migration"]["migration_id"])
    assert answer["migration"]["migration_id"] in answer["links"]["progress"]


def test_a_rollback_that_switches_first_is_shown_beforehand_and_its_rows_afterwards(
    api: Api,
) -> None:
    migration_id = completed(api).id
    status = api.get("/bots/support/embeddings/migration-status").json
    shown = {one["mode"]: one for one in status["rollback_options"]}
    assert {"complete", "now"} == set(shown)
    assert (True, []) == (shown["now"]["ready"], shown["now"]["blockers"])
    assert "rows on their way" in shown["now"]["readers"]
    answer = api.post(f"/embeddings/migration/{migration_id}/rollback", json={"mode": "now"})
    assert (202, "finalization") == (answer.status_code, answer.json["migration"]["phase"])
    assert "switches back first" in answer.json["message"]
    api.world.deliver()
    back = api.get(answer.headers["Location"]).json
    assert ("completed", 0) == (back["status"], back["rows_on_their_way"])


def test_a_rollback_in_a_mode_that_there_is_not_is_refused(api: Api) -> None:
    where = f"/embeddings/migration/{completed(api).id}/rollback"
    answer = api.post(where, json={"mode": "soon"})
    assert 422 == answer.status_code
    assert "mode" in str(answer.json)


def test_an_admin_sees_every_live_migration(api: Api) -> None:
    rolled_back(api)
    live = api.start()
    answer = api.get("/embeddings/migrations/active", "admin-token")
    assert (200, 1) == (answer.status_code, answer.json["count"])
    assert [(str(live.id), "acme")] == [
        (one["migration_id"], one["owner"]) for one in answer.json["migrations"]
    ]


def test_a_timeout_beyond_what_is_allowed_is_refused_with_what_is(api: Api) -> None:
    wish = TARGET | {"timeout_seconds": 2_592_000}
    answer = api.post("/bots/support/embeddings/start-migration", json=wish)
    assert (422, "/problems/invalid-configuration") == (answer.status_code, answer.json["type"])
    assert "172800" in answer.json["detail"]


# --- probes -------------------------------------------------------------------


def test_the_process_is_alive_whatever_its_dependencies_do(api: Api) -> None:
    api.world.store.reachable = False
    answer = api.get("/healthz", None)
    assert (200, {"status": "alive"}) == (answer.status_code, answer.json)


def test_the_process_is_ready_when_postgresql_answers(api: Api) -> None:
    answer = api.get("/readyz", None)
    assert (200, {"postgresql": None}) == (answer.status_code, answer.json["dependencies"])


def test_a_redis_and_a_milvus_that_are_away_take_no_api_out_of_service(api: Api) -> None:
    api.world.checkpoints.reachable = False
    api.world.vectors.fail("ping", VectorStoreUnavailable("It is away."), times=9)
    assert 503 == api.get("/healthz/deep", None).status_code
    answer = api.get("/readyz", None)
    assert 200 == answer.status_code
    assert {"redis-away", "milvus-away"} <= {one["code"] for one in answer.json["findings"]}


@pytest.mark.parametrize("how", ["away", "of before"])
def test_without_postgresql_or_its_schema_it_is_not_ready(api: Api, how: str) -> None:
    api.world.store.reachable = how != "away"
    api.world.store.revision = SchemaRevision("0001", "0002", is_known=True)
    answer = api.get("/readyz", None)
    assert (503, "/problems/not-ready") == (answer.status_code, answer.json["type"])
    (found,) = answer.json["findings"]
    assert found["code"] == ("postgresql-away" if how == "away" else "schema-behind")
    assert answer.json["detail"] == found["message"]


def test_all_is_well_when_everything_answers_and_somebody_works(api: Api) -> None:
    crewed(api.world)
    answer = api.get("/healthz/deep", None)
    assert 200 == answer.status_code
    assert {"postgresql": None, "redis": None, "milvus": None} == answer.json["dependencies"]
    assert [] == answer.json["findings"]


def test_what_is_about_to_be_wrong_is_told_and_is_no_alarm(api: Api) -> None:
    crewed(api.world)
    api.world.checkpoints.evicts_by = "allkeys-lru"
    answer = api.get("/healthz/deep", None)
    assert (200, ["redis-evicts"]) == (
        answer.status_code,
        [one["code"] for one in answer.json["findings"]],
    )


def test_all_that_is_wrong_is_told_with_its_remedy(api: Api) -> None:
    api.world.checkpoints.reachable = False
    answer = api.get("/healthz/deep", None)
    assert (503, "/problems/not-well") == (answer.status_code, answer.json["type"])
    assert {"postgresql": None, "redis": "Redis does not answer.", "milvus": None} == (
        answer.json["dependencies"]
    )
    assert ["no-worker", "redis-away"] == [one["code"] for one in answer.json["findings"]]
    assert all(one["remedy"] for one in answer.json["findings"])


def test_links_keep_the_prefix_the_application_is_mounted_at(api: Api) -> None:
    start = "/bots/support/embeddings/start-migration"
    answer = api.post(start, json=TARGET, environ_overrides={"SCRIPT_NAME": "/reembed"})
    assert answer.headers["Location"].startswith("/reembed/embeddings/migration/")
    assert answer.headers["Location"] == answer.json["links"]["progress"]
    assert ACME.owner == answer.json["migration"]["requested_by"]


# --- roles ---------------------------------------------------------------------------


LIVE = "/bots/support/embeddings/live"
PASSAGE = {"prefix": "passage: ", "suffix": "", "parameters": {}}
QUERY = {"prefix": "query: ", "suffix": "", "parameters": {"truncate": "END"}}


def test_the_live_triple_says_how_documents_and_questions_are_embedded(api: Api) -> None:
    row = api.get("/bots/support").json
    live = api.get(row["links"]["live"]).json
    same = {"generation", "collection", "embedding", "key_field", "text_field", "vector_field"}
    assert {name: row[name] for name in same} == {name: live[name] for name in same}
    assert {"prefix": "", "suffix": "", "parameters": {}} == live["document_role"]
    assert live["document_role"] == live["query_role"] == live["embedding"]["query_role"]
    assert LOCAL_64.fingerprint == live["fingerprint"] == live["embedding"]["fingerprint"]


def test_the_live_triple_says_where_and_how_to_search_and_until_when_that_was_so(api: Api) -> None:
    live = api.get(LIVE).json
    assert ("", "support_docs", "COSINE") == (live["database"], live["collection"], live["metric"])
    assert ({"field": "text"}, None) == (live["text"], live["previous"])
    api.start()
    api.world.deliver()
    switched = api.get(LIVE).json
    assert "support_docs" == switched["previous"]["collection"] != switched["collection"]
    assert api.get("/bots/support").json["previous"] == switched["previous"]
    assert ("COSINE", 2) == (switched["metric"], switched["generation"])


def test_a_live_triple_in_another_database_says_so() -> None:
    assert "bots" == Api(milvus_db="bots").get(LIVE).json["database"]


def test_the_metric_of_a_bot_of_before_is_known_from_its_next_switch_on(api: Api) -> None:
    index = {"field_name": "vector", "params": {"metric_type": "COSINE"}}
    api.world.vectors.alter("support_docs", indexes=[index])
    bot = api.world.store.bot("support")
    api.world.store._bots["support"] = replace(bot, metric=None)
    assert None is api.get(LIVE).json["metric"]
    api.start()
    api.world.deliver()
    assert "COSINE" == api.get(LIVE).json["metric"]


def test_a_live_triple_that_is_known_is_not_answered_again(api: Api) -> None:
    first = api.get(LIVE)
    tag = first.headers["ETag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = api.get(LIVE, headers={"If-None-Match": known})
        assert (304, b"", tag) == (again.status_code, again.data, again.headers["ETag"])
        assert "private, max-age=5" == again.headers["Cache-Control"]
    api.patch("/bots/support", json={"query_role": {"prefix": "query: "}, "unusual_roles": True})
    changed = api.get(LIVE, headers={"If-None-Match": tag})
    assert (200, 1) == (changed.status_code, changed.json["generation"])
    assert tag != changed.headers["ETag"]


def test_without_a_server_that_can_wait_a_live_triple_is_answered_at_once(api: Api) -> None:
    answer = api.get(f"{LIVE}?wait=30&generation=1")
    assert (200, "no-cache") == (answer.status_code, answer.headers["Cache-Control"])
    too_long = api.get(f"{LIVE}?wait=60&generation=1")
    assert (422, "$.wait: Must be at most 50.") == (too_long.status_code, too_long.json["detail"])


def test_roles_are_stated_at_a_start_and_answered(api: Api) -> None:
    roles = {"document_role": {"prefix": "passage: "}, "query_role": QUERY, "version": "2"}
    wish = {"provider": "fake", "model": "large", **roles}
    started = api.post("/bots/support/embeddings/start-migration", json=wish).json["migration"]
    told = started["target"]
    assert (PASSAGE, QUERY, "2") == (told["document_role"], told["query_role"], told["version"])
    stored = api.stored(started["migration_id"]).config.target
    assert (stored.fingerprint, "passage: ") == (told["fingerprint"], stored.document_role.prefix)
    assert told["fingerprint"] != started["source"]["fingerprint"]


def test_roles_are_stated_at_registration_and_corrected(api: Api) -> None:
    registered = api.post("/bots", json=BOT | {"query_role": QUERY, "text_field": "text"})
    assert (201, QUERY) == (registered.status_code, registered.json["embedding"]["query_role"])
    changed = api.patch("/bots/new-bot", json={"query_role": {}, "version": "v2"}).json
    assert ("", "v2") == (
        changed["embedding"]["query_role"]["prefix"],
        changed["embedding"]["version"],
    )


@pytest.mark.parametrize(
    ("role", "path"),
    [
        ({"prefx": "a"}, "$.document_role.prefx"),
        ({"prefix": "a\u0000"}, "$.document_role.prefix"),
        ({"prefix": 7}, "$.document_role.prefix"),
        ({"parameters": {"input": "x"}}, "$.document_role.parameters"),
        ({"parameters": []}, "$.document_role.parameters"),
        ("passage: ", "$.document_role"),
    ],
)
def test_a_role_that_is_none_is_refused_with_its_place(api: Api, role: Any, path: str) -> None:
    answer = api.post(
        "/bots/support/embeddings/start-migration", json=TARGET | {"document_role": role}
    )
    assert 422 == answer.status_code
    assert [path] == [error["path"] for error in answer.json["errors"]]


@pytest.mark.parametrize("action", ["validate-change", "start-migration", "estimate-migration"])
def test_roles_unlike_those_of_the_model_are_refused_unless_they_are_meant(
    api: Api, action: str
) -> None:
    wish = {"provider": "openai", "model": "text-embedding-3-small", "query_role": QUERY}
    refused = api.post(f"/bots/support/embeddings/{action}", json=wish)
    assert (422, "/problems/unusual-roles") == (refused.status_code, refused.json["type"])
    assert "say unusual_roles true" in refused.json["detail"]
    meant = api.post(f"/bots/support/embeddings/{action}", json=wish | {"unusual_roles": True})
    assert meant.status_code in {200, 202}


def test_a_reader_is_told_database_and_collection_apart(api: Api) -> None:
    rows = [row_of("k", "text.", LOCAL_64)]
    api.world.store.add_grant(ACME.owner, "sales.*", by="x")
    api.world.vectors.seed("sales.docs", rows, LOCAL_64.dimension)
    named = api.post("/bots", json={**BOT, "collection": "sales.docs"})
    assert 201 == named.status_code, named.json
    assert "sales.docs" == named.json["collection"]
    live = api.get(f"/bots/{BOT['bot_id']}/embeddings/live").json
    assert ("sales", "docs") == (live["database"], live["collection"])
    unnamed = api.get("/bots/support/embeddings/live").json
    assert ("", "support_docs") == (unnamed["database"], unnamed["collection"])
