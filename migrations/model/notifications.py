"""What others are told of migrations: kinds of messages, the message, how it was received."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from migrations.model.runs import Event, Migration


class NotificationType(StrEnum):
    """The ``type`` of a message; endpoints say which of them they want."""

    #: A migration or a rollback after the switch was started.
    STARTED = "migration.started"
    #: It is verified and waits for somebody: held back by a gate, by a veto, or as asked.
    WAITING = "migration.waiting"
    #: Somebody has accepted it, and it goes on to its switch.
    ACCEPTED = "migration.accepted"
    #: Somebody has paused it; nothing is undone and nothing paid.
    PAUSED = "migration.paused"
    #: It goes on from where it stood.
    RESUMED = "migration.resumed"
    #: The bot answers from the new collection.
    SWITCHED = "migration.switched"
    #: It is done; the way back is open until its retention window closes.
    COMPLETED = "migration.completed"
    #: Somebody has cancelled it; what it did is being undone.
    CANCELLED = "migration.cancelled"
    #: It failed or ran out of time, and what it did is being undone.
    ROLLING_BACK = "migration.rolling_back"
    #: The bot is as it was before.
    ROLLED_BACK = "migration.rolled_back"
    #: It failed and, as asked, nothing was undone.
    FAILED = "migration.failed"
    #: An undo failed: a person is needed.
    NEEDS_OPERATOR = "migration.needs_operator"
    #: Writes that came to the old collection after the switch were not taken over.
    CONFLICTS_KEPT = "migration.conflicts_kept"
    #: After the switch the live collection answers worse than it was verified.
    CANARIES_BREACHED = "migration.canaries_breached"
    #: The retention window closes soon; after that there is no rollback.
    WAY_BACK_ENDS = "migration.way_back_ends"
    #: It has closed; the previous collection is kept for a while.
    WAY_BACK_ENDED = "migration.way_back_ended"
    #: Somebody still writes to a kept collection, so it was not dropped.
    DROP_REFUSED = "migration.drop_refused"


#: What a person wants to hear of who asks for nothing in particular.
WORTH_A_MESSAGE = (
    NotificationType.WAITING,
    NotificationType.SWITCHED,
    NotificationType.ROLLING_BACK,
    NotificationType.ROLLED_BACK,
    NotificationType.FAILED,
    NotificationType.NEEDS_OPERATOR,
    NotificationType.CONFLICTS_KEPT,
    NotificationType.CANARIES_BREACHED,
    NotificationType.WAY_BACK_ENDS,
)


@dataclass(frozen=True)
class Untold:
    """An event of which it was not decided yet who is told."""

    event_id: int
    event: Event
    migration: Migration


@dataclass(frozen=True)
class NewDelivery:
    """One message to one endpoint, to be sent until it is taken."""

    endpoint: str
    #: The same for every endpoint and every try, and nobody else's anywhere.
    message_id: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Delivery:
    """One that is due. ``attempts`` counts the one that is to be made now."""

    id: int
    endpoint: str
    message_id: str
    body: Mapping[str, Any]
    attempts: int
    created_at: datetime


@dataclass(frozen=True)
class Standing:
    """How an endpoint stands: what it has not taken."""

    endpoint: str
    waiting: int
    #: Within the last thirty days.
    given_up: int
    #: Of the last message that it has not taken.
    reason: str | None


@dataclass(frozen=True)
class Receipt:
    """How a message was received."""

    #: None: it was taken.
    reason: str | None = None
    #: What the receiver asked for.
    again_after_seconds: float | None = None
    #: It wants none any more.
    is_final: bool = False

    @property
    def is_taken(self) -> bool:
        return self.reason is None


@dataclass(frozen=True)
class Verdict:
    """What a hook has said of a switch."""

    #: None: it has not said.
    switch: bool | None
    #: In its own words; or why it has not said.
    reason: str = ""
