"""Signed messages over HTTP, to URLs of the settings and nowhere else.

No redirection is followed: it would lead to where the operator has not sent us. Of an answer to
a message only the status counts; of one to a question also what it says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx2

from migrations.adapters.notifying.signing import NoSecret, secrets_of, signed
from migrations.model.notifications import Receipt, Verdict
from migrations.settings import SignedSettings, WebhookSettings

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 10.0
#: An answer is a word and a sentence; what is longer is none.
MOST_BYTES = 16_384
MOST_CHARACTERS = 500
#: What a request may come to; the last two where a URL or a header turns out to be none.
_FAULTS = (httpx2.HTTPError, httpx2.InvalidURL, ValueError)


class Webhooks:
    """Safe for threads and over a fork. ``transport`` is the network unless a test says so."""

    def __init__(self, transport: httpx2.BaseTransport | None = None) -> None:
        self._transport = transport
        self._clients: dict[int, httpx2.Client] = {}

    @property
    def _client(self) -> httpx2.Client:
        """Made when it is first used; a forked child has one of its own."""
        pid = os.getpid()
        if pid not in self._clients:
            timeout = httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
            self._clients[pid] = httpx2.Client(
                timeout=timeout, follow_redirects=False, transport=self._transport
            )
        return self._clients[pid]

    def send(self, settings: WebhookSettings, message_id: str, body: Mapping[str, Any]) -> Receipt:
        try:
            headers, content = signed(secrets_of(settings), message_id, body)
        except NoSecret as error:
            return Receipt(str(error))
        url = settings.url.get_secret_value()
        try:
            with self._client.stream("POST", url, content=content, headers=headers) as answer:
                return _receipt(answer.status_code, answer.headers.get("retry-after"))
        except _FAULTS as error:
            return Receipt(in_words(error))

    def ask(
        self,
        settings: SignedSettings,
        message_id: str,
        body: Mapping[str, Any],
        timeout_seconds: float,
    ) -> Verdict:
        try:
            headers, content = signed(secrets_of(settings), message_id, body)
        except NoSecret as error:
            return Verdict(None, str(error))
        url, timeout = settings.url.get_secret_value(), httpx2.Timeout(timeout_seconds)
        try:
            with self._client.stream(
                "POST", url, content=content, headers=headers, timeout=timeout
            ) as answer:
                return _verdict(answer.status_code, _read(answer))
        except _FAULTS as error:
            return Verdict(None, in_words(error))


def _read(answer: httpx2.Response) -> bytes:
    """As much as is looked at; a little more where there is more."""
    found = b""
    for part in answer.iter_bytes():
        found += part
        if len(found) > MOST_BYTES:
            break
    return found


def _verdict(status: int, content: bytes) -> Verdict:
    if not 200 <= status < 300:
        return Verdict(None, f"It answered {status}.")
    try:
        said = json.loads(content) if len(content) <= MOST_BYTES else None
    except ValueError:
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("switch"), bool):
        return Verdict(None, f'It answered {status} and did not say whether to "switch".')
    reason = said.get("reason")
    return Verdict(said["switch"], reason[:MOST_CHARACTERS] if isinstance(reason, str) else "")


def _receipt(status: int, retry_after: str | None) -> Receipt:
    if 200 <= status < 300:
        return Receipt()
    reason = f"It answered {status}."
    if status == HTTPStatus.GONE:
        return Receipt(f"{reason} It wants no more of them.", is_final=True)
    asked = float(retry_after) if retry_after and retry_after.isdigit() else None
    return Receipt(reason, again_after_seconds=asked)


def in_words(error: Exception) -> str:
    """Without what the error says itself, which may name the URL."""
    match error:
        case httpx2.ConnectTimeout() | httpx2.ConnectError():
            return "It cannot be connected to."
        case httpx2.TimeoutException():
            return "It does not answer in time."
        case _:
            return f"It was not understood ({type(error).__name__})."
