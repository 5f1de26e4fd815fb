"""Writing chunks over HTTP: what is taken, what is refused in which words, and what is told."""

from __future__ import annotations

from typing import Any

import pytest

from migrations.model.chunks import CollectionSchema
from migrations.model.errors import VectorStoreUnavailable
from migrations.model.requests import BotChange
from migrations.model.texts import FieldRecipe, SqlRecipe
from migrations.model.writes import Write, WriteKind
from migrations.process.turns import Turns
from migrations.writers.checking import MOST_JSON_BYTES, check
from tests.fakes.api_client import ACME, Api

CHUNKS, JOURNAL = "/bots/support/chunks", "/bots/support/chunks/journal"


def column(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "params": {}, **more}


COLUMNS = [
    column("pk", "VARCHAR", params={"max_length": 8}, is_primary=True),
    column("text", "VARCHAR", params={"max_length": 20}),
    column("page", "INT8"),
    column("size", "INT64", default_value=0),
    column("score", "FLOAT", nullable=True),
    column("exact", "DOUBLE", nullable=True),
    column("is_new", "BOOL", nullable=True),
    column("meta", "JSON", nullable=True),
    column("tags", "ARRAY", nullable=True, element_type="VARCHAR")
    | {"params": {"max_capacity": 2, "max_length": 3}},
    column("vector", "FLOAT_VECTOR"),
    column("sparse", "SPARSE_FLOAT_VECTOR", is_function_output=True),
]


def schema(*, dynamic: bool = False, columns: Any = COLUMNS, **more: Any) -> CollectionSchema:
    return CollectionSchema(
        **{
            "name": "docs",
            "key_field": "pk",
            "key_is_string": True,
            "vector_field": "vector",
            "dimension": 8,
            "metric": "COSINE",
            "text_candidates": (),
            "description": {"fields": columns, "enable_dynamic_field": dynamic},
            **more,
        }
    )


def wrong(fields: dict[str, Any], key: Any = "k", **more: Any) -> list[tuple[str, str]]:
    """(path, code) of what is wrong with a chunk that is right but for ``fields``."""
    whole = {"text": "a text", "page": 1, **fields}
    whole = {name: value for name, value in whole.items() if value is not ...}
    try:
        check(schema(**more), FieldRecipe(field="text"), [Write(WriteKind.UPSERT, key, whole)])
    except Exception as error:
        return [(one["path"], one["code"]) for one in error.details["errors"]]  # type: ignore[attr-defined]
    return []


def test_what_the_columns_can_hold_is_taken() -> None:
    fields = {"size": 2**62, "score": 1, "exact": 1e300, "is_new": True, "meta": {"a": [None]}}
    assert [] == wrong({**fields, "tags": ["a", "ää"[:1]]})
    assert [] == wrong(dict.fromkeys(["score", "meta", "tags"]))
    assert [] == wrong({"more": {"of": "it"}}, dynamic=True)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("page", ..., "missing"),
        ("page", None, "invalid"),
        ("page", "1", "invalid"),
        ("page", True, "invalid"),
        ("page", 1.0, "invalid"),
        ("page", 128, "invalid"),
        ("size", 2**63, "invalid"),
        ("text", "ä" * 11, "invalid"),
        ("text", "\ud800", "invalid"),
        ("text", 7, "invalid"),
        ("score", 1e39, "invalid"),
        ("exact", float("nan"), "invalid"),
        ("exact", "1", "invalid"),
        ("is_new", 1, "invalid"),
        ("meta", float("inf"), "invalid"),
        ("meta", ["\ud800"], "invalid"),
        ("meta", "x" * MOST_JSON_BYTES, "invalid"),
        ("tags", "a", "invalid"),
        ("tags", ["a", "b", "c"], "invalid"),
        ("tags", ["long"], "invalid"),
        ("vector", [0.0] * 8, "made_by_us"),
        ("sparse", {}, "made_by_us"),
        ("pk", "k", "key_twice"),
        ("colour", "red", "unknown"),
    ],
)
def test_what_a_column_cannot_hold_is_refused(name: str, value: Any, code: str) -> None:
    assert [(f"$.chunks[0].fields.{name}", code)] == wrong({name: value})


def test_a_dynamic_field_takes_what_milvus_can_hold_and_nothing_by_its_own_name() -> None:
    assert [("$.chunks[0].fields", "invalid")] == wrong({"x": "x" * MOST_JSON_BYTES}, dynamic=True)
    assert [('$.chunks[0].fields["$meta"]', "unknown")] == wrong({"$meta": {}}, dynamic=True)


@pytest.mark.parametrize("key", ["", "ninechars", 7, "\ud800"])
def test_a_key_that_the_collection_cannot_have_is_refused(key: Any) -> None:
    assert [("$.chunks[0].key", "key")] == wrong({}, key)


@pytest.mark.parametrize("key", ["7", 2**63, True, 1.0])
def test_a_key_that_is_no_number_is_refused_where_keys_are_numbers(key: Any) -> None:
    assert [("$.chunks[0].key", "key")] == wrong({}, key, key_is_string=False)
    assert [] == wrong({}, 7, key_is_string=False)


def test_a_chunk_without_a_text_is_refused() -> None:
    assert [("$.chunks[0].fields", "no_text")] == wrong({"text": ""})


# --- over HTTP ------------------------------------------------------------------


def a_chunk(key: str = "new", text: str = "a new text.") -> dict[str, Any]:
    return {"key": key, "fields": {"text": text, "page": 1}}


def live_texts(api: Api) -> dict[Any, str]:
    return api.world.texts_of(api.world.store.bot("support").live.collection)


def test_what_is_written_is_acknowledged_then_applied() -> None:
    api = Api()
    answer = api.put(CHUNKS, json={"chunks": [a_chunk(), a_chunk("k000", "another text.")]})
    assert (202, JOURNAL) == (answer.status_code, answer.headers["Location"])
    assert {
        "bot_id": "support",
        "accepted": 2,
        "position": 2,
        "applied": False,
        "failed": [],
    } == answer.json
    api.world.deliver()
    assert ("a new text.", "another text.") == (live_texts(api)["new"], live_texts(api)["k000"])
    told = api.get(JOURNAL).json
    assert (2, 2, 0, None) == (
        *(told["last_position"], told["applied_position"], told["waiting"]),
        told["waiting_since"],
    )


def test_what_is_deleted_is_gone() -> None:
    api = Api()
    answer = api.delete(CHUNKS, json={"keys": ["k000", "never there"]})
    assert (202, 2) == (answer.status_code, answer.json["accepted"])
    api.world.deliver()
    assert "k000" not in live_texts(api)


def test_whoever_waits_is_told_when_it_is_applied_and_what_could_not_be_done() -> None:
    api = Api()
    api.world.embedders.refuse("poison")
    sleep = api.world.clock.sleep

    def meanwhile(seconds: float) -> None:
        sleep(seconds)
        api.world.deliver()

    api.world.clock.sleep = meanwhile  # type: ignore[method-assign]
    chunks = [a_chunk(), a_chunk("bad", "poison.")]
    answer = api.put(f"{CHUNKS}?wait=2", json={"chunks": chunks})
    assert (200, True) == (answer.status_code, answer.json["applied"])
    assert [("bad", "text-refused", 2)] == [
        (one["key"], one["code"], one["position"]) for one in answer.json["failed"]
    ]


def test_whoever_waits_in_vain_is_told_that_it_is_kept() -> None:
    api = Api()
    answer = api.put(f"{CHUNKS}?wait=2", json={"chunks": [a_chunk()]})
    assert (202, False) == (answer.status_code, answer.json["applied"])


def test_whoever_may_not_wait_is_not_refused() -> None:
    api = Api()
    api.services.turns = Turns(0, 0)
    answer = api.put(f"{CHUNKS}?wait=2", json={"chunks": [a_chunk()]})
    assert (202, 1) == (answer.status_code, answer.json["position"])


def test_a_request_that_is_sent_again_with_its_key_is_answered_as_the_first() -> None:
    api = Api()
    once = {"Idempotency-Key": "one"}
    first = api.put(CHUNKS, json={"chunks": [a_chunk()]}, headers=once)
    api.put(CHUNKS, json={"chunks": [a_chunk("x")]})
    again = api.put(CHUNKS, json={"chunks": [a_chunk()]}, headers=once)
    assert first.json == again.json
    assert "true" == again.headers["Idempotent-Replayed"]
    other = api.delete(CHUNKS, json={"keys": ["new"]}, headers=once)
    assert (422, "/problems/idempotency-conflict") == (other.status_code, other.json["type"])


def test_each_thing_that_is_wrong_is_named_with_its_place_and_nothing_is_kept() -> None:
    api = Api()
    chunks = [a_chunk(), {"key": 7, "fields": {"page": 1}}]
    answer = api.put(CHUNKS, json={"chunks": chunks})
    assert (422, "/problems/chunks-invalid") == (answer.status_code, answer.json["type"])
    assert [("body", "$.chunks[1].key"), ("body", "$.chunks[1].fields.text")] == [
        (one["in"], one["path"]) for one in answer.json["errors"]
    ]
    assert 0 == api.get(JOURNAL).json["last_position"]
    answer = api.delete(CHUNKS, json={"keys": ["fine", 7]})
    assert ["$.keys[1]"] == [one["path"] for one in answer.json["errors"]]


def test_a_collection_whose_keys_milvus_gives_is_refused_in_a_sentence() -> None:
    api = Api()
    api.world.vectors.reshape("support_docs", key_is_given=True)
    answer = api.put(CHUNKS, json={"chunks": [a_chunk()]})
    assert (422, "/problems/writes-unsupported") == (answer.status_code, answer.json["type"])
    assert "auto_id" in answer.json["detail"]


def test_a_collection_whose_texts_are_looked_up_is_refused_in_a_sentence() -> None:
    api = Api()
    recipe = SqlRecipe(sql="REEMBED_TEXTS_X", table="t", key="id", column="text")
    api.world.store.change_bot("support", BotChange(recipe=recipe))
    answer = api.put(CHUNKS, json={"chunks": [a_chunk()]})
    assert (422, "/problems/writes-unsupported") == (answer.status_code, answer.json["type"])
    assert "a table of your own" in answer.json["detail"]


def test_a_collection_with_vectors_that_we_cannot_make_is_refused_in_a_sentence() -> None:
    api = Api()
    fields = [{"name": "pk"}, {"name": "text"}, {"name": "image", "type": "FLOAT_VECTOR"}]
    api.world.vectors.alter("support_docs", fields=fields)
    answer = api.put(CHUNKS, json={"chunks": [a_chunk()]})
    assert (422, "/problems/writes-unsupported") == (answer.status_code, answer.json["type"])
    assert "image" in answer.json["detail"]


def test_another_owners_bot_is_not_there() -> None:
    api = Api()
    for answer in (
        api.put(CHUNKS, "rival-token", json={"chunks": [a_chunk()]}),
        api.delete(CHUNKS, "rival-token", json={"keys": ["k000"]}),
        api.get(JOURNAL, "rival-token"),
    ):
        assert (404, "/problems/bot-not-found") == (answer.status_code, answer.json["type"])


def test_a_journal_that_is_full_says_when_to_come_again() -> None:
    api = Api(journal_most_waiting=1000)
    for start in range(0, 1000, 500):
        many = [a_chunk(f"a{n}") for n in range(start, start + 500)]
        assert 202 == api.put(CHUNKS, json={"chunks": many}).status_code
    answer = api.put(CHUNKS, json={"chunks": [a_chunk()]})
    assert (503, "/problems/journal-full") == (answer.status_code, answer.json["type"])
    assert (1000, True) == (answer.json["waiting"], "Retry-After" in answer.headers)


def test_before_anything_is_known_of_the_collection_milvus_has_to_answer() -> None:
    api = Api()
    api.world.vectors.fail("describe", VectorStoreUnavailable("Milvus does not answer."))
    answer = api.put(CHUNKS, json={"chunks": [a_chunk()]})
    assert (503, "/problems/vector-store-unavailable") == (answer.status_code, answer.json["type"])
    assert 202 == api.put(CHUNKS, json={"chunks": [a_chunk()]}).status_code


def test_the_journal_says_why_nothing_is_applied_and_pages_what_failed() -> None:
    api = Api()
    api.world.embedders.refuse("poison")
    api.put(CHUNKS, json={"chunks": [a_chunk(f"bad{n}", f"poison {n}.") for n in range(3)]})
    api.world.deliver()
    first = api.get(f"{JOURNAL}?limit=2").json
    assert (3, 2, 2) == (first["failed_count"], len(first["failed"]), first["next_after"])
    rest = api.get(f"{JOURNAL}?limit=2&after=2").json
    assert (["bad2"], None) == ([one["key"] for one in rest["failed"]], rest["next_after"])
    api.put(CHUNKS, json={"chunks": [a_chunk()]})
    assert 1 == api.get(JOURNAL).json["waiting"]


def test_writes_are_noted_in_the_trail_once_in_a_while() -> None:
    api = Api()
    for n in range(5):
        api.put(CHUNKS, json={"chunks": [a_chunk(f"a{n}")]})
    noted = api.get("/trail", "admin-token").json["entries"]
    assert 1 == sum(one["route"] == "/bots/<bot_id>/chunks" for one in noted)


def test_a_body_for_many_chunks_may_be_large() -> None:
    api = Api()
    chunks = [a_chunk(f"a{n}", "x" * 3000) for n in range(100)]
    assert 202 == api.put(CHUNKS, json={"chunks": chunks}).status_code
    assert 413 == api.put(CHUNKS, json={"chunks": [a_chunk(text="x" * 5_000_000)]}).status_code


def test_more_or_fewer_than_may_be_are_refused() -> None:
    api = Api()
    for body in ({"chunks": []}, {"chunks": [a_chunk()] * 1001}, {"keys": ["a"]}):
        assert 422 == api.put(CHUNKS, json=body).status_code
    assert ACME.owner == api.world.store.bot("support").owner
