"""The tables, and how their rows become the domain's entities."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Function,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    Row,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from migrations.model.bots import AliasBehind, Bot, LivePair, PreviousPair, Role
from migrations.model.config import EmbeddingRef, Manner, MigrationConfig
from migrations.model.left_behind import ConflictReason, HoldReason
from migrations.model.proofs import Proof
from migrations.model.runs import Due, Handover, Migration, RollbackInfo, Round, Step
from migrations.model.states import LIVE, Kind, Phase, Status
from migrations.model.texts import FieldRecipe, Recipe, SqlRecipe, recipe_of
from migrations.model.writes import WriteKind

ONE_LIVE_MIGRATION = "one_live_migration_per_bot"
ONE_KEY_PER_BOT = "idempotency_key_per_bot"


class Record(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "%(table_name)s_by_%(column_0_N_name)s",
            "uq": "%(table_name)s_%(column_0_N_name)s_unique",
            "ck": "%(table_name)s_%(constraint_name)s",
            "fk": "%(table_name)s_%(column_0_name)s_exists",
            "pk": "%(table_name)s_pkey",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: ARRAY(Text),
    }


def one_of(column: str, values: Iterable[StrEnum]) -> str:
    names = ", ".join(f"'{value}'" for value in sorted(values))
    return f"{column} IN ({names})"


def clock() -> Function[datetime]:
    """The database's clock, read when the row is written (now() is when its transaction began)."""
    return func.clock_timestamp(type_=DateTime(timezone=True))


class BotRecord(Record):
    __tablename__ = "bots"
    __table_args__ = (
        CheckConstraint("generation >= 1", name="generation_counts_from_one"),
        CheckConstraint("dimension > 0", name="dimension_positive"),
        CheckConstraint(
            "num_nulls(previous_collection, previous_provider, previous_model,"
            " previous_dimension, previous_expires_at) IN (0, 5)",
            name="previous_all_or_none",
        ),
    )

    bot_id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    alias: Mapped[str] = mapped_column(unique=True)
    live_collection: Mapped[str] = mapped_column(unique=True)
    provider: Mapped[str]
    model: Mapped[str]
    dimension: Mapped[int]
    #: How the live collection's vectors are made, beside the three columns before; see as_manner.
    manner: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    generation: Mapped[int]
    key_field: Mapped[str]
    #: What workers of before embed: a field's name, or words that name none.
    text_field: Mapped[str]
    #: None in rows of before, where the text is what stands in the text_field.
    recipe: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    #: The recipe where workers of before could not read it; counts where that says nothing.
    changed_recipe: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    #: The same where the text stands in a table of the user's own.
    sql_recipe: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    proof: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    vector_field: Mapped[str]
    previous_collection: Mapped[str | None]
    previous_provider: Mapped[str | None]
    previous_model: Mapped[str | None]
    previous_dimension: Mapped[int | None]
    previous_manner: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    previous_expires_at: Mapped[datetime | None]
    drop_originals: Mapped[bool] = mapped_column(server_default="false")
    #: Where the alias points while it does not follow; None while it does, and in rows that
    #: workers of before have switched.
    alias_collection: Mapped[str | None]
    alias_moves_at: Mapped[datetime | None]
    #: None in rows of before, until their next switch.
    metric: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=clock())
    updated_at: Mapped[datetime] = mapped_column(server_default=clock())


class MigrationRecord(Record):
    __tablename__ = "migrations"
    __table_args__ = (
        CheckConstraint(one_of("status", Status), name="status_known"),
        CheckConstraint(one_of("phase", Phase), name="phase_known"),
        CheckConstraint(one_of("step", Step), name="step_known"),
        CheckConstraint(one_of("kind", Kind), name="kind_known"),
        CheckConstraint("epoch >= 1", name="epoch_counts_from_one"),
        UniqueConstraint("bot_id", "idempotency_key", name=ONE_KEY_PER_BOT),
        Index(
            ONE_LIVE_MIGRATION,
            "bot_id",
            unique=True,
            postgresql_where=text(one_of("status", LIVE)),
        ),
        Index(None, "bot_id", "created_at"),
        Index(None, "created_at", "id"),
        Index(None, "owner", "created_at", "id"),
        Index(None, "reverses"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    bot_id: Mapped[str] = mapped_column(ForeignKey("bots.bot_id"))
    owner: Mapped[str]
    requested_by: Mapped[str]
    kind: Mapped[str]
    reverses: Mapped[UUID | None] = mapped_column(ForeignKey("migrations.id"))
    config: Mapped[dict[str, Any]]
    status: Mapped[str]
    phase: Mapped[str]
    step: Mapped[str | None]
    epoch: Mapped[int]
    source_collection: Mapped[str]
    target_collection: Mapped[str]
    source_generation: Mapped[int]
    new_generation: Mapped[int | None]
    target_is_kept: Mapped[bool]
    target_adopted: Mapped[bool]
    completed_phases: Mapped[list[str]] = mapped_column(server_default="{}")
    undone_phases: Mapped[list[str]] = mapped_column(server_default="{}")
    phase_times: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    rollback_info: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    validation: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    verification: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    warnings: Mapped[list[str]] = mapped_column(server_default="{}")
    waiting_for: Mapped[str | None]
    totals: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    handover: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    undo_errors: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    decision: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    idempotency_key: Mapped[str | None]
    request_digest: Mapped[str | None]
    runner: Mapped[str | None]
    runner_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    switched_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    proof: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    controls: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    #: Of OpenTelemetry: the span within which it was started.
    trace: Mapped[str | None]
    #: Who looks for late writes in what it left behind.
    sweeper: Mapped[str | None]
    sweeper_until: Mapped[datetime | None]
    #: What ``due`` says since revision 0005. Workers of before may still write it while
    #: others are of now already; a later revision drops it, and ``drop_at`` and ``drops``.
    sweep_at: Mapped[datetime | None]
    sweeps: Mapped[int] = mapped_column(server_default="0")
    retire_at: Mapped[datetime | None]
    retirings: Mapped[int] = mapped_column(server_default="0")


class EventRecord(Record):
    __tablename__ = "migration_events"
    __table_args__ = (
        Index(None, "migration_id", "id"),
        Index("migration_events_untold", "id", postgresql_where=text("told_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    migration_id: Mapped[UUID] = mapped_column(ForeignKey("migrations.id"))
    at: Mapped[datetime] = mapped_column(server_default=clock())
    name: Mapped[str]
    phase: Mapped[str | None]
    epoch: Mapped[int]
    detail: Mapped[dict[str, Any]]
    #: When it was decided who is told of it.
    told_at: Mapped[datetime | None]


class DeliveryRecord(Record):
    """A message for one endpoint; without references, because it outlives its bot."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("endpoint", "message_id"),
        Index(
            "deliveries_open",
            "next_at",
            postgresql_where=text("sent_at IS NULL AND given_up_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    endpoint: Mapped[str]
    message_id: Mapped[str]
    body: Mapped[dict[str, Any]] = mapped_column(JSON)
    attempts: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=clock())
    #: Not sent before.
    next_at: Mapped[datetime] = mapped_column(server_default=clock())
    sent_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]
    #: Why it was not taken the last time.
    reason: Mapped[str | None]


class FailedChunkRecord(Record):
    __tablename__ = "failed_chunks"

    migration_id: Mapped[UUID] = mapped_column(ForeignKey("migrations.id"), primary_key=True)
    #: SHA-256 of the key: a Milvus key may be longer than an index entry can be.
    key_digest: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str]
    code: Mapped[str]
    message: Mapped[str]
    attempts: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(server_default=clock())


class SpendRecord(Record):
    """What one worker process has paid for: few rows, however many requests there were."""

    __tablename__ = "spend"

    migration_id: Mapped[UUID] = mapped_column(ForeignKey("migrations.id"), primary_key=True)
    provider: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(primary_key=True)
    #: Each process has rows of its own, so that they do not wait for each other.
    writer: Mapped[str] = mapped_column(primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(server_default=clock())


class ErrandSpendRecord(Record):
    """What was paid outside of any migration, added up likewise."""

    __tablename__ = "errand_spend"

    owner: Mapped[str] = mapped_column(primary_key=True)
    #: Not a reference: a registration asks before there is a bot, and may be refused.
    bot_id: Mapped[str] = mapped_column(primary_key=True)
    provider: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(primary_key=True)
    writer: Mapped[str] = mapped_column(primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int] = mapped_column(BigInteger)
    updated_at: Mapped[datetime] = mapped_column(server_default=clock())


class SnapshotPartRecord(Record):
    __tablename__ = "frozen_parts"

    migration_id: Mapped[UUID] = mapped_column(ForeignKey("migrations.id"), primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    #: json scalars, as in the outbox: a key must come back character by character.
    after: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    upto: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    rows: Mapped[int]
    digests: Mapped[bytes]


class WrittenRowRecord(Record):
    __tablename__ = "written_rows"

    migration_id: Mapped[UUID] = mapped_column(ForeignKey("migrations.id"), primary_key=True)
    key_digest: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[Any] = mapped_column(JSON)
    was: Mapped[list[bytes]] = mapped_column(ARRAY(LargeBinary))
    now: Mapped[bytes | None]
    at: Mapped[datetime] = mapped_column(server_default=clock())


class ConflictRecord(Record):
    __tablename__ = "conflicts"
    __table_args__ = (CheckConstraint(one_of("reason", ConflictReason), name="reason_known"),)

    migration_id: Mapped[UUID] = mapped_column(ForeignKey("migrations.id"), primary_key=True)
    key_digest: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str]
    fields: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    reason: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=clock())


class KeptRecord(Record):
    __tablename__ = "held_collections"
    __table_args__ = (
        CheckConstraint(one_of("reason", HoldReason), name="reason_known"),
        CheckConstraint("chunks IS NOT NULL OR content_digest IS NULL", name="digest_with_count"),
        Index(None, "bot_id"),
    )

    collection: Mapped[str] = mapped_column(primary_key=True)
    bot_id: Mapped[str] = mapped_column(ForeignKey("bots.bot_id"))
    migration_id: Mapped[UUID] = mapped_column(ForeignKey("migrations.id"))
    reason: Mapped[str]
    provider: Mapped[str]
    model: Mapped[str]
    dimension: Mapped[int]
    manner: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    source_collection: Mapped[str | None]
    chunks: Mapped[int | None] = mapped_column(BigInteger)
    content_digest: Mapped[str | None]
    held_at: Mapped[datetime]
    #: Null: it stays, and nothing is due.
    drop_after: Mapped[datetime | None]
    #: Of before revision 0005, as in ``migrations``.
    drop_at: Mapped[datetime | None]
    drops: Mapped[int] = mapped_column(server_default="0")


class GoldenQueryRecord(Record):
    """What a bot's owner wants to be asked at verification."""

    __tablename__ = "golden_queries"

    bot_id: Mapped[str] = mapped_column(ForeignKey("bots.bot_id"), primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[int]
    text: Mapped[str]
    #: json: a key must come back character by character.
    relevant: Mapped[list[Any]] = mapped_column(JSON)


class JournalRecord(Record):
    """How far what is written through us is applied to a bot's live collection, and by whom."""

    __tablename__ = "journals"

    bot_id: Mapped[str] = mapped_column(ForeignKey("bots.bot_id"), primary_key=True)
    last: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    applied: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    applier: Mapped[str | None]
    applier_until: Mapped[datetime | None]
    #: The run, and its epoch, that is about to switch: counts until it has, or is gone.
    watched_for: Mapped[UUID | None]
    watched_in_epoch: Mapped[int | None]
    #: What stands after this place may have been applied since the run has looked.
    watched_from: Mapped[int | None] = mapped_column(BigInteger)
    #: Whether nobody applies meanwhile.
    holds: Mapped[bool] = mapped_column(server_default=text("false"))
    #: Nobody is woken before.
    wake_at: Mapped[datetime | None]
    waiting_for: Mapped[str | None]


class JournalEntryRecord(Record):
    __tablename__ = "journal_entries"
    __table_args__ = (
        CheckConstraint(one_of("kind", WriteKind), name="kind_known"),
        Index("journal_entries_failed", "bot_id", postgresql_where=text("code IS NOT NULL")),
    )

    bot_id: Mapped[str] = mapped_column(ForeignKey("journals.bot_id"), primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str]
    #: json: both must come back character by character.
    key: Mapped[Any] = mapped_column(JSON, nullable=False)
    fields: Mapped[Any] = mapped_column(JSON, nullable=False)
    at: Mapped[datetime] = mapped_column(server_default=clock())
    #: Why it was passed over.
    code: Mapped[str | None]
    message: Mapped[str | None]


class JournalRequestRecord(Record):
    """Requests that may be sent again without being done again."""

    __tablename__ = "journal_requests"
    __table_args__ = (Index(None, "bot_id", "at"),)

    bot_id: Mapped[str] = mapped_column(ForeignKey("journals.bot_id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    after: Mapped[int] = mapped_column(BigInteger)
    upto: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(server_default=clock())


class DueRecord(Record):
    """What is to be done with a collection that a run has left behind, and when next."""

    __tablename__ = "due"
    __table_args__ = (CheckConstraint(one_of("what", Due), name="what_known"),)

    what: Mapped[str] = mapped_column(primary_key=True)
    migration_id: Mapped[UUID] = mapped_column(ForeignKey("migrations.id"), primary_key=True)
    collection: Mapped[str] = mapped_column(primary_key=True)
    #: Not claimed before; later when something stands in its way then.
    at: Mapped[datetime]
    #: How often it was claimed.
    times: Mapped[int] = mapped_column(server_default="0")


class RoundRecord(Record):
    """Whose turn it is to look: which round may begin when, and where it goes on."""

    __tablename__ = "rounds"
    __table_args__ = (CheckConstraint(one_of("what", Round), name="what_known"),)

    what: Mapped[str] = mapped_column(primary_key=True)
    #: Nobody begins it before.
    at: Mapped[datetime]
    #: The last bot of the slice before; none where it begins anew.
    after: Mapped[str | None]


class WorkerRecord(Record):
    """A worker's main process, as it has said of itself; see :mod:`migrations.model.workers`."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    queues: Mapped[list[str]]
    version: Mapped[str]
    work: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    clock_ahead_seconds: Mapped[float]
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]


class OutboxRecord(Record):
    __tablename__ = "outbox"
    __table_args__ = (
        Index("outbox_unsent", "created_at", postgresql_where=text("sent_at IS NULL")),
        Index(None, "migration_id"),
        Index("outbox_sent", "sent_at", postgresql_where=text("sent_at IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    migration_id: Mapped[UUID] = mapped_column(ForeignKey("migrations.id"))
    epoch: Mapped[int]
    #: json, not jsonb: a key range must come back character by character, and
    #: jsonb refuses some characters that a Milvus key may hold.
    body: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(server_default=clock())
    sent_at: Mapped[datetime | None]


class KeyMapRecord(Record):
    """Two collections whose keys Milvus gave; see :mod:`migrations.model.given_keys`."""

    __tablename__ = "key_maps"
    __table_args__ = (UniqueConstraint("old_collection", "new_collection"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    old_collection: Mapped[str]
    new_collection: Mapped[str] = mapped_column(index=True)


class KeyPairRecord(Record):
    __tablename__ = "key_pairs"
    __table_args__ = (
        Index(None, "map_id", "old_key", "id"),
        Index(None, "map_id", "new_key", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    map_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("key_maps.id", ondelete="CASCADE"))
    old_key: Mapped[int] = mapped_column(BigInteger)
    new_key: Mapped[int] = mapped_column(BigInteger)


class KeyIntentRecord(Record):
    __tablename__ = "key_intents"
    __table_args__ = (Index(None, "map_id", "key"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    map_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("key_maps.id", ondelete="CASCADE"))
    #: Whether the key is one of the old collection, and the row goes to the new one.
    is_of_old: Mapped[bool]
    key: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[bytes] = mapped_column(LargeBinary)


class EmbeddedTextRecord(Record):
    __tablename__ = "embedded_texts"

    collection: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    #: Who has begun to write the row last.
    writer: Mapped[int] = mapped_column(BigInteger)
    #: Of the text that its vector is of; None while that is not known.
    digest: Mapped[bytes | None] = mapped_column(LargeBinary)


class TokenRecord(Record):
    __tablename__ = "tokens"
    __table_args__ = (CheckConstraint(one_of("role", Role), name="role_known"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str]
    owner: Mapped[str]
    role: Mapped[str]
    #: SHA-256 of the token, hex; the token itself is kept nowhere.
    digest: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=clock())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class TrailRecord(Record):
    """What was done with a token; see :class:`migrations.model.access.Deed`."""

    __tablename__ = "trail"
    __table_args__ = (Index(None, "token_id", "id"), Index(None, "at"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=clock())
    token_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("tokens.id"))
    address: Mapped[str]
    method: Mapped[str]
    route: Mapped[str]
    subject: Mapped[str | None]
    status: Mapped[int]


class GrantRecord(Record):
    __tablename__ = "grants"
    __table_args__ = (UniqueConstraint("owner", "pattern"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    owner: Mapped[str]
    #: Shell-style, of names of collections.
    pattern: Mapped[str]
    granted_by: Mapped[str]
    granted_at: Mapped[datetime] = mapped_column(server_default=clock())


def as_bot(row: BotRecord | Row[Any]) -> Bot:
    return Bot(
        bot_id=row.bot_id,
        owner=row.owner,
        alias=row.alias,
        live=LivePair(
            collection=row.live_collection,
            embedding=EmbeddingRef(
                provider=row.provider,
                model=row.model,
                dimension=row.dimension,
                **as_manner(row.manner, row.live_collection),
            ),
            generation=row.generation,
        ),
        key_field=row.key_field,
        recipe=recipe_of(
            row.recipe or row.changed_recipe or row.sql_recipe or {"field": row.text_field}
        ),
        vector_field=row.vector_field,
        previous=_previous(row),
        created_at=row.created_at,
        updated_at=row.updated_at,
        drop_originals=row.drop_originals,
        proof=Proof.model_validate(row.proof) if row.proof else None,
        alias_behind=AliasBehind(row.alias_collection, row.alias_moves_at)
        if row.alias_collection is not None
        else None,
        metric=row.metric,
    )


def _previous(row: BotRecord | Row[Any]) -> PreviousPair | None:
    if row.previous_collection is None:
        return None
    # The check constraint previous_all_or_none answers for the other four.
    return PreviousPair(
        collection=row.previous_collection,
        embedding=EmbeddingRef.model_validate(
            {
                "provider": row.previous_provider,
                "model": row.previous_model,
                "dimension": row.previous_dimension,
                **as_manner(row.previous_manner, row.previous_collection),
            }
        ),
        expires_at=row.previous_expires_at,  # type: ignore[arg-type]  # as above
    )


def as_manner(told: dict[str, Any] | None, collection: str) -> dict[str, Any]:
    """What is told of this collection. Workers of before switch without touching the column, so
    it may be about another."""
    if told is None or told["collection"] != collection:
        return {}
    return {name: value for name, value in told.items() if name != "collection"}


def manner_column(manner: Manner, collection: str) -> dict[str, Any] | None:
    """None where nothing is said, as in rows of before."""
    told = manner.manner.model_dump(mode="json", exclude_defaults=True)
    return {"collection": collection, **told} if told else None


#: Behind the name of a model that is asked in roles: workers of before, who would ask it without
#: them, find no such model, and end the run instead of filling it with other vectors.
_IN_ROLES = " (in roles this worker does not know)"


def config_column(config: MigrationConfig) -> dict[str, Any]:
    column = config.model_dump(mode="json")
    if not config.to_manner.says_nothing:
        column["to_model"] += _IN_ROLES
    return column


def as_config(column: dict[str, Any]) -> MigrationConfig:
    told = {**column, "to_model": column["to_model"].removesuffix(_IN_ROLES)}
    return MigrationConfig.model_validate(told)


def pair_columns(bot: Bot) -> dict[str, Any]:
    """The columns that a switch changes."""
    previous, live, behind = bot.previous, bot.live, bot.alias_behind
    return {
        "live_collection": live.collection,
        "provider": live.embedding.provider,
        "model": live.embedding.model,
        "dimension": live.embedding.dimension,
        "manner": manner_column(live.embedding, live.collection),
        "generation": live.generation,
        "previous_collection": previous.collection if previous else None,
        "previous_provider": previous.embedding.provider if previous else None,
        "previous_model": previous.embedding.model if previous else None,
        "previous_dimension": previous.embedding.dimension if previous else None,
        "previous_manner": manner_column(previous.embedding, previous.collection)
        if previous
        else None,
        "previous_expires_at": previous.expires_at if previous else None,
        "alias_collection": behind.collection if behind else None,
        "alias_moves_at": behind.moving_since if behind else None,
        **proof_column(bot.proof),
        "metric": bot.metric,
    }


def proof_column(proof: Proof | None) -> dict[str, Any]:
    return {"proof": proof.model_dump(mode="json") if proof else None}


def recipe_columns(recipe: Recipe) -> dict[str, Any]:
    """Under text_field, workers of before find no text where it is not simply a field's.

    Nor under recipe where something is done with the text, or where it stands in a table of the
    user's own, which they know nothing of.
    """
    written = recipe.model_dump(mode="json")
    told = str(recipe)
    if isinstance(recipe, FieldRecipe) and recipe.is_plain:
        told = recipe.field
    column = "recipe" if recipe.is_plain else "changed_recipe"
    if isinstance(recipe, SqlRecipe):
        column = "sql_recipe"
    columns = dict.fromkeys(("recipe", "changed_recipe", "sql_recipe"))
    return {"text_field": told, **columns, column: written}


def as_migration(row: MigrationRecord) -> Migration:
    return Migration(
        id=row.id,
        bot_id=row.bot_id,
        owner=row.owner,
        requested_by=row.requested_by,
        kind=Kind(row.kind),
        reverses=row.reverses,
        config=as_config(row.config),
        status=Status(row.status),
        phase=Phase(row.phase),
        step=Step(row.step) if row.step else None,
        epoch=row.epoch,
        source_collection=row.source_collection,
        target_collection=row.target_collection,
        source_generation=row.source_generation,
        new_generation=row.new_generation,
        target_is_kept=row.target_is_kept,
        target_adopted=row.target_adopted,
        completed_phases=tuple(Phase(name) for name in row.completed_phases),
        phase_times=row.phase_times,
        rollback_info=RollbackInfo.model_validate(row.rollback_info) if row.rollback_info else None,
        validation=row.validation,
        verification=row.verification,
        error=row.error,
        warnings=tuple(row.warnings),
        waiting_for=row.waiting_for,
        totals=row.totals,
        handover=Handover(**row.handover),
        undo_errors=row.undo_errors,
        decision=row.decision,
        created_at=row.created_at,
        started_at=row.started_at,
        switched_at=row.switched_at,
        finished_at=row.finished_at,
        deadline_at=row.deadline_at,
        heartbeat_at=row.heartbeat_at,
        updated_at=row.updated_at,
        proof=Proof.model_validate(row.proof) if row.proof else None,
        controls=row.controls,
        trace=row.trace,
    )
