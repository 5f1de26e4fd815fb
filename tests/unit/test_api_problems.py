"""Every error is a problem document, by one table."""

from __future__ import annotations

import inspect
from uuid import UUID

import pytest

from api import problems
from migrations.model import errors
from migrations.model.errors import ReembedError, first_sentence
from tests.fakes.api_client import BOT, TARGET, Api

DOMAIN = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, ReembedError)
]
START = "/bots/support/embeddings/start-migration"


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.mark.parametrize(
    ("error", "title"),
    [
        (errors.CheckpointsLost, "Checkpoints lost"),
        (errors.SwitchInProgress, "Switch completing"),
        (errors.TextRefused, "Provider refuses the text"),
    ],
)
def test_a_title_is_the_code_in_words_unless_there_are_better_ones(
    error: type[ReembedError], title: str
) -> None:
    assert title == problems.TABLE[error].title


def test_no_two_errors_have_one_code() -> None:
    codes = [error.code for error in problems.TABLE]
    codes += [kind.code for kind in problems.HTTP_TABLE.values()]
    assert sorted(set(codes)) == sorted(codes)


@pytest.mark.parametrize("error", DOMAIN, ids=lambda error: error.__name__)
def test_every_error_is_answered_by_its_own_sentence(api: Api, error: type[ReembedError]) -> None:
    api.fail_bots(error())
    answer = api.get("/bots", headers={"X-Request-ID": "r-1"})
    kind = problems.TABLE[error]
    assert {
        "type": f"/problems/{error.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": first_sentence(error),
        "instance": "/bots",
        "request_id": "r-1",
    } == answer.json
    assert (kind.status, "application/problem+json") == (answer.status_code, answer.mimetype)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.RequestError, 400),
        (errors.NotAuthenticated, 401),
        (errors.NotAllowed, 403),
        (errors.BotNotFound, 404),
        (errors.BotExists, 409),
        (errors.MigrationInProgress, 409),
        (errors.UnknownModel, 422),
        (errors.TooManyMigrations, 429),
        (errors.ProviderQuotaExhausted, 502),
        (errors.ProviderRateLimited, 503),
        (errors.CollectionNotLoaded, 503),
        (errors.AnswerTooLarge, 502),
        (errors.TimedOut, 504),
    ],
)
def test_a_client_can_rely_on_the_status(error: type[ReembedError], status: int) -> None:
    assert status == problems.TABLE[error].status


def test_an_error_without_a_line_is_answered_like_its_parent() -> None:
    class Unlisted(errors.SwitchInProgress):
        """It is new."""

    assert problems.TABLE[errors.SwitchInProgress] == problems.kind_of(Unlisted)


def test_an_errors_details_are_further_members(api: Api) -> None:
    live = api.start()
    answer = api.post(START, json=TARGET)
    assert (409, "/problems/migration-in-progress") == (answer.status_code, answer.json["type"])
    assert str(live.id) == answer.json["migration_id"]


def test_details_never_replace_the_standard_members(api: Api) -> None:
    api.fail_bots(errors.BotExists(status="live", type=UUID(int=0), title=float("nan")))
    answer = api.get("/bots").json
    assert (409, "/problems/bot-exists", "Bot exists already") == (
        answer["status"],
        answer["type"],
        answer["title"],
    )


def test_a_message_of_its_own_is_the_detail(api: Api) -> None:
    api.fail_bots(errors.UnknownModel("There is no model 'x'."))
    assert "There is no model 'x'." == api.get("/bots").json["detail"]


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (errors.ProviderRateLimited(retry_after_seconds=12.1), "13"),
        (errors.ProviderRateLimited(retry_after_seconds=0), "0"),
        (errors.StateStoreUnavailable(), "5"),
        (errors.TooManyMigrations(), "30"),
        (errors.MigrationInProgress(), None),
    ],
    ids=["announced", "at once", "not announced", "too many", "no use in waiting"],
)
def test_what_passes_says_when_to_come_back(
    api: Api, error: ReembedError, seconds: str | None
) -> None:
    api.fail_bots(error)
    assert seconds == api.get("/bots").headers.get("Retry-After")


def test_an_unforeseen_error_shows_nothing_of_its_inside(api: Api) -> None:
    api.fail_bots(RuntimeError("postgresql://user:hunter2@db"))
    answer = api.get("/bots")
    assert (500, "/problems/internal-error") == (answer.status_code, answer.json["type"])
    assert "hunter2" not in answer.text


def test_an_unknown_path_is_a_problem(api: Api) -> None:
    answer = api.get("/nothing")
    assert (404, "/problems/not-found", "/nothing") == (
        answer.status_code,
        answer.json["type"],
        answer.json["instance"],
    )


def test_a_wrong_method_is_a_problem_that_keeps_its_allow_header(api: Api) -> None:
    answer = api.client.delete("/bots")
    assert (405, "/problems/method-not-allowed") == (answer.status_code, answer.json["type"])
    assert {"GET", "HEAD", "OPTIONS", "POST"} == set(answer.headers["Allow"].split(", "))
    assert ["application/problem+json"] == answer.headers.getlist("Content-Type")


def test_a_repeated_registration_is_a_conflict(api: Api) -> None:
    api.post("/bots", json=BOT)
    answer = api.post("/bots", json=BOT)
    assert (409, "/problems/bot-exists") == (answer.status_code, answer.json["type"])


def test_a_key_used_for_another_wish_is_refused(api: Api) -> None:
    headers = {"Idempotency-Key": "k"}
    api.post(START, json=TARGET, headers=headers)
    answer = api.post(START, json=TARGET | {"dimension": 128}, headers=headers)
    assert (422, "/problems/idempotency-conflict") == (answer.status_code, answer.json["type"])


def test_the_same_model_is_refused(api: Api) -> None:
    answer = api.post(START, json=TARGET | {"dimension": 64})
    assert (422, "/problems/same-model") == (answer.status_code, answer.json["type"])


def test_a_second_rollback_is_refused(api: Api) -> None:
    rollback = f"/embeddings/migration/{api.start().id}/rollback"
    assert (202, 409) == (api.post(rollback).status_code, api.post(rollback).status_code)


def test_a_cancel_without_a_live_migration_is_refused(api: Api) -> None:
    answer = api.post("/bots/support/embeddings/cancel-migration")
    assert (409, "/problems/no-active-migration") == (answer.status_code, answer.json["type"])


@pytest.mark.parametrize("error", problems.TABLE, ids=lambda error: error.code)
def test_every_type_is_a_path_that_explains_it(api: Api, error: type[ReembedError]) -> None:
    page = api.get(problems.TYPE_PREFIX + error.code, None)
    assert (200, "text/html") == (page.status_code, page.mimetype)
    assert problems.TABLE[error].title in page.text


@pytest.mark.parametrize("kind", problems.HTTP_TABLE.values(), ids=lambda kind: kind.code)
def test_every_type_of_http_problem_is_explained(api: Api, kind: problems.HttpKind) -> None:
    assert kind.detail.split("'")[0] in api.get(problems.TYPE_PREFIX + kind.code, None).text


def test_an_unknown_problem_is_a_problem(api: Api) -> None:
    answer = api.get("/problems/<b>", None)
    assert (404, "/problems/problem-unknown") == (answer.status_code, answer.json["type"])
