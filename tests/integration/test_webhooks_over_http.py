"""Signed messages over a socket: taken, refused, led elsewhere, or never answered."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from devstack.server import LOOPBACK, free_port
from migrations.adapters.notifying import webhooks
from migrations.adapters.notifying.webhooks import Webhooks
from migrations.model.notifications import Receipt, Verdict
from migrations.settings import HookSettings, WebhookSettings
from tests.harness.receiver import SECRET, Receiver, receiving

BODY = {"type": "migration.switched", "sentence": "é"}


def sent(url: str) -> Receipt:
    return Webhooks().send(WebhookSettings(url=url, secret=SECRET), "msg_1", BODY)


def asked(url: str, seconds: float = 5) -> Verdict:
    return Webhooks().ask(HookSettings(url=url, secret=SECRET), "ask_1", BODY, seconds)


def test_a_message_arrives_whole_and_is_verified() -> None:
    with receiving(Receiver()) as receiver:
        assert Receipt() == sent(receiver.url)
        assert [("msg_1", BODY)] == receiver.messages


def test_nobody_is_led_elsewhere() -> None:
    with receiving(Receiver()) as elsewhere:
        told = Receiver(lambda _: (307, b""), location=elsewhere.url)
        with receiving(told) as receiver:
            assert "It answered 307." == sent(receiver.url).reason
            assert asked(receiver.url).switch is None
        assert [] == elsewhere.messages


def test_a_receiver_that_hangs_or_is_not_there_is_given_up_in_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhooks, "ANSWER_SECONDS", 0.2)
    thawed = threading.Event()

    def hang(_: dict[str, Any]) -> tuple[int, bytes]:
        thawed.wait(20)
        return 204, b""

    with receiving(Receiver(hang)) as receiver:
        assert "It does not answer in time." == sent(receiver.url).reason
        assert "It does not answer in time." == asked(receiver.url, 0.2).reason
        thawed.set()
    assert "It cannot be connected to." == sent(f"http://{LOOPBACK}:{free_port()}/").reason


def test_a_hook_says_no() -> None:
    body = b'{"switch": false, "reason": "It is Friday."}'
    with receiving(Receiver(lambda _: (200, body))) as receiver:
        assert Verdict(False, "It is Friday.") == asked(receiver.url)
