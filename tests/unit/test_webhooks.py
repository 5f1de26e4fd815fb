"""Signed messages: receivers' libraries take them, and nothing else of an answer counts."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apprise
import httpx2
import pytest
from apprise.decorators import notify
from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from migrations.adapters.notifying.couriers import Couriers
from migrations.adapters.notifying.webhooks import Webhooks
from migrations.model.notifications import WORTH_A_MESSAGE, Receipt
from migrations.settings import ChatSettings, Settings, WebhookSettings

URL = "https://ops.example/hooks/hunter2"
SECRET, OTHER = ("whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
BODY = {
    "type": "migration.failed",
    "sentence": "bot: é failed.",
    "data": {"migration_id": "m-1", "detail": {"code": "x", "breaches": ["a", "b" * 400]}},
}


def hook(**changes: Any) -> WebhookSettings:
    return WebhookSettings(**{"url": URL, "secret": SECRET, **changes})


class Receiver:
    """Answers as it is told and keeps what it was sent."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers) or [httpx2.Response(204)]
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def send(self, settings: WebhookSettings | None = None) -> Receipt:
        webhooks = Webhooks(httpx2.MockTransport(self))
        return webhooks.send(settings or hook(), "msg_1", BODY)


def test_a_receivers_library_verifies_it() -> None:
    receiver = Receiver()
    assert Receipt() == receiver.send()
    (request,) = receiver.requests
    assert ("POST", URL, "msg_1") == (request.method, request.url, request.headers["webhook-id"])
    assert BODY == Webhook(SECRET).verify(request.content, dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(request.content, dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.content + b" ", dict(request.headers))


def test_while_a_secret_takes_anothers_place_either_verifies_it() -> None:
    receiver = Receiver()
    receiver.send(hook(secret=f"{SECRET} {OTHER}"))
    (request,) = receiver.requests
    for secret in (SECRET, OTHER):
        Webhook(secret).verify(request.content, dict(request.headers))


def test_a_secret_may_stand_in_a_file_that_is_read_each_time(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    settings = hook(secret=None, secret_file=file)
    receiver = Receiver(httpx2.Response(200), httpx2.Response(200))
    assert "secret_file cannot be read: No such file" in str(receiver.send(settings).reason)
    for secret in (SECRET, OTHER):
        file.write_text(f"{secret}\n")
        assert receiver.send(settings).is_taken
        request = receiver.requests[-1]
        Webhook(secret).verify(request.content, dict(request.headers))
    file.write_text("hunter2")
    refused = receiver.send(settings)
    assert ("What stands in its secret_file is no secret.", False) == (
        refused.reason,
        refused.is_final,
    )


@pytest.mark.parametrize(
    ("answer", "receipt"),
    [
        (httpx2.Response(200, text="whatever"), Receipt()),
        (httpx2.Response(500), Receipt("It answered 500.")),
        (
            httpx2.Response(302, headers={"location": "http://127.0.0.1/"}),
            Receipt("It answered 302."),
        ),
        (httpx2.Response(429, headers={"retry-after": "120"}), Receipt("It answered 429.", 120.0)),
        (httpx2.Response(503, headers={"retry-after": "soon"}), Receipt("It answered 503.")),
        (httpx2.Response(410), Receipt("It answered 410. It wants no more of them.", None, True)),
        (httpx2.ConnectError(f"no route to {URL}"), Receipt("It cannot be connected to.")),
        (httpx2.InvalidURL(f"{URL} is none"), Receipt("It was not understood (InvalidURL).")),
        (httpx2.ReadTimeout(f"{URL} is slow"), Receipt("It does not answer in time.")),
        (
            httpx2.RemoteProtocolError(f"{URL} speaks otherwise"),
            Receipt("It was not understood (RemoteProtocolError)."),
        ),
    ],
)
def test_an_answer_is_judged_by_its_status_and_no_url_is_repeated(
    answer: httpx2.Response | Exception, receipt: Receipt
) -> None:
    receiver = Receiver(answer)
    assert receipt == receiver.send()
    assert 1 == len(receiver.requests)


# --- settings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"url": "ftp://ops.example/"}, "must begin with https"),
        ({"url": "https:///path"}, "name a host"),
        ({"url": "https://h:hunter2/"}, "name a host"),
        ({"url": "https://h:99999/"}, "name a host"),
        ({"secret": None}, "either secret or secret_file"),
        ({"secret_file": "/run/secret"}, "either secret or secret_file"),
        ({"secret": "whsec_hunter2"}, "24 to 64 bytes"),
        ({"secret": ""}, "24 to 64 bytes"),
        ({"events": ["migration.start"]}, "fits no type of notification"),
        ({"events": []}, "at least 1"),
        ({"token": "hunter2"}, "Extra inputs"),
    ],
)
def test_what_could_never_be_sent_is_refused_at_the_start(
    changes: dict[str, Any], refusal: str
) -> None:
    with pytest.raises(ValidationError, match=refusal) as refused:
        hook(**changes)
    assert "hunter2" not in str(refused.value)


def test_a_name_is_one_endpoints_and_fit_for_a_log() -> None:
    needed = {"database_url": "postgresql+psycopg2://h/d", "redis_url": "redis://h"}
    needed |= {"milvus_uri": "http://h"}
    ops = {"url": URL, "secret": SECRET}
    with pytest.raises(ValidationError, match="ops is in both"):
        Settings(**needed, webhooks={"ops": ops}, notify={"ops": {"url": "json://h"}})
    with pytest.raises(ValidationError, match="pattern"):
        Settings(**needed, webhooks={"a name": ops})


def test_neither_urls_nor_secrets_are_shown() -> None:
    settings = Settings(
        database_url="postgresql+psycopg2://h/d",
        redis_url="redis://h",
        milvus_uri="http://h",
        webhooks={"ops": {"url": URL, "secret": SECRET}},
        notify={"chat": {"url": "slack://hunter2"}},
    )
    shown = f"{settings!r} {settings.model_dump()}"
    assert "hunter2" not in shown
    assert SECRET not in shown


# --- chats ------------------------------------------------------------------------------


@pytest.fixture
def chat() -> Iterator[list[dict[str, str]]]:
    """What a chat of ours was sent; its scheme is ``reembedtest``."""
    sent: list[dict[str, str]] = []

    @notify(on="reembedtest")
    def take(body: str, title: str, notify_type: str, **_: Any) -> bool:
        sent.append({"title": title, "body": body, "type": notify_type})
        if "tells" in title:
            raise RuntimeError("hunter2")
        return "started" not in title

    yield sent
    apprise.plugins.N_MGR.remove("reembedtest")


def chatting(url: str = "reembedtest://hunter2") -> Callable[[dict[str, Any]], Receipt]:
    settings = Settings(
        database_url="postgresql+psycopg2://h/d",
        redis_url="redis://h",
        milvus_uri="http://h",
        notify={"chat": ChatSettings(url=url)},
    )
    return lambda body: Couriers(settings).send("chat", "msg_1", body)


def test_a_chat_is_sent_a_sentence_and_the_migration(chat: list[dict[str, str]]) -> None:
    assert Receipt() == chatting()(BODY)
    (sent,) = chat
    assert ("reembed: failed", "failure") == (sent["title"], sent["type"])
    lines = sent["body"].splitlines()
    assert ["bot: é failed.", "code: x", "migration: m-1"] == [lines[0], lines[1], lines[-1]]
    assert len(lines[2]) < 350


def test_a_chat_that_does_not_take_it_is_tried_again_and_its_url_is_not_told(
    chat: list[dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refused = chatting()({**BODY, "type": "migration.started"})
    broken = chatting()({**BODY, "type": "tells"})
    unknown = chatting("nothing-like-that://hunter2")(BODY)
    assert [False] * 3 == [one.is_final for one in (refused, broken, unknown)]
    assert "Apprise could not deliver it." == refused.reason
    assert "Apprise does not understand its URL." == unknown.reason
    assert "hunter2" not in f"{refused} {broken} {unknown} {caplog.text}"


def test_a_chat_hears_of_what_a_person_wants_to_know_unless_told_otherwise() -> None:
    assert {one.value for one in WORTH_A_MESSAGE} == set(ChatSettings(url="json://h").events)


def test_nothing_is_sent_to_what_the_settings_do_not_name(chat: list[dict[str, str]]) -> None:
    settings = Settings(
        database_url="postgresql+psycopg2://h/d", redis_url="redis://h", milvus_uri="http://h"
    )
    receipt = Couriers(settings).send("chat", "msg_1", json.loads(json.dumps(BODY)))
    assert ("There is no such endpoint.", True) == (receipt.reason, receipt.is_final)
    assert [] == chat
