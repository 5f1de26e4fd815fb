"""The workers' use cases: run a phase, a batch, an undo; fail; go on.

Every entry point takes a migration id and an epoch and does nothing for an
epoch that is gone. Whatever goes wrong here ends in one of three ways: it is
waited out, the migration is rolled back, or the work is left to its new owner.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

import structlog

from migrations.copying.backfill import open_next
from migrations.copying.batches import run_batch
from migrations.lifecycle.forward import require_next
from migrations.model.chunks import KeyRange
from migrations.model.errors import (
    CheckpointsLost,
    PermanentError,
    Postponed,
    PutDown,
    ReembedError,
    RequestError,
    Superseded,
    TransientError,
    TransitionRefused,
)
from migrations.model.outcomes import Outcome
from migrations.model.runs import RunnerLease
from migrations.model.states import Phase, Status
from migrations.phases import WORK
from migrations.phases import data_migration as data_migration_phase
from migrations.ports.tracing import Value
from migrations.process import leases, outbox, tracing
from migrations.process.failpoints import failpoint
from migrations.process.pulse import Beat
from migrations.process.services import Services
from migrations.run.patience import at_most, backoff_seconds, until_done
from migrations.run.run import Run

log = structlog.get_logger(__name__)
T = TypeVar("T")

#: Epochs whose facts a worker keeps in memory for its batches.
REMEMBERED_RUNS = 32
#: How long a task waits for the one that sent it to end, whose batches may be quick enough
#: to ask for the catching up before that; a doubled one waits in vain.
TURN_SECONDS = 5.0


class Conductor:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._batch_facts: OrderedDict[tuple[UUID, int], Run] = OrderedDict()
        self._remembering = threading.Lock()

    # --- forward ---------------------------------------------------------

    def run_phase(self, migration_id: UUID, epoch: int, phase: Phase) -> None:
        """Run one phase to its end; data migration ends when its waves are open.

        Raises:
            Superseded: another epoch or runner owns the migration; nothing was done.
            TransientError: it could not begin, or its checkpoints are gone; it is driven again.
            PutDown: this worker is ending; its message must go back to the queue.
            PermanentError: it failed; compensation is recorded and enqueued.
        """
        work = WORK[phase]

        def body(run: Run) -> None:
            failpoint(f"{phase}.before_run", migration_id=migration_id, epoch=epoch)
            outcome = work.execute(run)
            failpoint(f"{phase}.after_run", migration_id=migration_id, epoch=epoch)
            if outcome is not None:  # data migration goes on in its waves
                self._complete(run, phase, outcome)
            if phase is Phase.CLEANUP:  # as its runner: whoever awaits the lease gets none any more
                self._services.store.finish(migration_id, epoch)

        self._drive(migration_id, epoch, phase, body)
        self._send(migration_id)

    def catch_up(self, migration_id: UUID, epoch: int) -> None:
        """Complete data migration once its batches are done. Raises as :meth:`run_phase`."""

        def body(run: Run) -> None:
            failpoint("catch_up.before_run", migration_id=migration_id, epoch=epoch)
            self._complete(run, Phase.DATA_MIGRATION, data_migration_phase.catch_up(run))

        self._drive(migration_id, epoch, Phase.DATA_MIGRATION, body)

    def run_batch(
        self, migration_id: UUID, epoch: int, index: int, within: KeyRange
    ) -> dict[str, Any]:
        """Run one batch; whatever happens, return normally so that its wave can advance.

        Raises:
            PutDown: this worker is ending; its message must go back to the queue.
        """
        try:
            with (
                self._at_work(migration_id, epoch, remembered=True) as run,
                self._traced("batch", run, index=index),
            ):
                return self._until_done(run, lambda: run_batch(run, index, within))
        except PutDown:
            raise
        except Superseded:
            return {"outcome": "superseded"}
        except Postponed as error:  # stays undone; the watchdog opens what is left again
            return {"outcome": "postponed", "code": error.code}
        except CheckpointsLost:
            self._services.store.redrive(migration_id, epoch)
            self._send(migration_id)
            return {"outcome": "checkpoints_lost"}
        except TransientError as error:  # before the run was even loaded: the watchdog drives it
            return {"outcome": "postponed", "code": error.code}
        except Exception as error:
            self.fail(migration_id, epoch, error)
            return {"outcome": "failed", "code": _as_domain_error(error).code}

    def advance(self, migration_id: UUID, epoch: int, wave: int) -> None:
        """A wave has ended: open its lane's next one."""
        checkpoints = self._services.checkpoints
        try:
            with self._at_work(migration_id, epoch) as run:
                plan = checkpoints.plan(migration_id)
                if plan is None:
                    raise CheckpointsLost
                self._keep_totals(run)
                open_next(run, plan, wave + self._services.settings.waves_in_flight)
        except CheckpointsLost:
            self._services.store.redrive(migration_id, epoch)
        self._send(migration_id)

    def _keep_totals(self, run: Run) -> None:
        """A copy of the counters in PostgreSQL, so that progress survives Redis."""
        counters = self._services.checkpoints.counters(run.migration.id)
        known = run.migration.totals.get("processed_chunks", 0)  # it may have been planned anew
        processed = max(counters.processed, known)
        totals = {"processed_chunks": processed, "failed_chunks": counters.failed}
        self._services.store.note(run.migration.id, run.migration.epoch, totals=totals)

    # --- backward --------------------------------------------------------

    def fail(self, migration_id: UUID, epoch: int, error: Exception) -> None:
        """Roll the migration back, once, for whatever reason."""
        log.error("migration_failed", code=_as_domain_error(error).code, exc_info=error)
        self._services.store.roll_back(migration_id, epoch, _as_domain_error(error))
        self._send(migration_id)

    def quiesce(self, migration_id: UUID, epoch: int) -> None:
        """Wait until no batch is in flight, so that nothing is written while undoing.

        A dead worker's batch holds its lease until it expires; waiting longer than
        ``quiesce_seconds`` for it gains nothing: its late write fails on a dropped target.
        A batch that has not heard of the rollback yet gets no lease any more. Where Redis has
        lost the leases, every worker still hears of the new epoch within two heartbeats.
        """
        with self._at_work(migration_id, epoch) as run:
            if Phase.DATA_MIGRATION.value in run.migration.phase_times:  # or no batch was ever sent
                self._wait_until_quiet(run)
                self._keep_how_far_it_was(run)

    def _wait_until_quiet(self, run: Run) -> None:
        clock, settings = self._services.clock, self._services.settings
        begun = clock.monotonic()
        while (waited := clock.monotonic() - begun) < settings.quiesce_seconds:
            in_flight = self._in_flight(run.migration.id, run.migration.epoch)
            if in_flight == 0:
                return
            if in_flight is None and waited > 2 * settings.heartbeat_seconds:
                return
            run.wait(0.2)

    def _keep_how_far_it_was(self, run: Run) -> None:
        """Before its checkpoints go: whoever asks why it was taken back asks that, too."""
        with suppress(TransientError):  # as far as PostgreSQL has heard, then
            self._keep_totals(run)

    def _in_flight(self, migration_id: UUID, epoch: int) -> int | None:
        """Batches that hold a lease, and no more are given; None when Redis cannot know."""
        checkpoints = self._services.checkpoints
        try:
            checkpoints.close_epochs(migration_id, epoch)
            known = checkpoints.plan(migration_id) is not None
            return checkpoints.in_flight(migration_id) if known else None
        except TransientError:
            return None

    def undo_phase(self, migration_id: UUID, epoch: int, phase: Phase) -> None:
        """Undo one phase; a failing undo is recorded and does not stop the others."""
        with self._at_work(migration_id, epoch) as run:
            with self._traced(f"undo {phase}", run):
                failure = self._try_undo(run, phase)
            self._services.store.record_undo(migration_id, epoch, phase, failure)

    def _try_undo(self, run: Run, phase: Phase) -> str | None:
        def undo() -> None:
            failpoint(f"{phase}.before_undo", migration_id=run.migration.id)
            run.patiently(lambda: WORK[phase].undo(run))

        def pause(error: Exception, attempt: int) -> None:
            if isinstance(error, Superseded | PutDown):
                raise error
            log.warning("undo_failed", phase=phase.value, attempt=attempt, exc_info=error)
            run.wait(backoff_seconds(run.retry_delay, attempt))

        try:
            at_most(run.max_retries + 1, undo, Exception, pause)
        except (Superseded, PutDown):
            raise
        except Exception as error:
            log.warning("undo_failed", phase=phase.value, exc_info=error)
            return f"{type(error).__name__}: {error}"
        return None

    def finish_rollback(self, migration_id: UUID, epoch: int) -> Status:
        """All undos have ended."""
        return self._services.store.finish_rollback(migration_id, epoch)

    # --- shared ----------------------------------------------------------

    def _drive(
        self, migration_id: UUID, epoch: int, phase: Phase, body: Callable[[Run], None]
    ) -> None:
        try:
            self._patiently_begin(migration_id, epoch, phase)
            with self._as_runner(migration_id, epoch) as run:
                # Once more: whoever was the runner meanwhile may have completed it, and more.
                require_next(run.migration, phase)
                with self._traced(f"phase {phase}", run):
                    self._until_done(run, lambda: body(run))
        except CheckpointsLost:
            self._services.store.redrive(migration_id, epoch)
            self._send(migration_id)
            raise
        except (Superseded, PutDown, TransientError):  # PostgreSQL was away; it is driven again
            raise
        except Exception as error:
            self.fail(migration_id, epoch, error)
            raise _as_domain_error(error) from error

    def _patiently_begin(self, migration_id: UUID, epoch: int, phase: Phase) -> None:
        def pause(_: TransientError, attempt: int) -> None:
            if self._services.ending.is_set():
                raise PutDown from None
            self._services.clock.sleep(backoff_seconds(0.5, attempt))

        until_done(lambda: self._services.store.begin_phase(migration_id, epoch, phase), pause)

    def _traced(self, name: str, run: Run, **attributes: Value) -> AbstractContextManager[object]:
        migration = run.migration
        parent = tracing.parent_of(migration.id, migration.trace)
        ids = {"migration_id": str(migration.id), "bot_id": run.bot.bot_id}
        told = {**ids, "epoch": migration.epoch, **attributes}
        return tracing.span(name, parent=parent, kind="consumer", **told)

    def _complete(self, run: Run, phase: Phase, outcome: Outcome) -> None:
        self._services.store.complete_phase(run.migration.id, run.migration.epoch, phase, outcome)

    def _until_done(self, run: Run, body: Callable[[], T]) -> T:
        """Phases and batches are idempotent: a passing fault that reaches here repeats them."""

        def unless_lost() -> T | CheckpointsLost:
            try:
                return body()
            except CheckpointsLost as error:  # repeating does not bring them back
                return error

        result = run.patiently(unless_lost)
        if isinstance(result, CheckpointsLost):
            raise result
        return result

    @contextmanager
    def _at_work(
        self, migration_id: UUID, epoch: int, *, remembered: bool = False
    ) -> Iterator[Run]:
        """Work that any number of workers may do at the same time.

        ``remembered``: what was loaded for the last batch of this epoch will do.
        """
        store = self._services.store
        say = lambda: store.heartbeat(migration_id, epoch)  # noqa: E731
        with self._services.pulse.keep_alive((migration_id, epoch), say) as beat:
            if remembered:
                yield self._remember(migration_id, epoch, beat)
            else:
                yield self._load(migration_id, epoch, beat)

    def _remember(self, migration_id: UUID, epoch: int, beat: Beat) -> Run:
        """A batch needs only what cannot change within its epoch."""
        key = (migration_id, epoch)
        with self._remembering:  # all batches of an epoch are to share what they read
            known = self._batch_facts.get(key)
            if known is None:
                known = self._batch_facts[key] = self._load(migration_id, epoch, beat)
                while len(self._batch_facts) > REMEMBERED_RUNS:
                    self._batch_facts.popitem(last=False)
        return replace(known, beat=beat)

    @contextmanager
    def _as_runner(self, migration_id: UUID, epoch: int) -> Iterator[Run]:
        """Work for one at a time: a doubled delivery finds the runner's lease taken."""
        lease = RunnerLease(migration_id, epoch)
        with leases.holding(self._services, lease, patience_seconds=TURN_SECONDS) as (_, beat):
            yield replace(self._load(migration_id, epoch, beat), is_phase=True)

    def _load(self, migration_id: UUID, epoch: int, beat: Beat) -> Run:
        migration = self._services.store.migration(migration_id)
        if migration.epoch != epoch:  # driven again since the beat asked: not this work's epoch
            raise Superseded
        bot = self._services.store.bot(migration.bot_id)
        structlog.contextvars.bind_contextvars(bot_id=bot.bot_id)
        return Run(self._services, migration, bot, beat)

    def _send(self, migration_id: UUID) -> None:
        outbox.send_of(self._services, migration_id)


def _as_domain_error(error: Exception) -> ReembedError:
    """An unexpected exception is a bug; the migration is still rolled back with its words."""
    if isinstance(error, (PermanentError, RequestError, TransientError, TransitionRefused)):
        return error
    return PermanentError(f"Unexpected {type(error).__name__}: {error}")
