"""Bots: which collection and model each answers from, and where it was before."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import (
    ColumnElement,
    Executable,
    Text,
    Update,
    any_,
    bindparam,
    exists,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from migrations.model.bots import Bot
from migrations.model.errors import BotExists, BotNotFound, CollectionInUse, MigrationInProgress
from migrations.model.requests import READ_BY_RUNS, BotChange
from migrations.model.states import LIVE, Status
from migrations.store.engine import Database
from migrations.store.guarded import has_status, lock_collection, may_idle, now
from migrations.store.records import (
    BotRecord,
    KeptRecord,
    MigrationRecord,
    as_bot,
    clock,
    manner_column,
    pair_columns,
    proof_column,
    recipe_columns,
)

#: Live migrations that still mean to use their collections; one that rolls back
#: gives its target up.
HEADING_FOR_SWITCH = LIVE - {Status.ROLLING_BACK, Status.NEEDS_OPERATOR}


def require_generation(change: BotChange, generation: int) -> None:
    """What was found of another collection is not said of this one. Raises MigrationInProgress."""
    if change.of_generation not in {None, generation}:
        raise MigrationInProgress("The bot has been switched meanwhile; look at it and ask again.")


class SqlBots:
    """Implements :class:`migrations.ports.bot_store.BotStore`."""

    _database: Database

    def add_bot(self, bot: Bot) -> Bot:
        with self._database.transaction() as session:
            lock_collection(session, bot.live.collection)
            kept = _kept_though_free(session, bot.live.collection)
            if kept is not None:
                session.delete(kept)
            row = BotRecord(
                bot_id=bot.bot_id,
                owner=bot.owner,
                alias=bot.alias,
                key_field=bot.key_field,
                **recipe_columns(bot.recipe),
                vector_field=bot.vector_field,
                drop_originals=bot.drop_originals,
                **pair_columns(bot),
            )
            session.add(row)
            try:
                session.flush()
            except IntegrityError as error:
                raise _already(bot, error) from error
            return as_bot(row)

    def require_free(self, collection: str) -> None:
        with self._database.reading() as session:
            _kept_though_free(session, collection)

    def bot(self, bot_id: str) -> Bot:
        return self._found(_BY_ID, {"bot_id": bot_id})

    def bot_by_alias(self, alias: str) -> Bot:
        return self._found(_BY_ALIAS, {"alias": alias})

    def _found(self, statement: Executable, values: Mapping[str, str]) -> Bot:
        row = self._database.read_one(statement, values)
        if row is None:
            raise BotNotFound
        return as_bot(row)

    def alias_moves(self, bot_id: str, live: str, at: str) -> bool:
        moving = _of_live(bot_id, live).values(
            alias_collection=at, alias_moves_at=func.coalesce(BotRecord.alias_moves_at, clock())
        )
        with self._database.transaction() as session:
            return session.execute(moving.returning(BotRecord.bot_id)).one_or_none() is not None

    def alias_followed(self, bot_id: str, live: str) -> None:
        followed = _of_live(bot_id, live).values(alias_collection=None, alias_moves_at=None)
        with self._database.transaction() as session:
            session.execute(followed)

    def bots(
        self, owner: str | None = None, *, after: str | None = None, limit: int | None = None
    ) -> list[Bot]:
        wanted = select(BotRecord).order_by(BotRecord.bot_id).limit(limit)
        if owner is not None:
            wanted = wanted.where(BotRecord.owner == owner)
        if after is not None:
            wanted = wanted.where(BotRecord.bot_id > after)
        with self._database.reading() as session:
            return [as_bot(row) for row in session.scalars(wanted)]

    def bots_of(self, bot_ids: Collection[str]) -> dict[str, Bot]:
        wanted = select(BotRecord).where(
            BotRecord.bot_id == any_(literal(list(bot_ids), ARRAY(Text)))
        )
        with self._database.reading() as session:
            return {row.bot_id: as_bot(row) for row in session.scalars(wanted)}

    def change_bot(self, bot_id: str, change: BotChange) -> Bot:
        with self._database.transaction() as session:
            row = _lock_for_change(session, bot_id)
            values = change.values(as_bot(row))
            if values.keys() & READ_BY_RUNS:
                require_no_live_migration(session, bot_id)
                require_generation(change, row.generation)
            if "drop_originals" in values:
                _reconsider_kept(session, bot_id, values["drop_originals"])
            if "owner" in values:
                _hand_over_runs(session, bot_id, values["owner"])
            recipe, manner = values.pop("recipe", None), values.pop("manner", None)
            proof = values.pop("proof", None)
            columns = {
                **values,
                **(recipe_columns(recipe) if recipe else {}),
                **(proof_column(proof) if proof else {}),
            }
            if manner is not None:
                columns["manner"] = manner_column(manner, row.live_collection)
            for name, value in columns.items():
                setattr(row, name, value)
            if columns:
                row.updated_at = now(session)
            return as_bot(row)

    @contextmanager
    def lock_for_drop(self, collection: str) -> Iterator[bool]:
        # Registering, starting and switching take the same lock, so that none of
        # them can make the collection somebody's while the block drops it.
        with self._database.transaction() as session:
            may_idle(session)  # while the vector store works, however long it takes
            lock_collection(session, collection)
            yield not is_wanted(session, collection)

    def may_be_dropped(self, bot_id: str, collection: str) -> bool:
        with self._database.reading() as session:
            return bool(session.execute(select(may_be_dropped(bot_id, collection))).scalar_one())


#: Made once, because every reader asks.
_BOTS = BotRecord.__table__.c
_BY_ID = select(*_BOTS).where(_BOTS.bot_id == bindparam("bot_id"))
_BY_ALIAS = select(*_BOTS).where(_BOTS.alias == bindparam("alias"))


def _of_live(bot_id: str, live: str) -> Update:
    """To be given values; the row of a bot that answers from ``live``."""
    return update(BotRecord).where(BotRecord.bot_id == bot_id, BotRecord.live_collection == live)


def _lock_for_change(session: Session, bot_id: str) -> BotRecord:
    """Against starts, switches and other changes, not against rows that name the bot."""
    row = session.scalars(
        select(BotRecord).where(BotRecord.bot_id == bot_id).with_for_update(key_share=True)
    ).one_or_none()
    if row is None:
        raise BotNotFound
    return row


def _reconsider_kept(session: Session, bot_id: str, drop_originals: bool) -> None:
    """Lock what is kept, so that nothing is dropped any more once this has been answered.

    What a run of ours has made and somebody keeps for good is no original.
    """
    may = may_be_dropped(KeptRecord.bot_id, KeptRecord.collection)
    rows = session.execute(
        select(KeptRecord, may).where(KeptRecord.bot_id == bot_id).with_for_update(of=KeptRecord)
    ).all()
    for row, was_free_to_go in rows:
        if drop_originals and row.drop_after is None and not was_free_to_go:
            row.drop_after = now(session)  # read now, and held for as long as any other


def _hand_over_runs(session: Session, bot_id: str, owner: str) -> None:
    session.execute(
        update(MigrationRecord).where(MigrationRecord.bot_id == bot_id).values(owner=owner),
        execution_options={"synchronize_session": False},
    )


def require_no_live_migration(session: Session, bot_id: str) -> None:
    """Raises MigrationInProgress."""
    live = session.scalars(
        select(MigrationRecord).where(MigrationRecord.bot_id == bot_id, has_status(*LIVE))
    ).one_or_none()
    if live is not None:
        raise MigrationInProgress.of(live.id, live.status)


def _already(bot: Bot, error: IntegrityError) -> BotExists:
    if "alias" in str(error.orig).splitlines()[0]:
        return belongs_already("alias", bot.alias)
    return BotExists()


def _kept_though_free(session: Session, collection: str) -> KeptRecord | None:
    """The row of an original that stays, where it is one.

    In this order: what a switch pushes out without the lock goes from a bot to the kept ones.

    Raises:
        BotExists, CollectionInUse.
    """
    if _user_of(session, collection) is not None:
        raise belongs_already("collection", collection)
    if _is_target(session, collection):
        raise is_filled(collection)
    row = session.get(KeptRecord, collection)
    if row is not None and row.drop_after is not None:
        raise is_kept(collection)
    return row


# Whoever is told may be anybody: no bot, migration or owner is named.


def belongs_already(what: str, name: str) -> BotExists:
    return BotExists(
        f"The {what} {name!r} belongs to a registered bot already. Register another one, or ask "
        "that bot's owner or an admin, who can change or remove the bot."
    )


def is_filled(collection: str) -> CollectionInUse:
    return CollectionInUse(
        f"The collection {collection!r} is being filled by a migration. Register another one, or "
        "wait until that migration has ended; its owner or an admin can cancel it."
    )


def is_kept(collection: str) -> CollectionInUse:
    return CollectionInUse(
        f"The collection {collection!r} was left behind by a migration and is kept for a while, to "
        "be taken over or dropped. Register another one, or ask an admin or the owner of the bot "
        "that has left it: when that bot is removed, the collection is free."
    )


def _is_target(session: Session, collection: str) -> bool:
    """Of a run that has not ended, also of one that is being undone."""
    wanted = exists().where(MigrationRecord.target_collection == collection, has_status(*LIVE))
    return bool(session.execute(select(wanted)).scalar_one())


def _user_of(session: Session, collection: str) -> str | None:
    return session.scalars(
        select(BotRecord.bot_id).where(
            (BotRecord.live_collection == collection)
            | (BotRecord.previous_collection == collection)
        )
    ).first()


def has_live_migration() -> ColumnElement[bool]:
    live = exists().where(MigrationRecord.bot_id == BotRecord.bot_id, has_status(*LIVE))
    return live.correlate(BotRecord)


def may_be_dropped(
    bot_id: str | InstrumentedAttribute[str], collection: str | InstrumentedAttribute[str]
) -> ColumnElement[bool]:
    """Whether a run of ours made it for this bot, or the bot lets originals be dropped.

    Who made it is said by our own rows: a name may be anybody's, and a tag may be copied.
    """
    made_here = exists().where(
        MigrationRecord.bot_id == bot_id,
        MigrationRecord.target_collection == collection,
        ~MigrationRecord.target_is_kept,  # a reverse run goes to what was there before
    )
    let_go = exists().where(BotRecord.bot_id == bot_id, BotRecord.drop_originals)
    return made_here | let_go


def is_wanted(session: Session, collection: str) -> bool:
    """Whether a bot answers from it or may go back to it, or a run is heading for it."""
    of_a_bot = (BotRecord.live_collection == collection) | (
        BotRecord.previous_collection == collection
    )
    of_a_run = has_status(*HEADING_FOR_SWITCH) & (
        (MigrationRecord.source_collection == collection)
        | (MigrationRecord.target_collection == collection)
    )
    wanted = exists().where(of_a_bot) | exists().where(of_a_run)
    return bool(session.execute(select(wanted)).scalar_one())
