"""Notices what nobody else can: the dead, the late, the unsent, strayed aliases, what is due.

Every worker carries one in a thread of its own, so it works while all task
slots are busy. An advisory lock in PostgreSQL lets one act at a time; it would
do no harm if two did, because every act is a guarded update.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import structlog

from migrations.model.errors import ReembedError, TimedOut
from migrations.model.runs import Due
from migrations.process import outbox
from migrations.process.failpoints import failpoint
from migrations.process.services import Services
from migrations.target.alias import reconcile
from migrations.way_back.kept import drop_orphans

log = structlog.get_logger(__name__)

ORPHANS_EVERY_SECONDS = 30.0
#: When retiring or dropping is tried again after it was refused or its worker died.
AGAIN_SECONDS = 300.0


class Watchdog:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._stopped = threading.Event()
        self._blind_at = float("-inf")
        self._orphans_at = float("-inf")

    def start(self) -> None:
        threading.Thread(target=self._run, name="reembed-watchdog", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._services.settings.watch_every_seconds):
            self.look()

    def look(self) -> None:
        """One round. A duty that fails is logged and does not keep the others from theirs."""
        try:
            with self._services.store.watch() as mine:
                if not mine:
                    return
                failpoint("watchdog.before_round")
                for duty in (self.redrive_stalled, self.end_overdue, self.resend_outbox):
                    self._guarded(duty)
                self._guarded(self.repair_aliases)
                self._guarded(self.enqueue_due)
                self._guarded(self.drop_orphans)
        except ReembedError as error:
            self._blind_at = self._services.clock.monotonic()
            log.warning("watch_failed", reason=error.message)

    def _guarded(self, duty: Callable[[], object]) -> None:
        try:
            duty()
        except Exception as error:
            log.warning(
                "duty_failed", reason=str(error), exc_info=not isinstance(error, ReembedError)
            )

    def redrive_stalled(self) -> None:
        """Drive again, at the next epoch, what no worker has spoken of for a while."""
        store, settings = self._services.store, self._services.settings
        # While PostgreSQL was away nobody could say anything; let them speak first.
        if self._services.clock.monotonic() - self._blind_at < 2 * settings.heartbeat_seconds:
            return
        after_seconds = settings.stalled_after_seconds
        for migration in store.stalled(after_seconds, line_is_empty=self._line_is_empty()):
            if store.redrive(migration.id, migration.epoch):
                log.warning(
                    "migration_redriven",
                    migration_id=str(migration.id),
                    phase=migration.phase.value,
                    epoch=migration.epoch + 1,
                )
                outbox.send_of(self._services, migration.id)

    def _line_is_empty(self) -> bool:
        """Whether no batch can be waiting for its turn; not while the broker is away."""
        try:
            return self._services.dispatcher.waiting() == 0
        except ReembedError as error:
            log.warning("line_unknown", reason=error.message)
            return False

    def end_overdue(self) -> None:
        """Roll back what has not switched in its time, even if every task of it is stuck."""
        for migration in self._services.store.overdue():
            seconds = migration.config.timeout_seconds
            error = TimedOut(f"The migration did not switch within {seconds} seconds.")
            if self._services.store.roll_back(migration.id, migration.epoch, error):
                outbox.send_of(self._services, migration.id)

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
            for migration_id in dict.fromkeys(self._services.store.claim_due(what, pauses)):
                outbox.send_of(self._services, migration_id)

    def drop_orphans(self) -> None:
        """Now and then: it asks Milvus about every run that was undone lately."""
        now = self._services.clock.monotonic()
        if now - self._orphans_at >= ORPHANS_EVERY_SECONDS:
            self._orphans_at = now
            drop_orphans(self._services)

    def repair_aliases(self) -> None:
        """A bot's alias says what its row says, whoever moved it."""
        for bot in self._services.store.bots():
            self._guarded(partial(reconcile, self._services, bot.bot_id))
