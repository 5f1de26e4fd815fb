"""Who takes messages to those who want to be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from migrations.model.notifications import Receipt, Verdict


class Courier(Protocol):
    """Knows the endpoints of the settings; sends to no others."""

    def send(self, endpoint: str, message_id: str, body: Mapping[str, Any]) -> Receipt:
        """One try, which ends within half a minute. Nothing is raised.

        A reason names no URL, token or secret.
        """
        ...

    def ask(
        self, hook: str, message_id: str, body: Mapping[str, Any], timeout_seconds: float
    ) -> Verdict:
        """What a hook of the settings says of a switch. Nothing is raised.

        A hook that sends its answer drop by drop may take longer than the timeout.
        """
        ...


class NoCourier:
    """Where nobody is to be told."""

    def send(self, endpoint: str, message_id: str, body: Mapping[str, Any]) -> Receipt:
        return Receipt("There is no such endpoint.", is_final=True)

    def ask(
        self, hook: str, message_id: str, body: Mapping[str, Any], timeout_seconds: float
    ) -> Verdict:
        return Verdict(None, "There is no such hook.")
