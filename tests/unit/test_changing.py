"""A bot is corrected and removed over the API, with the real use cases on fakes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from migrations.model.errors import ProviderUnavailable
from migrations.model.runs import Due, Migration
from migrations.model.states import LIVE, Status
from tests.fakes.api_client import ACME, ACME_TOKEN, BOT, TARGET, Api
from tests.fakes.embedders import LOCAL_64
from tests.fakes.world import row_of

BOT_PATH = "/bots/support"
STATUS_PATH = f"{BOT_PATH}/embeddings/migration-status"


@pytest.fixture
def api() -> Api:
    return Api(retention_hours=72, hold_hours=24)


def completed(api: Api) -> Migration:
    migration = api.start()
    api.world.deliver()
    return api.stored(str(migration.id))


def two_texts(api: Api) -> None:
    """The collection has a second text field, from which its vectors are."""
    rows = [
        {**row_of(f"k{i:03}", f"text {i}.", LOCAL_64), "body": f"text {i}.", "text": f"other {i}"}
        for i in range(20)
    ]
    columns = ("text", "body", "title")
    api.world.vectors.seed("support_docs", rows, LOCAL_64.dimension, text_candidates=columns)


def patched(api: Api, *, token: str = ACME_TOKEN, status: int = 200, **body: Any) -> Any:
    answer = api.patch(BOT_PATH, token, json=body)
    assert status == answer.status_code, answer.json
    return answer.json


# --- correcting ---------------------------------------------------------------------------


def test_what_is_left_out_stays_and_what_is_so_already_changes_nothing(api: Api) -> None:
    before, calls = api.get(BOT_PATH).json, api.world.embedders.calls
    for body in ({}, {"text_field": "text", "key_field": "pk", "drop_originals": False}):
        api.world.clock.sleep(1)
        assert before == patched(api, **body)
    assert calls == api.world.embedders.calls


def test_a_correction_that_is_sent_again_is_answered_as_the_first_was(api: Api) -> None:
    first = patched(api, drop_originals=True)
    assert first["drop_originals"] is True
    api.world.clock.sleep(1)
    assert first == patched(api, drop_originals=True)


def test_a_text_field_is_corrected_to_the_one_that_proves_itself(api: Api) -> None:
    two_texts(api)
    assert "body" == patched(api, text_field="body")["text_field"]
    assert "body" == api.get(BOT_PATH).json["text_field"]


def test_a_text_field_that_does_not_prove_itself_is_refused(api: Api) -> None:
    two_texts(api)
    patched(api, text_field="body")
    told = patched(api, text_field="text", status=422)
    assert "/problems/invalid-configuration" == told["type"]
    assert "does not give the stored vectors for the text field 'text' (med" in told["detail"]
    assert (
        "(no text in the sample that the model takes)"
        in patched(api, text_field="title", status=422)["detail"]
    )
    assert (
        "(no text in the sample that the model takes)"
        in patched(api, text_field="pages", status=422)["detail"]
    )
    api.world.embedders.fail(ProviderUnavailable("It is gone."), times=None)
    assert "It is gone." in patched(api, text_field="text", status=422)["detail"]
    assert "body" == api.get(BOT_PATH).json["text_field"]


def test_a_text_is_corrected_to_a_recipe_that_proves_itself(api: Api) -> None:
    two_texts(api)
    answer = patched(api, text={"template": "{body}"})
    assert (None, "{body}") == (answer["text_field"], answer["text"]["template"])
    assert answer["text"] == api.get(BOT_PATH).json["text"]
    patched(api, text={"template": "{title} {body}"}, status=422)
    told = patched(api, text={"template": "none"}, status=422)
    assert "names no field" in str(told)
    patched(api, text={"field": "body"}, text_field="body", status=422)


def test_in_an_empty_collection_any_text_field_will_do(api: Api) -> None:
    api.world.vectors.seed("support_docs", [], 64, text_candidates=("text", "body"))
    calls = api.world.embedders.calls
    assert "body" == patched(api, text_field="body")["text_field"]
    assert calls == api.world.embedders.calls


def test_key_and_vector_field_are_what_the_collection_says(api: Api) -> None:
    assert "primary key is 'pk'" in patched(api, key_field="id", status=422)["detail"]
    assert "it has 'vector'" in patched(api, vector_field="vec", status=422)["detail"]
    bot = api.world.store.bot("support")
    api.world.store._bots["support"] = replace(bot, key_field="id", vector_field="vec")
    corrected = patched(api, key_field="pk", vector_field="vector")
    assert ("pk", "vector") == (corrected["key_field"], corrected["vector_field"])


def test_what_a_live_run_reads_is_not_changed_and_the_rest_is(api: Api) -> None:
    two_texts(api)
    patched(api, text_field="body")
    migration = api.start()
    told = patched(api, text_field="text", status=409)
    assert ("/problems/migration-in-progress", str(migration.id)) == (
        told["type"],
        told["migration_id"],
    )
    assert patched(api, drop_originals=True)["drop_originals"] is True
    assert "rival" == patched(api, token="admin-token", owner="rival")["owner"]
    api.world.deliver()
    assert Status.COMPLETED == api.stored(str(migration.id)).status


def test_only_an_admin_gives_a_bot_to_another_owner_and_its_migrations_follow(api: Api) -> None:
    migration = completed(api)
    progress = f"/embeddings/migration/{migration.id}/progress"
    assert "/problems/not-allowed" == patched(api, owner="rival", status=403)["type"]
    assert 404 == api.get(progress, "rival-token").status_code
    patched(api, token="admin-token", owner="rival")
    assert [404, 404] == [api.get(path).status_code for path in (BOT_PATH, progress)]
    for path in (BOT_PATH, progress, STATUS_PATH):
        assert 200 == api.get(path, "rival-token").status_code
    assert 202 == api.post(progress.replace("progress", "rollback"), "rival-token").status_code


@pytest.mark.parametrize(
    "body",
    [
        {"dimension": 3},
        {"alias": "x"},
        {"collection": "docs"},
        {"owner": ""},
        {"text_field": "a b"},
    ],
)
def test_what_cannot_be_corrected_is_refused(api: Api, body: dict[str, Any]) -> None:
    assert "/problems/request-invalid" == patched(api, status=422, **body)["type"]


def test_letting_originals_go_holds_and_then_drops_the_one_that_stayed(api: Api) -> None:
    completed(api)
    look(api, hours=74)
    assert [True] == [item["stays"] for item in api.get(STATUS_PATH).json["held"]]
    patched(api, drop_originals=True)
    look(api, hours=23)
    assert api.world.vectors.exists("support_docs")
    look(api, hours=3)
    assert not api.world.vectors.exists("support_docs")
    assert [] == api.get(STATUS_PATH).json["held"]


def look(api: Api, *, hours: int) -> None:
    for _ in range(hours * 4):
        api.world.clock.sleep(900)
        api.world.watchdog.look()
        api.world.deliver()


# --- removing -----------------------------------------------------------------------------


def removed(api: Api, token: str = ACME_TOKEN) -> Any:
    answer = api.delete(BOT_PATH, token)
    assert 200 == answer.status_code, answer.json
    return answer.json


def test_a_bot_is_removed_and_what_stays_is_said_and_stays(api: Api) -> None:
    migration = completed(api)
    answer = removed(api)
    assert ("support", "support_docs_live") == (answer["bot_id"], answer["alias"])
    assert [
        {"collection": migration.target_collection, "was": "live", "made_here": True},
        {"collection": "support_docs", "was": "previous", "made_here": False},
    ] == answer["collections"]
    assert {"support_docs", "docs", migration.target_collection} == set(api.world.vectors.names())
    assert migration.target_collection == api.world.vectors.resolve_alias("support_docs_live")
    for path in (BOT_PATH, STATUS_PATH, f"/embeddings/migration/{migration.id}/progress"):
        assert 404 == api.get(path).status_code
    assert 404 == api.delete(BOT_PATH).status_code


def test_what_was_kept_stays_and_is_free_again(api: Api) -> None:
    migration = api.start()
    api.world.deliver(before="migrations.phase.verification")
    api.world.system.cancel(ACME, "support")
    api.world.deliver()
    wish = {**BOT, "collection": migration.target_collection, "model": TARGET["model"]}
    assert "/problems/collection-in-use" == api.post("/bots", json=wish).json["type"]
    assert [("support_docs", "live"), (migration.target_collection, "kept")] == [
        (one["collection"], one["was"]) for one in removed(api)["collections"]
    ]
    look(api, hours=30)
    assert api.world.vectors.exists(migration.target_collection)
    api.world.vectors.load(migration.target_collection)
    assert 201 == api.post("/bots", json=wish).status_code


def test_what_a_failed_run_has_left_is_said(api: Api) -> None:
    migration = api.start(enable_rollback=False)
    api.world.deliver(before="migrations.phase.verification")
    api.world.conductor.fail(migration.id, 1, RuntimeError("it is stuck"))
    assert Status.FAILED == api.stored(str(migration.id)).status
    assert [("support_docs", "live"), (migration.target_collection, "unfinished")] == [
        (one["collection"], one["was"]) for one in removed(api)["collections"]
    ]


def test_a_bot_with_a_live_run_is_not_removed(api: Api) -> None:
    migration = api.start()
    refused = api.delete(BOT_PATH)
    assert (409, "/problems/migration-in-progress", str(migration.id)) == (
        refused.status_code,
        refused.json["type"],
        refused.json["migration_id"],
    )
    api.world.deliver()
    assert api.stored(str(migration.id)).status not in LIVE
    removed(api)


def test_its_id_alias_and_collection_are_free_and_nothing_is_due(api: Api) -> None:
    migration = completed(api)
    tokens = api.world.store.tokens_used(migration.id)
    errands = api.world.store.tokens_of_errands("support")
    removed(api)
    assert errands + tokens == api.world.store.tokens_of_errands("support")
    api.world.clock.sleep(100 * 3600)
    for what in Due:
        assert [] == api.world.store.claim_due(what, (0, 300))
    wish = {**BOT, "bot_id": "support", "collection": "support_docs_live"}
    wish["model"] = TARGET["model"]
    again = api.post("/bots", json=wish)
    assert (201, 1) == (again.status_code, again.json["generation"])
    assert api.get(STATUS_PATH).json["migration"] is None


def test_another_s_bot_is_neither_changed_nor_removed(api: Api) -> None:
    for answer in (
        api.patch(BOT_PATH, "rival-token", json={}),
        api.delete(BOT_PATH, "rival-token"),
    ):
        assert (404, "/problems/bot-not-found") == (answer.status_code, answer.json["type"])
    assert "acme" == api.get(BOT_PATH).json["owner"]
    removed(api, "admin-token")


def test_no_text_of_somebody_s_collection_goes_to_a_stranger_s_provider(api: Api) -> None:
    api.world.store.add_grant("rival", "*", by="x")
    calls = api.world.embedders.calls
    answer = api.post("/bots", "rival-token", json={**BOT, "collection": "support_docs"})
    assert (409, "/problems/bot-exists") == (answer.status_code, answer.json["type"])
    assert calls == api.world.embedders.calls


# --- what strangers are told ---------------------------------------------------------------


def test_a_stranger_s_registration_learns_nothing_of_others(api: Api) -> None:
    """Of what acme has, only the names that the stranger gives are repeated."""
    api.world.store.add_grant("rival", "*", by="x")
    migration = completed(api)
    target = migration.target_collection
    wishes = [
        {"collection": target},
        {"collection": "support_docs"},
        {"collection": "docs", "alias": "support_docs_live"},
        {"collection": "docs", "bot_id": "support"},
    ]
    for wish in wishes:
        answer = api.post("/bots", "rival-token", json={**BOT, **TARGET, "dimension": None, **wish})
        assert answer.status_code in {409, 422}
        said = answer.get_data(as_text=True)
        for name in {"support_docs", target, "acme", "'support'"} - set(wish.values()):
            assert f"'{name}'" not in said
            assert name not in said or any(name in given for given in wish.values())


# --- another vector -----------------------------------------------------------------------


def test_another_vector_is_taken_when_the_bots_text_gives_it(api: Api) -> None:
    api.world.vectors.reshape("support_docs", float_vectors=("vector", "other"))
    assert "other" == patched(api, vector_field="other")["vector_field"]


def test_a_vector_of_another_dimension_is_refused_with_a_way_out(api: Api) -> None:
    api.world.vectors.reshape("support_docs", float_vectors=("vector", "other"), dimension=9)
    told = patched(api, vector_field="other", status=422)
    assert "holds 9 dimensions and the bot's model gives 64" in told["detail"]
    assert "register it anew" in told["detail"]


def test_the_vector_stays_while_one_can_go_back(api: Api) -> None:
    migration = completed(api)
    api.world.vectors.reshape(migration.target_collection, float_vectors=("vector", "other"))
    told = patched(api, vector_field="other", status=422)
    assert f"can be rolled back to '{migration.source_collection}'" in told["detail"]
