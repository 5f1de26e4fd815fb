"""The one way a migration's row is changed: lock, decide, one guarded update, event, message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import ColumnElement, delete, func, select, text, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from migrations.lifecycle.change import Change, LockedRun, is_transition
from migrations.lifecycle.forward import taken_back
from migrations.model.config import MigrationConfig
from migrations.model.errors import BotNotFound, MigrationNotFound, Superseded, TransitionRefused
from migrations.model.runs import Handover, Migration
from migrations.model.states import Phase, Status
from migrations.store.records import (
    BotRecord,
    EventRecord,
    MigrationRecord,
    OutboxRecord,
    as_migration,
    clock,
    config_column,
)

#: First key of our advisory locks; the second says what is locked.
COLLECTION_LOCKS = 0x7EE1
SYSTEM_LOCKS = 0x7EE2
#: 2 was the watchdog's; workers of before may still take it.
LIMIT_LOCK = 1
#: The session keeps no objects that would have to follow.
PLAINLY = {"synchronize_session": False}


def lock_run(session: Session, migration_id: UUID) -> LockedRun:
    """Lock the row until the transaction ends. Raises MigrationNotFound."""
    found = session.execute(
        select(MigrationRecord, clock()).where(MigrationRecord.id == migration_id).with_for_update()
    ).one_or_none()
    if found is None:
        raise MigrationNotFound
    row, at = found
    undone = tuple(Phase(name) for name in row.undone_phases)
    return LockedRun(as_migration(row), undone, at)


def take_back(session: Session, reversed_id: UUID, by: UUID) -> None:
    """The reverse run ``by`` has ended: what it took back is rolled back."""
    locked = lock_run(session, reversed_id)
    change = taken_back(locked, by)
    if change is not None:
        apply(session, locked, change)


def now(session: Session) -> datetime:
    return session.execute(select(clock())).scalar_one()


def apply(session: Session, locked: LockedRun, change: Change) -> Migration:
    """Write ``change``, provided the row still is what was decided about.

    Raises:
        TransitionRefused: the table of transitions does not have this one.
        Superseded: the row is another one by now.
    """
    before = locked.migration
    after = change.values.get("status", before.status)
    if not is_transition(before.status, after):
        raise TransitionRefused(f"A migration that is {before.status} cannot become {after}.")
    moved = as_migration(_guarded_update(session, before, change.values))
    if change.supersedes:
        _forget_unsent(session, before.id)
    if change.event is not None:
        _tell(session, moved, change.event, change.detail, change.phase)
    if change.message is not None:
        post(session, before.id, change.message)
    return moved


def _guarded_update(
    session: Session, before: Migration, values: Mapping[str, Any]
) -> MigrationRecord:
    row = session.scalars(
        update(MigrationRecord)
        .where(
            MigrationRecord.id == before.id,
            MigrationRecord.epoch == before.epoch,
            MigrationRecord.status == before.status.value,
            MigrationRecord.phase == before.phase.value,
        )
        .values(**{name: column_value(v) for name, v in values.items()}, updated_at=clock())
        .returning(MigrationRecord),
        execution_options={"synchronize_session": False, "populate_existing": True},
    ).one_or_none()
    if row is None:
        raise Superseded
    return row


def column_value(value: Any) -> Any:
    """A field of an entity as its column takes it."""
    if isinstance(value, MigrationConfig):
        return config_column(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Handover):
        return asdict(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [column_value(item) for item in value]
    return value


def _tell(
    session: Session,
    migration: Migration,
    event: str,
    detail: dict[str, Any],
    phase: Phase | None = None,
) -> None:
    session.add(
        EventRecord(
            migration_id=migration.id,
            name=event,
            phase=(phase or migration.phase).value,
            epoch=migration.epoch,
            detail=detail,
        )
    )


def started(session: Session, migration: Migration) -> None:
    """The first line of a migration's history."""
    _tell(session, migration, "started", {"by": migration.requested_by})


def post(session: Session, migration_id: UUID, message: Mapping[str, Any]) -> None:
    """Put a message into the outbox, to be sent once this transaction is committed."""
    session.add(OutboxRecord(migration_id=migration_id, epoch=message["epoch"], body=dict(message)))


def _forget_unsent(session: Session, migration_id: UUID) -> None:
    session.execute(
        delete(OutboxRecord).where(
            OutboxRecord.migration_id == migration_id, OutboxRecord.sent_at.is_(None)
        )
    )


def lock_bot(session: Session, bot_id: str) -> BotRecord:
    """Lock the bot's row until the transaction ends. Raises BotNotFound."""
    row = session.scalars(
        select(BotRecord).where(BotRecord.bot_id == bot_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise BotNotFound
    return row


def lock_collection(session: Session, collection: str) -> None:
    """Wait for whoever makes this collection live, aims at it or drops it.

    Taken before any row is locked, everywhere, so that nobody waits in a circle.
    """
    session.execute(select(_collection_lock(collection)))


def lock_target_of(session: Session, migration_id: UUID) -> str:
    """:func:`lock_collection` for where a migration goes; returns the id of its bot.

    In one statement: between a switch and the alias that follows it each round trip counts.
    Neither changes during a migration's life, so they may be read before its row is locked.

    Raises:
        MigrationNotFound: there is none of this id.
    """
    found = session.execute(
        select(MigrationRecord.bot_id, _collection_lock(MigrationRecord.target_collection)).where(
            MigrationRecord.id == migration_id
        )
    ).one_or_none()
    if found is None:
        raise MigrationNotFound
    bot_id: str = found[0]
    return bot_id


def _collection_lock(collection: str | InstrumentedAttribute[str]) -> ColumnElement[None]:
    return func.pg_advisory_xact_lock(COLLECTION_LOCKS, func.hashtext(collection))


def may_idle(session: Session) -> None:
    """Keep this transaction's locks even when its process stands still.

    For a block whose late end would do harm without them.
    """
    session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def lock_limit(session: Session) -> None:
    """One start at a time is counted against the system-wide limit."""
    session.execute(select(func.pg_advisory_xact_lock(SYSTEM_LOCKS, LIMIT_LOCK)))


def has_status(*statuses: Status) -> ColumnElement[bool]:
    return MigrationRecord.status.in_([status.value for status in statuses])
