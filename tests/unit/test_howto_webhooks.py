"""The how-to's receiver, as printed, takes what we send; its table has every type."""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import Any

import httpx2
import pytest
from dotenv import dotenv_values
from flask.testing import FlaskClient
from honcho.environ import parse

from devstack.server import PROJECT
from migrations.adapters.notifying.webhooks import Webhooks
from migrations.model.notifications import NotificationType
from migrations.settings import Settings, WebhookSettings
from migrations.telling.catalogue import TOLD
from tests.harness.howto import pieces, run

PAGE = PROJECT / "docs" / "howto" / "webhooks.md"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
BODY = {"type": "migration.switched", "sentence": "support: The bot answers from é now."}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    monkeypatch.setenv("REEMBED_WEBHOOK_SECRET", SECRET)
    client: FlaskClient = run(pieces("webhooks.md")["A receiver"]).app.test_client()
    return client


def send(receiver: FlaskClient, secret: str, message_id: str = "msg_1") -> Any:
    """What our webhooks say of the receiver's answer."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        headers = list(request.headers.items())
        answer = receiver.post(request.url.path, data=request.content, headers=headers)
        return httpx2.Response(answer.status_code)

    settings = WebhookSettings(url="https://ops.example/reembed", secret=secret)
    return Webhooks(httpx2.MockTransport(handle)).send(settings, message_id, BODY)


def test_the_receiver_prints_what_it_is_told_once(
    receiver: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [True] * 3 == [send(receiver, SECRET, one).is_taken for one in ("a", "a", "b")]
    assert [f"{BODY['type']} {BODY['sentence']}"] * 2 == capsys.readouterr().out.splitlines()


def test_the_receiver_refuses_what_is_signed_by_somebody_else(
    receiver: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "It answered 401." == send(receiver, OTHER).reason
    assert "" == capsys.readouterr().out


def test_the_table_has_every_type_with_its_details() -> None:
    rows = re.findall(r"^\| `(migration\.\w+)` \|.*\| (.*?) ?\|$", PAGE.read_text(), re.MULTILINE)
    printed = {name: tuple(re.findall(r"`(\w+)`", details)) for name, details in rows}
    assert {words.type.value: words.details for words in TOLD.values()} == printed
    assert {one.value for one in NotificationType} == set(printed)


@pytest.mark.parametrize("setting", ["WEBHOOKS", "NOTIFY", "SWITCH_HOOKS"])
def test_what_is_printed_can_be_set(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = re.findall(rf"^REEMBED_{setting}=.*$", PAGE.read_text(), re.MULTILINE)
    (printed,) = parse(line).values()
    assert dotenv_values(stream=StringIO(line)) == parse(line)
    monkeypatch.setenv(f"REEMBED_{setting}", printed)
    needed = {"database_url": "postgresql+psycopg2://h/d", "redis_url": "redis://h"}
    settings = Settings(**needed, milvus_uri="http://h", _env_file=None)
    assert set(json.loads(printed)) == set(getattr(settings, setting.lower()))
