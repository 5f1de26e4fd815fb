"""Requests to the API: what is sent, and what each kind of answer means."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlencode

from cli.config import Address
from cli.endings import Away
from cli.refusals import Refused

#: Longest that an answer may take: a registration embeds a sample while one waits.
PATIENCE_SECONDS = 300.0
_PROBLEM = "application/problem+json"
_SHOWN_BYTES = 200


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    #: The token is among them.
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None
    seconds: float


@dataclass(frozen=True)
class Reply:
    """``headers`` by their names in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


#: Asks and gives the reply, whatever its status. Raises Away.
Send = Callable[[Request], Reply]


@dataclass(frozen=True)
class Answer:
    """What the API has answered to a request that it did not refuse."""

    status: int
    #: As it came.
    text: str

    @cached_property
    def value(self) -> Any:
        """The JSON in it; None where there is nothing. Raises Away where it is cut off."""
        try:
            return json.loads(self.text) if self.text else None
        except ValueError:
            raise Away("The API's answer is cut off; a proxy may have done that.") from None


class Client:
    def __init__(self, address: Address, send: Send) -> None:
        self._address = address
        self._send = send

    @property
    def url(self) -> str:
        return self._address.url

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: str = "application/json",
        seconds: float = PATIENCE_SECONDS,
    ) -> Answer:
        """Raises Refused with the API's problem, Away where nothing that is reembed answers.

        ``query`` may have members that are None, which are left out, and lists, whose members are
        sent one by one.
        """
        sent = {"Authorization": f"Bearer {self._address.token}", "Accept": accept}
        sent |= headers or {}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        url = self.url + path + _query(query or {})
        return self._understood(self._send(Request(method, url, sent, data, seconds)), accept)

    def _understood(self, reply: Reply, accept: str) -> Answer:
        text = reply.body.decode(errors="replace")
        if reply.media_type == _PROBLEM:
            raise Refused(text, reply.headers.get("retry-after"))
        if 200 <= reply.status < 300 and (not text or reply.media_type == accept):
            return Answer(reply.status, text)
        raise Away(_something_else(self.url, reply))


def path(*parts: str | int) -> str:
    """A path of the API: each part stands for itself, whatever is in it."""
    return "".join("/" + quote(str(part), safe="") for part in parts)


def _query(members: Mapping[str, Any]) -> str:
    sent = {name: value for name, value in members.items() if value is not None}
    return "?" + urlencode(sent, doseq=True) if sent else ""


def _something_else(url: str, reply: Reply) -> str:
    where = reply.headers.get("location")
    if 300 <= reply.status < 400 and where:
        return (
            f"{url} answers {reply.status} and points to {where[:_SHOWN_BYTES]}. The token is not "
            "sent on to where an answer points; if that is the API, log in there."
        )
    return (
        f"What answers at {url} with status {reply.status} is not reembed's API: a proxy before "
        "it, or another program. Check the address; if it is right, the API behind it is away."
    )
