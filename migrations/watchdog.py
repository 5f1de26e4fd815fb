"""Notices what nobody else can: the dead, the late, the unsent, strayed aliases, what is due.

Every worker carries one, so it works while all task slots are busy. What asks Milvus has
a thread of its own, so that a Milvus that is far away or frozen delays no judgement. The
watchdogs of all workers share the rounds: each is claimed in PostgreSQL, in a statement of
its own, and nobody holds anything there while it asks somebody else. It would do no harm
if two acted at once, because every act is a guarded update.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from uuid import UUID

import structlog

from migrations.model.bots import Bot
from migrations.model.errors import ReembedError, StateStoreUnavailable, TimedOut
from migrations.model.runs import Due, Migration, Round
from migrations.process import outbox
from migrations.process.failpoints import failpoint
from migrations.process.paces import tell_pace
from migrations.process.services import Services
from migrations.target.alias import reconcile
from migrations.target.rehearsal import forget_rehearsal
from migrations.telling.teller import Teller
from migrations.way_back.kept import LOOK_FOR_SECONDS, drop_orphan
from migrations.writers.applying import wake_appliers

log = structlog.get_logger(__name__)

ORPHANS_EVERY_SECONDS = 30.0
#: When retiring or dropping is tried again after it was refused or its worker died.
AGAIN_SECONDS = 300.0
#: How long it can be seen that a worker has fallen silent.
WORKERS_KEPT_SECONDS = 3600.0
#: Bots whose alias is asked about in one round: 20 s of a Milvus that is 200 ms away.
SLICE = 100
#: Bots of whom it is asked in one round of orphans whether a rehearsal was left behind.
FEW = 20


class Watchdog:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._stopped = threading.Event()
        self._blind_at = float("-inf")
        #: The last bot of whom it was asked whether a rehearsal was left behind.
        self._looked_at: str | None = None
        self._teller = Teller(services)
        self._rounds = (self.judge, self.mend_aliases, self.drop_orphans, self.tell)

    def start(self) -> None:
        for round_ in self._rounds:
            name = f"reembed-watchdog-{round_.__name__}"
            threading.Thread(target=self._run, args=(round_,), name=name, daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self, round_: Callable[[], object]) -> None:
        while not self._stopped.wait(self._services.settings.watch_every_seconds):
            self._guarded(round_)

    def look(self) -> None:
        """One round of each."""
        for round_ in self._rounds:
            self._guarded(round_)

    def _guarded(self, duty: Callable[[], object]) -> None:
        """A duty that fails is logged and does not keep the others from theirs."""
        try:
            duty()
        except Exception as error:
            log.warning(
                "duty_failed", reason=str(error), exc_info=not isinstance(error, ReembedError)
            )

    @property
    def _pause_seconds(self) -> float:
        """Of all watchdogs together; half, so that one that wakes a little early finds its turn."""
        return self._services.settings.watch_every_seconds / 2

    # --- what PostgreSQL knows ------------------------------------------------------

    def judge(self) -> None:
        """Silence, deadlines, forgotten messages, what is due."""
        try:
            if not self._services.store.claim_round(Round.JUDGING, self._pause_seconds):
                return
        except StateStoreUnavailable:
            self._blind_at = self._services.clock.monotonic()
            raise
        failpoint("watchdog.before_round", round=Round.JUDGING.value)
        for duty in (
            *(self.end_overdue, self.redrive_stalled, self.keep_waiting_up),
            *(self.resend_outbox, self.tell_paces, self.wake_appliers, self.enqueue_due),
            self.forget_workers,
        ):
            self._guarded(duty)

    def end_overdue(self) -> None:
        """Roll back what has not switched in its time, even if every task of it is stuck."""
        overdue = self._services.store.overdue()
        for migration in overdue:
            seconds = migration.config.timeout_seconds
            error = TimedOut(f"The migration did not switch within {seconds} seconds.")
            epoch = migration.epoch
            self._guarded(partial(self._services.store.roll_back, migration.id, epoch, error))
        self._send(migration.id for migration in overdue)

    def redrive_stalled(self) -> None:
        """Drive again, at the next epoch, what no worker has spoken of for a while."""
        store, settings = self._services.store, self._services.settings
        # While PostgreSQL was away nobody could say anything; let them speak first.
        if self._services.clock.monotonic() - self._blind_at < 2 * settings.heartbeat_seconds:
            return
        after_seconds = settings.stalled_after_seconds
        stalled = store.stalled(after_seconds, line_is_empty=True)
        if stalled and not self._line_is_empty():
            stalled = store.stalled(after_seconds)
        for migration in stalled:
            self._guarded(partial(self._redrive, migration))
        self._send(migration.id for migration in stalled)

    def keep_waiting_up(self) -> None:
        """Catch up for runs whose switch was postponed, so that it is a short one."""
        store, every = self._services.store, self._services.settings.keep_up_every_seconds
        waiting = store.waiting(every)
        for migration in waiting:
            self._guarded(partial(store.keep_up, migration.id, migration.epoch))
        self._send(migration.id for migration in waiting)

    def _redrive(self, migration: Migration) -> None:
        if self._services.store.redrive(migration.id, migration.epoch):
            log.warning(
                "migration_redriven",
                migration_id=str(migration.id),
                phase=migration.phase.value,
                epoch=migration.epoch + 1,
            )

    def _line_is_empty(self) -> bool:
        """Whether no batch can be waiting for its turn; not while the broker is away."""
        try:
            return self._services.dispatcher.waiting() == 0
        except ReembedError as error:
            log.warning("line_unknown", reason=error.message)
            return False

    def _send(self, migration_ids: Iterable[UUID]) -> None:
        """Until one cannot be sent: the broker is away then, and they are sent again later."""
        for migration_id in dict.fromkeys(migration_ids):
            if not outbox.send_of(self._services, migration_id):
                return

    def tell_paces(self) -> None:
        """The limiter forgets a run's pace that is not told again, and Redis may forget all."""
        for migration in self._services.store.throttled():
            tell_pace(self._services, migration)

    def wake_appliers(self) -> None:
        """What was written and is not applied, although nobody is at it."""
        wake_appliers(self._services)

    def resend_outbox(self) -> None:
        outbox.resend(self._services)

    def enqueue_due(self) -> None:
        """Sweeps, retiring and dropping, each for a worker: a sweep reads a whole collection."""
        settings = self._services.settings
        sweeps = (
            settings.sweep_first_seconds,
            settings.sweep_second_seconds,
            settings.sweep_every_seconds,
        )
        once = (0.0, AGAIN_SECONDS)
        for what, pauses in {Due.SWEEP: sweeps, Due.RETIRE: once, Due.DROP: once}.items():
            self._guarded(partial(self._enqueue, what, pauses))

    def _enqueue(self, what: Due, pauses: Sequence[float]) -> None:
        self._send(self._services.store.claim_due(what, pauses))

    def forget_workers(self) -> None:
        """Those that died without a word, once nobody can be looking for them any more."""
        self._services.store.forget_silent_workers(WORKERS_KEPT_SECONDS)

    # --- what Milvus is asked about ---------------------------------------------------

    def mend_aliases(self) -> None:
        """A bot's alias says what its row says, whoever moved it; a slice of the bots a round."""
        bots = self._services.store.claim_bots(SLICE, self._pause_seconds)
        if bots:
            failpoint("watchdog.before_round", round=Round.ALIASES.value)
        for bot in bots:
            if self._stopped.is_set():
                return
            self._guarded(partial(reconcile, self._services, bot.bot_id))

    def drop_orphans(self) -> None:
        """Now and then: it asks Milvus about every run that was undone lately."""
        store = self._services.store
        if not store.claim_round(Round.ORPHANS, ORPHANS_EVERY_SECONDS):
            return
        failpoint("watchdog.before_round", round=Round.ORPHANS.value)
        for migration in store.undone_lately(LOOK_FOR_SECONDS):
            self._guarded(partial(drop_orphan, self._services, migration))
        for bot in self._next_few():
            self._guarded(partial(forget_rehearsal, self._services, bot))

    def _next_few(self) -> list[Bot]:
        """Some bots, and the next ones in the next round: what they may have left is no hurry."""
        bots = self._services.store.bots(after=self._looked_at, limit=FEW)
        self._looked_at = bots[-1].bot_id if len(bots) == FEW else None
        return bots

    # --- what others are told ---------------------------------------------------------

    def tell(self) -> None:
        """Every watchdog: what is to be sent is claimed message by message."""
        self._teller.look()
