"""Send what was recorded: at least once, after the commit that recorded it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog

from migrations.model.errors import ReembedError
from migrations.model.runs import OutboxMessage
from migrations.process.services import Services

log = structlog.get_logger(__name__)

#: A message this old was not sent by whoever recorded it.
FORGOTTEN_AFTER_SECONDS = 3.0


def send_of(services: Services, migration_id: UUID) -> bool:
    """Send a migration's messages now; False when that fails and is left to being sent again."""
    try:
        _send(services, services.store.unsent_of(migration_id))
    except ReembedError as error:
        log.warning("sending_postponed", reason=error.message)
        return False
    return True


def resend(services: Services) -> int:
    """Send every message that was forgotten; the number sent."""
    return _send(services, services.store.unsent(FORGOTTEN_AFTER_SECONDS))


def _send(services: Services, pending: Sequence[OutboxMessage]) -> int:
    return sum(_sent(services, message) for message in pending)


def _sent(services: Services, message: OutboxMessage) -> bool:
    """False for one that cannot be sent at all: it must not keep back those after it."""
    try:
        services.dispatcher.send(message.body)
    except ReembedError:
        raise
    except Exception:
        log.exception("message_refused", message_id=message.id, kind=message.body.get("kind"))
        return False
    services.store.mark_sent([message.id])
    return True
