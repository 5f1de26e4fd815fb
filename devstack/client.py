"""A few lines of HTTP for the demo and the tests, as any user of the API would write them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    #: By name, in whatever case.
    headers: Message


class ApiClient:
    def __init__(self, url: str, token: str | None) -> None:
        self._url = url
        self._token = token

    def get(self, path: str) -> Answer:
        return self._ask("GET", path, None, {})

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        """``headers`` by keyword, underscores for hyphens: ``idempotency_key="…"``."""
        return self._ask("POST", path, body, _named(headers))

    def patch(self, path: str, body: Any) -> Answer:
        return self._ask("PATCH", path, body, {})

    def put(self, path: str, body: Any, **headers: str) -> Answer:
        return self._ask("PUT", path, body, _named(headers))

    def delete(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self._ask("DELETE", path, body, _named(headers))

    def _ask(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers, method=method)  # noqa: S310 # our own http URL
        if data is not None:
            request.add_header("Content-Type", "application/json")
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310 # as above
                return _answer(reply)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return _answer(refusal)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-").title(): value for name, value in headers.items()}


def _answer(reply: Any) -> Answer:
    text = reply.read().decode()
    is_json = "json" in reply.headers.get("Content-Type", "")
    return Answer(reply.status, json.loads(text) if is_json and text else text, reply.headers)
