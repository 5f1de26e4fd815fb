"""A request that breaks a rule is answered with a sentence that says what to do."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any, get_args

import pytest

from api.schemas.requests import GateName
from migrations.model.bots import Role
from migrations.model.config import TargetIndex
from migrations.model.gates import Gates
from tests.fakes.api_client import BOT, TARGET, Api

START = "/bots/support/embeddings/start-migration"


@pytest.fixture
def api() -> Api:
    return Api()


def errors_of(answer: Any) -> dict[str, str]:
    assert (422, "/problems/request-invalid", "application/problem+json") == (
        answer.status_code,
        answer.json["type"],
        answer.mimetype,
    )
    return {f"{one['in']} {one['path']}": one["message"] for one in answer.json["errors"]}


@pytest.mark.parametrize(
    ("wrong", "path", "message"),
    [
        ({"batch_size": 0}, "$.batch_size", "Must be at least 1."),
        ({"batch_size": 2049}, "$.batch_size", "Must be at most 2048."),
        ({"batch_size": "50"}, "$.batch_size", "Must be a whole number."),
        ({"batch_size": 1.5}, "$.batch_size", "Must be a whole number."),
        ({"batch_size": True}, "$.batch_size", "Must be a whole number."),
        ({"batchsize": 5}, "$.batchsize", "There is no such field; did you mean 'batch_size'?"),
        ({"provider": 5}, "$.provider", "Must be a string."),
        (
            {"provider": ""},
            "$.provider",
            "Must have 1 to 255 visible ASCII characters and no spaces.",
        ),
        ({"model": None}, "$.model", "Must be a string."),
        ({"dimension": 0}, "$.dimension", "Must be greater than 0."),
        ({"dimension": 10**30}, "$.dimension", "Must be at most 32768."),
        ({"max_retries": -1}, "$.max_retries", "Must be at least 0."),
        ({"max_retries": 21}, "$.max_retries", "Must be at most 20."),
        ({"retry_delay": 301}, "$.retry_delay", "Must be at most 300."),
        ({"retry_delay": "2"}, "$.retry_delay", "Must be a number."),
        ({"timeout_seconds": 0}, "$.timeout_seconds", "Must be at least 1."),
        ({"timeout_seconds": 10**9}, "$.timeout_seconds", "Must be at most 2592000."),
        ({"enable_rollback": "no"}, "$.enable_rollback", "Must be true or false."),
        ({"verify_migration": 1}, "$.verify_migration", "Must be true or false."),
        ({"max_failed_ratio": 1.1}, "$.max_failed_ratio", "Must be at most 1."),
        ({"over_long": "cut"}, "$.over_long", "Must be 'refuse', 'truncate' or 'split'."),
    ],
)
def test_a_wrong_value_is_named_by_its_path_and_told_its_rule(
    api: Api, wrong: dict[str, object], path: str, message: str
) -> None:
    assert {f"body {path}": message} == errors_of(api.post(START, json=TARGET | wrong))
    assert [] == api.world.store.active()


def test_every_wrong_value_is_named_at_once(api: Api) -> None:
    answer = api.post(START, json={"model": 1, "batch_size": 0})
    assert {
        "body $.provider": "This field is required.",
        "body $.model": "Must be a string.",
        "body $.batch_size": "Must be at least 1.",
    } == errors_of(answer)
    assert "$.provider: This field is required. (2 more in 'errors'.)" == answer.json["detail"]


def test_an_unknown_field_that_resembles_none_is_told_what_there_is(api: Api) -> None:
    answer = api.post("/bots/support/embeddings/validate-change", json=TARGET | {"zz": 1})
    told = errors_of(answer)["body $.zz"]
    assert told.startswith("There is no such field; there are: provider, model, dimension, ")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/bots/support/embeddings/cancel-migration", "This request takes no fields."),
        ("/embeddings/migration/{id}/rollback", "There is no such field; there are: mode."),
    ],
)
def test_a_field_that_is_not_taken_is_refused_and_not_ignored(
    api: Api, path: str, told: str
) -> None:
    migration_id = api.start().id
    answer = api.post(path.format(id=migration_id), json={"force": True})
    assert {"body $.force": told} == errors_of(answer)
    assert "pending" == api.stored(str(migration_id)).status


@pytest.mark.parametrize("name", ["a b", 'q"', "{0}", "x" * 200])
def test_a_strange_field_name_is_quoted_in_the_path(api: Api, name: str) -> None:
    found = errors_of(api.post(START, json=TARGET | {name: 1}))
    step = f".{name[:100]}" if name.isidentifier() else f"[{json.dumps(name)}]"
    assert [f"body ${step}"] == list(found)


@pytest.mark.parametrize("bot_id", ["", "-x", "a b", "a/b", "a" * 101, "ä", "a\n"])
def test_a_malformed_bot_id_is_refused_with_the_rule(api: Api, bot_id: str) -> None:
    rule = (
        "Must begin with a letter or digit and have at most 100 letters, digits, '_', '.' or '-'."
    )
    assert {"body $.bot_id": rule} == errors_of(api.post("/bots", json=BOT | {"bot_id": bot_id}))


@pytest.mark.parametrize("bot_id", ["a", "A" * 100, "7.b_c-d"])
def test_a_well_formed_bot_id_is_taken(api: Api, bot_id: str) -> None:
    assert 201 == api.post("/bots", json=BOT | {"bot_id": bot_id}).status_code


def test_a_malformed_bot_id_in_the_path_is_named_there(api: Api) -> None:
    assert ["path $.bot_id"] == list(errors_of(api.get("/bots/-x")))


def test_a_migration_id_that_is_no_uuid_is_named(api: Api) -> None:
    found = errors_of(api.get("/embeddings/migration/17/progress"))
    assert {
        "path $.migration_id": "Must be a UUID, as in the answer that started the migration."
    } == found


@pytest.mark.parametrize("key", ["a b", "k" * 256])
def test_a_malformed_idempotency_key_is_named(api: Api, key: str) -> None:
    answer = api.post(START, json=TARGET, headers={"Idempotency-Key": key})
    assert ["header $['Idempotency-Key']"] == [path.replace('"', "'") for path in errors_of(answer)]


@pytest.mark.parametrize(
    "text", ["{", '{"a": 1,}', "[" * 60_000, "\xff", "{'a': 1}", '{"a": ' + "9" * 5000 + "}"]
)
def test_malformed_json_is_a_400(api: Api, text: str) -> None:
    answer = api.post(START, data=text.encode("latin-1"), content_type="application/json")
    assert (400, "/problems/body-malformed") == (answer.status_code, answer.json["type"])


@pytest.mark.parametrize("text", ["[]", "7", "null", "true", json.dumps(json.dumps(TARGET))])
def test_json_that_is_no_object_is_refused(api: Api, text: str) -> None:
    answer = api.post(START, data=text, content_type="application/json")
    assert {"body $": "Must be a JSON object."} == errors_of(answer)


def test_an_absent_body_is_refused_where_one_is_needed(api: Api) -> None:
    assert {"body $": "Must be a JSON object."} == errors_of(api.post(START))


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_of_another_media_type_is_a_415(api: Api, media_type: str) -> None:
    answer = api.post(START, data=json.dumps(TARGET), content_type=media_type)
    assert (415, "/problems/media-type-unsupported") == (answer.status_code, answer.json["type"])


def test_a_huge_body_is_a_413(api: Api) -> None:
    answer = api.post(START, json=TARGET | {"model": "m" * 70_000})
    assert (413, "/problems/body-too-large") == (answer.status_code, answer.json["type"])


class Stream:
    """A request's body as a server gives it: it can be read and nothing else."""

    def __init__(self, content: bytes) -> None:
        self._content = BytesIO(content)
        self.bytes_read = 0

    def read(self, size: int = -1) -> bytes:
        read = self._content.read(size)
        self.bytes_read += len(read)
        return read


def test_a_huge_body_of_unknown_length_is_not_cut_but_a_413(api: Api) -> None:
    answer = api.post(
        START,
        content_type="application/json",
        environ_overrides={
            "wsgi.input": Stream(json.dumps(TARGET).encode() + b" " * 70_000),
            "wsgi.input_terminated": True,
        },
    )
    assert (413, "/problems/body-too-large") == (answer.status_code, answer.json["type"])
    assert [] == api.world.store.active()


def test_a_huge_body_that_says_its_length_is_never_read(api: Api) -> None:
    stream = Stream(b" " * 70_000)
    sent = {"wsgi.input": stream, "CONTENT_LENGTH": "70000"}
    answer = api.post(START, environ_overrides=sent)
    assert (413, 0) == (answer.status_code, stream.bytes_read)


def test_a_body_of_nonsense_is_answered_with_a_smaller_one(api: Api) -> None:
    answer = api.post(START, json=TARGET | {f"x{n}": n for n in range(4000)})
    assert 50 == len(errors_of(answer))


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "a\n"])
def test_text_that_a_database_cannot_hold_never_reaches_one(api: Api, text: str) -> None:
    answer = api.post("/bots", json=BOT | {"collection": text})
    assert ["body $.collection"] == list(errors_of(answer))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_is_refused(api: Api, number: str) -> None:
    text = json.dumps(TARGET | {"retry_delay": 0}).replace(": 0}", f": {number}}}")
    answer = api.post(START, data=text, content_type="application/json")
    assert ["body $.retry_delay"] == list(errors_of(answer))


def test_a_value_is_never_repeated_in_the_answer(api: Api) -> None:
    answer = api.post(START, json=TARGET | {"api_key": "sk-hunter2", "batch_size": "hunter2"})
    assert "hunter2" not in answer.text


def test_the_roles_have_the_documented_words() -> None:
    assert ["query", "read", "user", "admin"] == [role.value for role in Role]


def test_the_index_of_the_new_collection_is_part_of_the_run() -> None:
    api = Api()
    index = {"index_type": "IVF_PQ", "params": {"m": 16, "exact": True}, "search": {"nprobe": 9}}
    answer = api.post(START, json=TARGET | {"index": index})
    migration = api.stored(answer.json["migration"]["migration_id"])
    assert migration.config.index == TargetIndex.model_validate(index)


@pytest.mark.parametrize(
    "index",
    [
        {},
        {"index_type": "A B"},
        {"index_type": "HNSW", "metric_type": "IP"},
        {"index_type": "HNSW", "params": {"M": [1]}},
        {"index_type": "HNSW", "params": {"M": "\0"}},
        {"index_type": "HNSW", "params": {"M": 2**60}},
        {"index_type": "HNSW", "search": {"a b": 1}},
    ],
)
@pytest.mark.parametrize("path", ["start-migration", "validate-change"])
def test_an_index_that_cannot_be_one_is_refused(path: str, index: dict[str, Any]) -> None:
    answer = Api().post(f"/bots/support/embeddings/{path}", json=TARGET | {"index": index})
    assert 422 == answer.status_code


def test_every_gate_can_be_asked_for_otherwise_by_its_name() -> None:
    assert set(Gates.model_fields) == set(get_args(GateName))
