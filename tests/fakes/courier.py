"""Receivers that take what they are sent, or do as they are told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from migrations.model.notifications import Receipt, Verdict


class FakeCourier:
    def __init__(self) -> None:
        #: By endpoint: ids and bodies, each time they were sent.
        self.sent: defaultdict[str, list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
        self.asked: defaultdict[str, list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
        self.verdicts: dict[str, Callable[[], Verdict]] = {}
        self.answers: dict[str, Callable[[], Receipt]] = {}

    def send(self, endpoint: str, message_id: str, body: Mapping[str, Any]) -> Receipt:
        self.sent[endpoint].append((message_id, body))
        return self.answers.get(endpoint, Receipt)()

    def types(self, endpoint: str) -> list[str]:
        """Without the word that all of them begin with."""
        return [body["type"].removeprefix("migration.") for _, body in self.sent[endpoint]]

    def ask(
        self, hook: str, message_id: str, body: Mapping[str, Any], timeout_seconds: float
    ) -> Verdict:
        self.asked[hook].append((message_id, body))
        return self.verdicts.get(hook, lambda: Verdict(True))()
