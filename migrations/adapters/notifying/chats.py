"""A sentence to a chat or a mailbox, through Apprise, which knows a hundred kinds of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from migrations.model.notifications import NotificationType as Type
from migrations.model.notifications import Receipt
from migrations.settings import ChatSettings

_BAD = frozenset({Type.FAILED, Type.NEEDS_OPERATOR, Type.CANARIES_BREACHED})
_DOUBTFUL = frozenset(
    {Type.WAITING, Type.ROLLING_BACK, Type.CONFLICTS_KEPT, Type.DROP_REFUSED, Type.WAY_BACK_ENDS}
)
_GOOD = frozenset({Type.SWITCHED, Type.COMPLETED})
#: What a chat takes of a list; the report has all of it.
MOST_CHARACTERS = 300


def send(settings: ChatSettings, body: Mapping[str, Any]) -> Receipt:
    import apprise  # half a second, for those who are told this way

    # What it logs may name the URL, which is a secret.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    chat = apprise.Apprise()
    if not chat.add(settings.url.get_secret_value()):
        return Receipt("Apprise does not understand its URL.")
    try:
        taken = chat.notify(title=_title(body), body=_text(body), notify_type=_kind(body["type"]))
    except Exception as error:  # of any of its plugins; the message may name the URL
        return Receipt(f"Apprise could not deliver it ({type(error).__name__}).")
    return Receipt() if taken else Receipt("Apprise could not deliver it.")


def _title(body: Mapping[str, Any]) -> str:
    return f"reembed: {body['type'].removeprefix('migration.').replace('_', ' ')}"


def _text(body: Mapping[str, Any]) -> str:
    data = body["data"]
    details = [f"{name}: {_short(value)}" for name, value in data["detail"].items()]
    which = [f"migration: {data['migration_id']}"] if "migration_id" in data else []
    return "\n".join([body["sentence"], *details, *which])


def _short(value: Any) -> str:
    said = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return said if len(said) <= MOST_CHARACTERS else f"{said[:MOST_CHARACTERS]}…"


def _kind(type_: str) -> str:
    """Apprise's four: they choose a colour."""
    if type_ in _BAD:
        return "failure"
    if type_ in _DOUBTFUL:
        return "warning"
    return "success" if type_ in _GOOD else "info"
