"""The callers' use cases. The API, the commands and the demo all come through here."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar
from uuid import UUID, uuid4

import orjson
import structlog

from migrations.bots.changing import change
from migrations.bots.embedded_roles import target_manner
from migrations.bots.names import give_back_name
from migrations.bots.registration import check_dimension, register
from migrations.diagnosis.doctor import Doctor
from migrations.diagnosis.lookout import Lookout
from migrations.embedding.embed import find_dimension
from migrations.embedding.work import Errand
from migrations.lifecycle.terms import require_retriable
from migrations.model.answers import BotStatus, RemovedBot, Started, VerificationReport
from migrations.model.bots import Bot, Caller, Role
from migrations.model.checkup import Checkup
from migrations.model.config import EmbeddingRef, MigrationConfig, RollbackMode, TargetIndex
from migrations.model.errors import (
    BotNotFound,
    IdempotencyConflict,
    InvalidConfiguration,
    LimiterAway,
    MigrationInProgress,
    MigrationNotFound,
    NoActiveMigration,
    NoLongerKept,
    NotAllowed,
    NothingLearned,
    ReembedError,
    SameModel,
)
from migrations.model.golden import GoldenQuery
from migrations.model.pace import Pace
from migrations.model.progress import MigrationProgress, MigrationResult
from migrations.model.requests import BotChange, BotRegistration, HowEmbedded, StartRequest
from migrations.model.roles import TextRole
from migrations.model.runs import Migration, NewMigration, Watched, target_name
from migrations.model.states import COMPENSABLE, Kind, Phase
from migrations.ports.limiter import Learned
from migrations.process import outbox, tracing
from migrations.process.paces import require_known_limit, tell_pace
from migrations.process.services import Services
from migrations.proof.canaries import breaches
from migrations.proof.not_compared import checks_of, not_compared
from migrations.run.progress import phase_times, progress_of, result_of
from migrations.way_back import rollback
from migrations.way_back.free import free_instead
from migrations.way_back.kept import adopting, kept_of
from migrations.way_back.late_writes import sweep_when_due
from migrations.way_back.sweep_run import SweepResult

log = structlog.get_logger(__name__)
Number = TypeVar("Number", int, float)


class EmbeddingMigrationSystem:
    """Register bots, start migrations, watch, cancel and roll back.

    Every method takes the caller first; a bot or migration of another owner is
    answered as if it did not exist.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self.lookout = Lookout(services)

    # --- bots ------------------------------------------------------------

    def register_bot(self, caller: Caller, registration: BotRegistration) -> Bot:
        """Raises CollectionNotGranted and as :func:`migrations.bots.registration.register`."""
        bot = register(self._services, caller, registration)
        log.info("bot_registered", bot_id=bot.bot_id, owner=bot.owner)
        return bot

    def change_bot(self, caller: Caller, bot_id: str, wish: BotChange) -> Bot:
        """Only an admin may give it to another owner; its runs go with it.

        Raises:
            BotNotFound, NotAllowed, CollectionNotFound, InvalidConfiguration,
            MigrationInProgress.
        """
        bot = self.bot(caller, bot_id)
        if wish.owner is not None and caller.role is not Role.ADMIN:
            raise NotAllowed("Only an admin may give a bot to another owner.")
        changed = change(self._services, bot, wish, caller.owner)
        log.info("bot_changed", bot_id=bot_id, fields=sorted(wish.values(bot)))
        return changed

    def remove_bot(self, caller: Caller, bot_id: str, *, with_name: bool = False) -> RemovedBot:
        """Forget a bot and its runs; nothing in Milvus is touched.

        ``with_name``: the live collection is called by the alias from then on.

        Raises:
            BotNotFound, MigrationInProgress; VectorStoreUnavailable and VectorStoreRefused
            with ``with_name``.
        """
        bot = self.bot(caller, bot_id)
        if with_name:
            give_back_name(self._services, bot)
        removed = self._services.store.remove_bot(bot_id)
        log.info("bot_removed", bot_id=bot_id, stays=[s.collection for s in removed.stays])
        return removed

    def bots(
        self, caller: Caller, *, after: str | None = None, limit: int | None = None
    ) -> list[Bot]:
        """The caller's, an admin's are all: those that follow ``after``, at most ``limit``."""
        owner = None if caller.role is Role.ADMIN else caller.owner
        return self._services.store.bots(owner, after=after, limit=limit)

    def latest_of(self, bots: Collection[Bot]) -> dict[str, Migration]:
        """The newest migration of each bot that has had one, by the bots' ids."""
        return self._services.store.latest_of([bot.bot_id for bot in bots])

    def bot(self, caller: Caller, bot_id: str) -> Bot:
        """Raises BotNotFound."""
        bot = self._services.store.bot(bot_id)
        if not caller.may_touch(bot.owner):
            raise BotNotFound
        return bot

    def bots_of(self, bot_ids: Collection[str]) -> dict[str, Bot]:
        """As they are now, for this process itself: nobody is asked whose they are."""
        return self._services.store.bots_of(bot_ids)

    def status(self, caller: Caller, bot_id: str) -> BotStatus:
        """What PostgreSQL knows, and what Milvus answers within a moment. Raises BotNotFound."""
        bot = self.bot(caller, bot_id)
        newest = self._services.store.latest(bot_id)
        return BotStatus(
            bot=bot,
            migration=newest,
            rollback=rollback.readiness(self._services, bot, exists=self._services.exists_briefly),
            held=tuple(kept_of(self._services, bot_id)),
            conflicts=self._services.store.count_conflicts(bot_id),
            findings=tuple(self.lookout.of_bot(newest)),
        )

    def golden_queries(self, caller: Caller, bot_id: str) -> list[GoldenQuery]:
        """Raises BotNotFound."""
        return self._services.store.golden_queries(self.bot(caller, bot_id).bot_id)

    def set_golden_queries(
        self, caller: Caller, bot_id: str, queries: Sequence[GoldenQuery]
    ) -> list[GoldenQuery]:
        """These and no others. Raises BotNotFound."""
        self.bot(caller, bot_id)
        self._services.store.set_golden_queries(bot_id, queries)
        log.info("golden_queries_set", bot_id=bot_id, queries=len(queries))
        return list(queries)

    # --- forward ---------------------------------------------------------

    def start_migration(
        self, caller: Caller, request: StartRequest, idempotency_key: str | None = None
    ) -> Started:
        """Record a migration and wake the workers.

        An ``idempotency_key`` used before for the same request gives the migration it made.

        Raises:
            BotNotFound, SameModel, UnknownProvider, UnknownModel, ProviderKeyMissing,
            InvalidConfiguration, UnusualRoles, MigrationInProgress, TooManyMigrations,
            IdempotencyConflict.
        """
        bot = self.bot(caller, request.bot_id)
        digest = _digest(request)
        if idempotency_key is not None and (earlier := self._earlier(bot, idempotency_key, digest)):
            return earlier
        config = self._config(bot, request)
        self._check(bot, config)
        return self._begin(caller, bot, config, idempotency_key, digest)

    def retry(self, caller: Caller, migration_id: UUID) -> Started:
        """Start a run with the same wishes as one that has failed or was rolled back.

        It goes from where the bot is now, and takes over a target that is kept. A run is retried
        once: asking again gives the run that was made.

        Raises:
            MigrationNotFound, NotSteerable, MigrationInProgress, SameModel, UnknownProvider,
            UnknownModel, ProviderKeyMissing, InvalidConfiguration, TooManyMigrations.
        """
        migration = self.migration(caller, migration_id)
        bot = self._services.store.bot(migration.bot_id)
        key, digest = f"retry of {migration.id}", migration.id.hex
        if earlier := self._earlier(bot, key, digest):
            return earlier
        require_retriable(migration)
        live = bot.live.embedding
        config = migration.config.model_copy(
            update={
                "from_provider": live.provider,
                "from_model": live.model,
                "from_dimension": live.dimension,
                "from_manner": live.manner,
            }
        )
        self._check(bot, config)
        for role in config.target.roles:
            self._services.embedders.get(config.target, role)
        return self._begin(caller, bot, config, key, digest)

    def _begin(
        self, caller: Caller, bot: Bot, config: MigrationConfig, key: str | None, digest: str
    ) -> Started:
        migration_id = uuid4()
        new = NewMigration(
            id=migration_id,
            bot_id=bot.bot_id,
            requested_by=caller.owner,
            kind=Kind.FORWARD,
            config=config,
            source_collection=bot.live.collection,
            target_collection=target_name(bot.alias, bot.live.generation + 1, migration_id),
            source_generation=bot.live.generation,
            idempotency_key=key,
            request_digest=digest,
        )
        try:
            started = self._create(adopting(self._services, new))
        except NoLongerKept:  # dropped or taken over since we looked
            started = self._create(new)
        return self._warned(started, free_instead(self._services, bot, config.target))

    def _warned(self, started: Started, warning: str | None) -> Started:
        """With what whoever starts it should know, kept with the run."""
        if warning is None or not started.created:
            return started
        store, its_id = self._services.store, started.migration.id
        store.note(its_id, started.migration.epoch, warnings=[warning])
        return Started(store.migration(its_id), created=True)

    def _check(self, bot: Bot, config: MigrationConfig) -> None:
        try:
            config.check()
        except SameModel:  # while a rollback is under way this is no answer
            live = self._services.store.live(bot.bot_id)
            if live is not None:
                raise MigrationInProgress.of(live.id, live.status) from None
            raise

    def _earlier(self, bot: Bot, key: str, digest: str) -> Started | None:
        """An old request is answered as it was, not checked against today's bot."""
        found = self._services.store.by_idempotency_key(bot.bot_id, key)
        if found is None:
            return None
        migration, its_digest = found
        if its_digest != digest:
            raise IdempotencyConflict
        return Started(migration, created=False)

    def _create(self, new: NewMigration) -> Started:
        settings = self._services.settings
        migration, created = self._services.store.create(
            replace(new, trace=tracing.here()),
            settings.max_concurrent_migrations,
            settings.max_migrations_per_owner,
        )
        outbox.send_of(self._services, migration.id)
        log.info("migration_started", migration_id=str(migration.id), kind=migration.kind.value)
        return Started(migration, created)

    def _config(self, bot: Bot, request: StartRequest) -> MigrationConfig:
        settings, live = self._services.settings, bot.live.embedding
        errand = Errand.of(self._services, bot)
        target = self.target_of(
            errand, request.provider, request.model, request.dimension, request, live
        )
        return MigrationConfig(
            bot_id=bot.bot_id,
            from_provider=live.provider,
            from_model=live.model,
            from_dimension=live.dimension,
            to_provider=target.provider,
            to_model=target.model,
            to_dimension=target.dimension,
            from_manner=live.manner,
            to_manner=target.manner,
            batch_size=_or(request.batch_size, settings.default_batch_size),
            max_retries=_or(request.max_retries, settings.max_retries),
            retry_delay=_or(request.retry_delay, settings.retry_delay),
            timeout_seconds=self._timeout(request),
            enable_rollback=request.enable_rollback,
            verify_migration=request.verify_migration,
            max_failed_ratio=request.max_failed_ratio,
            over_long=request.over_long,
            duplicate_keys=request.duplicate_keys,
            keys=request.keys,
            unproven_text=request.unproven_text,
            index=request.index,
            gates=self._gates(request),
            gates_reason=request.gates_reason,
            slice_by=request.slice_by,
            postpone=request.postpone,
            rollback_on_breach=request.rollback_on_breach,
            old_model_gone=request.old_model_gone,
            vector_lengths=request.vector_lengths,
            unusual_roles=request.unusual_roles,
        )

    def _gates(self, request: StartRequest) -> dict[str, float]:
        """Whoever asks for less than the operator does says why."""
        usual = self._services.settings.gates
        lower = [name for name, least in request.gates.items() if least < usual.least(name)]
        if lower and not request.gates_reason:
            raise InvalidConfiguration(
                f"Gates are asked to be lower than usual ({', '.join(sorted(lower))}): say why in "
                "gates_reason."
            )
        return dict(request.gates)

    def _timeout(self, request: StartRequest) -> int:
        """The default is the operator's own, and as long as they like."""
        if request.timeout_seconds is None:
            return self._services.settings.default_timeout_seconds
        self._require_allowed(request.timeout_seconds)
        return request.timeout_seconds

    def _require_allowed(self, timeout_seconds: int) -> None:
        most = self._services.settings.max_timeout_seconds
        if timeout_seconds > most:
            raise InvalidConfiguration(
                f"timeout_seconds may be {most} at most, and is {timeout_seconds}; "
                "an operator can raise REEMBED_MAX_TIMEOUT_SECONDS."
            )

    def target_of(
        self,
        errand: Errand,
        provider: str,
        model: str,
        dimension: int | None,
        how: HowEmbedded,
        live: EmbeddingRef,
    ) -> EmbeddingRef:
        """The embedding asked for by a bot that has ``live``.

        Without a dimension the model's own is found out, without roles they are those that are
        known of the model.

        Raises:
            UnknownProvider, UnknownModel, ProviderKeyMissing, InvalidConfiguration, UnusualRoles
            and the provider's own faults when it must be asked.
        """
        if dimension is None:
            dimension = find_dimension(errand, provider, model)
        ref = EmbeddingRef(provider=provider, model=model, dimension=dimension)
        check_dimension(self._services, ref)
        embedders = self._services.embedders
        ref = ref.in_manner(target_manner(embedders, how, live, ref))
        for role in ref.roles:
            embedders.get(ref, role)
        return ref

    # --- watching ----------------------------------------------------------

    def migration(self, caller: Caller, migration_id: UUID) -> Migration:
        """Raises MigrationNotFound."""
        return _seen_by(caller, self._services.store.migration(migration_id))

    def progress(self, caller: Caller, migration_id: UUID) -> MigrationProgress:
        watched = self._services.store.watched(migration_id)
        _seen_by(caller, watched.migration)
        return self._progress_of(watched)

    def _progress_of(self, watched: Watched) -> MigrationProgress:
        return progress_of(self._services, watched, self.lookout.of_run(watched.migration))

    def report(self, caller: Caller, migration_id: UUID) -> VerificationReport:
        """What verification found, whether the run went on, waits or was taken back for it.

        Raises:
            MigrationNotFound.
        """
        migration = self.migration(caller, migration_id)
        checks = tuple(checks_of(migration))
        return VerificationReport(
            migration=migration,
            checks=checks,
            not_compared=tuple(not_compared(checks)),
            tokens=self._services.store.tokens_by_purpose(migration_id),
            verified_at=phase_times(migration, Phase.VERIFICATION).finished_at,
        )

    def result(self, caller: Caller, migration_id: UUID) -> MigrationResult:
        return result_of(self._services, self.migration(caller, migration_id))

    def key_map(
        self, caller: Caller, migration_id: UUID, *, after: int | None = None, limit: int
    ) -> list[tuple[int, int]]:
        """(old, new) keys of the chunks, by the old one: those after ``after``.

        None where keys are kept, and after the way back was closed. Raises MigrationNotFound.
        """
        migration = self.migration(caller, migration_id)
        old, new = migration.source_collection, migration.target_collection
        return self._services.store.key_map(old, new, after, limit)

    def active(
        self, caller: Caller, *, after: UUID | None = None, limit: int | None = None
    ) -> list[MigrationProgress]:
        """Live migrations, oldest first: those younger than ``after``, at most ``limit``.

        Raises:
            NotAllowed: the caller is no admin.
            MigrationNotFound: there is no ``after``.
        """
        caller.require_admin()
        store = self._services.store
        active = store.active(after=after, limit=limit)
        return [self._progress_of(store.watched(m.id)) for m in active]

    def learned_paces(self, caller: Caller) -> list[Learned]:
        """What holds calls to each provider that was called in the last day.

        Raises:
            NotAllowed: the caller is no admin.
            LimiterAway.
        """
        caller.require_admin()
        found = self._services.limiter.all_learned()
        if found is None:
            raise LimiterAway
        return found

    def forget_pace(self, caller: Caller, provider: str) -> None:
        """Forget what a provider's refusals have taught; its limits and its pauses stay.

        Raises:
            NotAllowed: the caller is no admin.
            NothingLearned, LimiterAway.
        """
        if all(one.provider != provider for one in self.learned_paces(caller)):
            raise NothingLearned
        if not self._services.limiter.forget(provider):
            raise LimiterAway
        log.info("pace_forgotten", provider=provider, by=caller.owner)

    # --- before the switch ------------------------------------------------------

    def accept(self, caller: Caller, migration_id: UUID, reason: str | None) -> Migration:
        """Let a run go on that waits before its switch; twice is answered like once.

        Raises:
            MigrationNotFound, NotWaiting, NotAccepted.
        """
        self.migration(caller, migration_id)
        accepted = self._services.store.accept(migration_id, caller.owner, reason)
        outbox.send_of(self._services, migration_id)
        log.info("migration_accepted", migration_id=str(migration_id), by=caller.owner)
        return accepted

    def pause(self, caller: Caller, migration_id: UUID, reason: str | None = None) -> Migration:
        """Stop a run before its switch, undoing nothing; twice is answered like once.

        Raises:
            MigrationNotFound, NotSteerable, SwitchInProgress, AlreadySwitched.
        """
        self.migration(caller, migration_id)
        paused = self._services.store.pause(migration_id, caller.owner, reason)
        log.info("migration_paused", migration_id=str(migration_id), by=caller.owner)
        return paused

    def resume(self, caller: Caller, migration_id: UUID) -> Migration:
        """Let a paused run go on from where it stands; twice is answered like once.

        Raises:
            MigrationNotFound, NotSteerable.
        """
        self.migration(caller, migration_id)
        resumed = self._services.store.resume(migration_id, caller.owner)
        outbox.send_of(self._services, migration_id)
        log.info("migration_resumed", migration_id=str(migration_id), by=caller.owner)
        return resumed

    def extend(self, caller: Caller, migration_id: UUID, timeout_seconds: int) -> Migration:
        """Give a run before its switch more time: ``timeout_seconds`` is all it may take.

        An admin is not bound by the operator's longest timeout.

        Raises:
            MigrationNotFound, NotSteerable, SwitchInProgress, AlreadySwitched,
            InvalidConfiguration.
        """
        self.migration(caller, migration_id)
        if caller.role is not Role.ADMIN:
            self._require_allowed(timeout_seconds)
        store = self._services.store
        extended = store.extend(migration_id, timeout_seconds, caller.owner)
        log.info("migration_extended", migration_id=str(migration_id), seconds=timeout_seconds)
        return extended

    def throttle(self, caller: Caller, migration_id: UUID, pace: Pace | None) -> Migration:
        """Let a run use less of its provider's limit, or as much as there is again.

        Raises:
            MigrationNotFound, NotSteerable.
            InvalidConfiguration: a share of a limit that nobody knows.
        """
        migration = self.migration(caller, migration_id)
        if pace is not None:
            require_known_limit(self._services, migration, pace)
        throttled = self._services.store.throttle(migration_id, pace, caller.owner)
        tell_pace(self._services, throttled)
        log.info("migration_throttled", migration_id=str(migration_id), by=caller.owner)
        return throttled

    # --- the system itself -----------------------------------------------------

    def examine(self, caller: Caller, *, ask_providers: bool = False) -> Checkup:
        """See :class:`migrations.diagnosis.doctor.Doctor`. Raises NotAllowed."""
        caller.require_admin()
        return Doctor(self._services).examine(ask_providers=ask_providers)

    # --- back ----------------------------------------------------------------

    def cancel(self, caller: Caller, bot_id: str) -> Migration:
        """Roll the bot's live migration back; asking twice is answered like asking once.

        Raises:
            NoActiveMigration, SwitchInProgress, AlreadySwitched.
        """
        bot = self.bot(caller, bot_id)
        live = self._services.store.live(bot.bot_id)
        if live is None:
            raise NoActiveMigration
        return self.cancel_migration(live.id, by=caller.owner)

    def cancel_migration(self, migration_id: UUID, by: str) -> Migration:
        """The same, for those who have the migration's id. Raises as :meth:`cancel`."""
        cancelled = self._services.store.request_cancel(migration_id, by)
        outbox.send_of(self._services, migration_id)
        log.info("migration_cancelled", migration_id=str(migration_id), by=by)
        return cancelled

    def rollback(
        self,
        caller: Caller,
        migration_id: UUID,
        mode: RollbackMode = RollbackMode.COMPLETE,
    ) -> Started:
        """Take a migration back: cancelling before the switch, a reverse run after it.

        ``mode`` says whether that run switches first, or catches up first.

        Raises:
            AlreadyRolledBack, SwitchInProgress, NoActiveMigration, RollbackUnavailable,
            MigrationInProgress, TooManyMigrations, VectorStoreUnavailable.
        """
        migration = self.migration(caller, migration_id)
        if migration.status in COMPENSABLE:
            return Started(self.cancel_migration(migration.id, by=caller.owner), created=False)
        bot = self._services.store.bot(migration.bot_id)
        rollback.require_way_back(self._services, bot, migration, mode)
        return self._create(rollback.reverse_run(bot, migration, caller.owner, mode))

    def sweep(self, migration_id: UUID) -> SweepResult | None:
        """The sweep of a run that is due now, and whether the live collection still answers.

        None when the sweep did not get through. Raises Superseded, PermanentError.
        """
        swept = sweep_when_due(self._services, self._services.store.migration(migration_id))
        self.ask_canaries(migration_id)
        return swept

    def ask_canaries(self, migration_id: UUID) -> list[str]:
        """Ask the live collection; what it answers worse than before, each in a sentence.

        Whoever watches the migration is warned; where the run allows it, it is taken back.
        """
        store = self._services.store
        migration = store.migration(migration_id)
        found = breaches(self._services, migration)
        if not found:
            return []
        store.tell_breaches(migration_id, found)
        log.warning("canaries_breached", migration_id=str(migration_id), breaches=found)
        if migration.config.rollback_on_breach:
            try:
                self.rollback(Caller(migration.owner), migration_id)
            except ReembedError as error:  # somebody takes it back already, among others
                log.warning("not_rolled_back", code=error.code, reason=error.message)
        return found

    def repair(self, migration_id: UUID) -> Migration:
        """Run the compensation of a stuck migration again. Raises TransitionRefused."""
        repaired = self._services.store.repair(migration_id)
        outbox.send_of(self._services, migration_id)
        return repaired


def _seen_by(caller: Caller, migration: Migration) -> Migration:
    """Another owner's is as if it did not exist. Raises MigrationNotFound."""
    if not caller.may_touch(migration.owner):
        raise MigrationNotFound
    return migration


def _or(asked: Number | None, default: Number) -> Number:
    return default if asked is None else asked


def _as_json(value: Any) -> Any:
    if isinstance(value, TextRole):
        return value.canonical
    if isinstance(value, TargetIndex):
        return value.model_dump()
    raise TypeError


def _digest(request: StartRequest) -> str:
    canonical = orjson.dumps(asdict(request), option=orjson.OPT_SORT_KEYS, default=_as_json)
    return hashlib.sha256(canonical).hexdigest()
