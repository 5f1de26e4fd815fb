"""One courier for all endpoints of the settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrations.adapters.notifying import chats
from migrations.adapters.notifying.webhooks import Webhooks
from migrations.model.notifications import Receipt, Verdict
from migrations.settings import Settings


class Couriers:
    """Implements :class:`migrations.ports.courier.Courier`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._webhooks = Webhooks()

    def send(self, endpoint: str, message_id: str, body: Mapping[str, Any]) -> Receipt:
        if (webhook := self._settings.webhooks.get(endpoint)) is not None:
            return self._webhooks.send(webhook, message_id, body)
        if (chat := self._settings.notify.get(endpoint)) is not None:
            return chats.send(chat, body)
        return Receipt("There is no such endpoint.", is_final=True)

    def ask(
        self, hook: str, message_id: str, body: Mapping[str, Any], timeout_seconds: float
    ) -> Verdict:
        settings = self._settings.switch_hooks.get(hook)
        if settings is None:
            return Verdict(None, "There is no such hook.")
        return self._webhooks.ask(settings, message_id, body, timeout_seconds)
