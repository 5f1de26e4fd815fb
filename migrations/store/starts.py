"""Recording a new migration: all that must be true at its start, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from migrations.lifecycle.forward import end_carrying_over, require_source
from migrations.lifecycle.room import no_room
from migrations.lifecycle.sequence import first_phase
from migrations.model import messages
from migrations.model.bots import Bot
from migrations.model.config import RollbackMode
from migrations.model.errors import (
    IdempotencyConflict,
    MigrationInProgress,
    RollbackUnavailable,
)
from migrations.model.runs import Migration, NewMigration
from migrations.model.states import DRIVEN, Kind, Status
from migrations.store.bots import require_no_live_migration
from migrations.store.engine import Database
from migrations.store.guarded import (
    apply,
    has_status,
    lock_bot,
    lock_collection,
    lock_limit,
    lock_run,
    now,
    post,
    started,
    take_back,
)
from migrations.store.kept import take_over
from migrations.store.records import (
    ONE_LIVE_MIGRATION,
    MigrationRecord,
    as_bot,
    as_migration,
    config_column,
    proof_column,
)


class SqlStarts:
    """The part of :class:`migrations.ports.run_store.RunStore` that begins a run."""

    _database: Database

    def create(
        self, new: NewMigration, limit: int, of_one_owner: int | None = None
    ) -> tuple[Migration, bool]:
        with self._database.transaction() as session:
            lock_collection(session, new.target_collection)
            bot = as_bot(lock_bot(session, new.bot_id))
            earlier = _same_request(session, new)
            if earlier is not None:
                return earlier, False
            if new.config.rollback_mode is RollbackMode.NOW and new.reverses is not None:
                _end_carrying_over(session, new.reverses, by=new.id)
            require_no_live_migration(session, new.bot_id)
            require_startable(bot, new)
            if new.config.rollback_mode is not RollbackMode.NOW:
                _require_room(session, bot.owner, limit, of_one_owner)
            take_over(session, new)
            migration = _insert(session, bot, new)
            started(session, migration)
            post(session, new.id, messages.run(new.id, 1, first_phase(new.config)))
            return migration, True

    def by_idempotency_key(self, bot_id: str, key: str) -> tuple[Migration, str | None] | None:
        with self._database.reading() as session:
            row = _of_key(session, bot_id, key)
            return (as_migration(row), row.request_digest) if row is not None else None


def _of_key(session: Session, bot_id: str, key: str) -> MigrationRecord | None:
    return session.scalars(
        select(MigrationRecord).where(
            MigrationRecord.bot_id == bot_id, MigrationRecord.idempotency_key == key
        )
    ).one_or_none()


def _same_request(session: Session, new: NewMigration) -> Migration | None:
    row = None
    if new.idempotency_key is not None:
        row = _of_key(session, new.bot_id, new.idempotency_key)
    if row is None:
        return None
    if row.request_digest != new.request_digest:
        raise IdempotencyConflict(migration_id=str(row.id))
    return as_migration(row)


def _end_carrying_over(session: Session, migration_id: UUID, by: UUID) -> None:
    """Its rows are where the bot goes back to, so nobody has to wait for them."""
    locked = lock_run(session, migration_id)
    change = end_carrying_over(locked, by)
    if change is None:
        return
    apply(session, locked, change)
    if locked.migration.reverses is not None:
        take_back(session, locked.migration.reverses, migration_id)


def require_startable(bot: Bot, new: NewMigration) -> None:
    """Raises SourceChanged, or RollbackUnavailable when the way back has been purged."""
    require_source(bot, new.source_collection, new.source_generation)
    kept = bot.previous.collection if bot.previous else None
    if new.kind is Kind.REVERSE and kept != new.target_collection:
        raise RollbackUnavailable(
            f"The collection {new.target_collection!r} is no longer kept for this bot."
        )


def _require_room(session: Session, owner: str, limit: int, of_one_owner: int | None) -> None:
    lock_limit(session)
    owners = session.scalars(select(MigrationRecord.owner).where(has_status(*DRIVEN))).all()
    if refusal := no_room(owners, owner, limit, of_one_owner):
        raise refusal


def _insert(session: Session, bot: Bot, new: NewMigration) -> Migration:
    at = now(session)
    row = MigrationRecord(
        id=new.id,
        bot_id=new.bot_id,
        owner=bot.owner,
        requested_by=new.requested_by,
        kind=new.kind.value,
        reverses=new.reverses,
        config=config_column(new.config),
        status=Status.PENDING.value,
        phase=first_phase(new.config).value,
        epoch=1,
        source_collection=new.source_collection,
        target_collection=new.target_collection,
        source_generation=new.source_generation,
        target_is_kept=new.target_is_kept,
        target_adopted=new.target_adopted,
        idempotency_key=new.idempotency_key,
        request_digest=new.request_digest,
        trace=new.trace,
        **proof_column(bot.proof),
        created_at=at,
        deadline_at=at + timedelta(seconds=new.config.timeout_seconds),
        heartbeat_at=at,
        updated_at=at,
    )
    session.add(row)
    with one_live_migration():
        session.flush()
    return as_migration(row)


@contextmanager
def one_live_migration() -> Iterator[None]:
    """The unique index has the last word on who is the bot's live migration."""
    try:
        yield
    except IntegrityError as error:
        if ONE_LIVE_MIGRATION not in str(error.orig):
            raise
        raise MigrationInProgress from error
