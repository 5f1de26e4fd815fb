"""The use cases behind the API, in memory: enough behaviour for routes to show theirs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from migrations.config import EmbeddingRef, MigrationConfig
from migrations.entities import (
    Bot,
    Caller,
    HeldCollection,
    LivePair,
    Migration,
    PreviousPair,
    Role,
)
from migrations.errors import (
    AlreadyRolledBack,
    BotExists,
    BotNotFound,
    IdempotencyConflict,
    MigrationInProgress,
    MigrationNotFound,
    NoActiveMigration,
    NotAllowed,
    NotAuthenticated,
    SameModel,
)
from migrations.ports import ModelInfo
from migrations.progress import ChunkError, MigrationProgress, PhaseProgress
from migrations.requests import (
    BotEstimate,
    BotRegistration,
    BotStatus,
    ChangeValidation,
    DimensionInfo,
    EstimateRequest,
    RollbackReadiness,
    Started,
    StartRequest,
)
from migrations.results import Estimate, Report
from migrations.states import LIVE, Kind, Phase, Status

NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)
KNOWN = ModelInfo("local", "wordllama", 256, (64, 128, 256), 512, 0.0)


@dataclass
class FakeSystem:
    """EmbeddingMigrationSystem; a migration stays where it is until a test moves it.

    ``fault`` is raised by every use case while it is set.
    """

    fault: Exception | None = None
    by_bot: dict[str, Bot] = field(default_factory=dict)
    by_id: dict[UUID, Migration] = field(default_factory=dict)
    by_key: dict[str, tuple[StartRequest, UUID]] = field(default_factory=dict)
    started: list[StartRequest] = field(default_factory=list)
    held: list[HeldCollection] = field(default_factory=list)
    conflicts: int = 0

    def register_bot(self, caller: Caller, registration: BotRegistration) -> Bot:
        self._fail()
        if registration.bot_id in self.by_bot:
            raise BotExists
        bot = fake_bot(registration, caller.owner)
        self.by_bot[bot.bot_id] = bot
        return bot

    def bots(self, caller: Caller) -> list[Bot]:
        self._fail()
        return [bot for bot in self.by_bot.values() if caller.may_touch(bot.owner)]

    def bot(self, caller: Caller, bot_id: str) -> Bot:
        self._fail()
        bot = self.by_bot.get(bot_id)
        if bot is None or not caller.may_touch(bot.owner):
            raise BotNotFound
        return bot

    def start_migration(
        self, caller: Caller, request: StartRequest, idempotency_key: str | None = None
    ) -> Started:
        bot = self.bot(caller, request.bot_id)
        if idempotency_key in self.by_key:
            first, migration_id = self.by_key[idempotency_key]
            if first != request:
                raise IdempotencyConflict
            return Started(self.by_id[migration_id], created=False)
        target = fake_target(bot, request.provider, request.model, request.dimension)
        if target == bot.live.embedding:
            raise SameModel
        live = self._live(bot.bot_id)
        if live is not None:
            raise MigrationInProgress(migration_id=live.id)
        migration = self._keep(fake_migration(bot, target, caller.owner))
        self.started.append(request)
        if idempotency_key is not None:
            self.by_key[idempotency_key] = (request, migration.id)
        return Started(migration, created=True)

    def status(self, caller: Caller, bot_id: str) -> BotStatus:
        bot = self.bot(caller, bot_id)
        newest = [one for one in self.by_id.values() if one.bot_id == bot_id]
        readiness = RollbackReadiness(False, ("The bot has never been switched.",), None, None)
        if bot.previous is not None:
            readiness = RollbackReadiness(True, (), bot.previous.expires_at, 40, 12.5, "Measured.")
        return BotStatus(
            bot, newest[-1] if newest else None, readiness, tuple(self.held), self.conflicts
        )

    def progress(self, caller: Caller, migration_id: UUID) -> MigrationProgress:
        return fake_progress(self._mine(caller, migration_id))

    def cancel(self, caller: Caller, bot_id: str) -> Migration:
        live = self._live(self.bot(caller, bot_id).bot_id)
        if live is None:
            raise NoActiveMigration
        return self._keep(replace(live, status=Status.ROLLING_BACK))

    def rollback(self, caller: Caller, migration_id: UUID) -> Started:
        migration = self._mine(caller, migration_id)
        if migration.status in {Status.ROLLING_BACK, Status.ROLLED_BACK}:
            raise AlreadyRolledBack(migration_id=migration_id)
        if migration.status is not Status.COMPLETED:
            return Started(self._keep(replace(migration, status=Status.ROLLING_BACK)), False)
        back = replace(
            migration,
            id=uuid4(),
            kind=Kind.REVERSE,
            reverses=migration.id,
            status=Status.PENDING,
        )
        return Started(self._keep(back), created=True)

    def active(self, caller: Caller) -> list[MigrationProgress]:
        self._fail()
        if caller.role is not Role.ADMIN:
            raise NotAllowed
        return [fake_progress(one) for one in self.by_id.values() if one.status in LIVE]

    def move(self, migration_id: UUID, status: Status) -> None:
        self._keep(replace(self.by_id[migration_id], status=status))

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault

    def _keep(self, migration: Migration) -> Migration:
        self.by_id[migration.id] = migration
        return migration

    def _live(self, bot_id: str) -> Migration | None:
        mine = [one for one in self.by_id.values() if one.bot_id == bot_id]
        return next((one for one in mine if one.status in LIVE), None)

    def _mine(self, caller: Caller, migration_id: UUID) -> Migration:
        self._fail()
        migration = self.by_id.get(migration_id)
        if migration is None or not caller.may_touch(migration.owner):
            raise MigrationNotFound
        return migration


@dataclass
class FakeCompatibility:
    """EmbeddingCompatibilityManager over the bots of a FakeSystem."""

    system: FakeSystem

    def validate_change(
        self, caller: Caller, bot_id: str, provider: str, model: str, dimension: int | None
    ) -> ChangeValidation:
        bot = self.system.bot(caller, bot_id)
        target = fake_target(bot, provider, model, dimension)
        known = (target.provider, target.model) == (KNOWN.provider, KNOWN.model)
        report = Report()
        report.add("target_model", known, "The target model answers." if known else "It is silent.")
        report.add("texts", False, "2 chunks have no text.", severity="warning", empty=2)
        return ChangeValidation(bot, target, report)

    def estimate_migration_time(self, caller: Caller, request: EstimateRequest) -> BotEstimate:
        bot = self.system.bot(caller, request.bot_id)
        live = bot.live.embedding
        target = fake_target(
            bot, request.provider or live.provider, request.model or live.model, request.dimension
        )
        chunks = 20
        estimate = Estimate(
            chunks=chunks,
            batches=-(-chunks // (request.batch_size or 50)),
            tokens=chunks * 10,
            cost_usd=None,
            duration_seconds=1.5,
            vector_bytes=chunks * target.dimension * 4,
            sampled_chunks=chunks,
            basis=["Tokens: 10 in the mean of 20 sampled chunks."],
        )
        return BotEstimate(bot, target, estimate)

    def dimension_info(self, caller: Caller, bot_id: str) -> DimensionInfo:
        bot = self.system.bot(caller, bot_id)
        return DimensionInfo(bot, bot.live.embedding.dimension, KNOWN, (KNOWN,))


@dataclass
class FakeAccess:
    """Tokens and who holds them."""

    callers: dict[str, Caller] = field(default_factory=dict)

    def authenticate(self, token: str) -> Caller:
        if token not in self.callers:
            raise NotAuthenticated
        return self.callers[token]


class FakeServices:
    """Everything the API stands on; what ``migrations.bootstrap`` builds for real."""

    def __init__(self) -> None:
        self.system = FakeSystem()
        self.compatibility = FakeCompatibility(self.system)
        self.access = FakeAccess()
        self.dependencies: dict[str, str | None] = {"postgresql": None, "redis": None}

    def readiness(self) -> dict[str, str | None]:
        return self.dependencies


def fake_bot(registration: BotRegistration, owner: str) -> Bot:
    embedding = EmbeddingRef(
        provider=registration.provider,
        model=registration.model,
        dimension=registration.dimension or 64,
    )
    return Bot(
        bot_id=registration.bot_id,
        owner=owner,
        alias=registration.alias or f"{registration.collection}_live",
        live=LivePair(registration.collection, embedding, 1),
        key_field="id",
        text_field=registration.text_field or "text",
        vector_field=registration.vector_field or "vector",
        previous=None,
        created_at=NOW,
        updated_at=NOW,
    )


def switched_bot(bot: Bot) -> Bot:
    """The bot after a switch, with a way back."""
    previous = PreviousPair(bot.live.collection, bot.live.embedding, NOW + timedelta(hours=72))
    return replace(bot, previous=previous)


def fake_target(bot: Bot, provider: str, model: str, dimension: int | None) -> EmbeddingRef:
    known = (provider, model) == (KNOWN.provider, KNOWN.model)
    own = KNOWN.default_dimension if known else bot.live.embedding.dimension
    return EmbeddingRef(provider=provider, model=model, dimension=dimension or own)


def fake_migration(bot: Bot, target: EmbeddingRef, requested_by: str) -> Migration:
    source = bot.live.embedding
    return Migration(
        id=uuid4(),
        bot_id=bot.bot_id,
        owner=bot.owner,
        requested_by=requested_by,
        kind=Kind.FORWARD,
        reverses=None,
        config=MigrationConfig(
            bot_id=bot.bot_id,
            from_provider=source.provider,
            from_model=source.model,
            from_dimension=source.dimension,
            to_provider=target.provider,
            to_model=target.model,
            to_dimension=target.dimension,
        ),
        status=Status.PENDING,
        phase=Phase.VALIDATION,
        step=None,
        epoch=1,
        source_collection=bot.live.collection,
        target_collection=f"{bot.alias}__g2_0",
        source_generation=1,
        new_generation=None,
        target_is_kept=False,
        target_adopted=False,
        completed_phases=(),
        phase_times={},
        rollback_info=None,
        validation=None,
        verification=None,
        error={"code": "provider-quota", "message": "It is used up.", "phase": "data_migration"},
        warnings=("2 chunks have no text.",),
        waiting_for=None,
        totals={},
        undo_errors={},
        created_at=NOW,
        started_at=None,
        switched_at=None,
        finished_at=None,
        deadline_at=NOW + timedelta(hours=1),
        heartbeat_at=NOW,
        updated_at=NOW,
    )


def fake_progress(migration: Migration) -> MigrationProgress:
    """Half-way, with one failed chunk."""
    return MigrationProgress(
        migration_id=migration.id,
        bot_id=migration.bot_id,
        kind=migration.kind,
        status=migration.status,
        phase=migration.phase,
        epoch=migration.epoch,
        total_chunks=20,
        processed_chunks=10,
        failed_chunks=1,
        current_batch=1,
        total_batches=2,
        chunks_per_second=2.5,
        tokens_used=100,
        started_at=NOW,
        updated_at=NOW,
        finished_at=None,
        estimated_completion=NOW + timedelta(seconds=4),
        waiting_for="The provider's rate limit.",
        error=migration.error,
        warnings=list(migration.warnings),
        failed=[ChunkError("doc-1", "text-refused", "The provider refuses this text.", 3)],
        phases=[
            PhaseProgress(Phase.VALIDATION, NOW, NOW + timedelta(seconds=2)),
            PhaseProgress(Phase.BACKUP_CREATION, NOW + timedelta(seconds=2), None),
        ],
    )
