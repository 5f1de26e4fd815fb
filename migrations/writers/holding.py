"""Before a switch: what is written meanwhile waits in the journal, and nowhere else.

Every write that an application was told is kept must be found in the new collection. One that
was applied to the old collection before the last comparison began is found by that. What is
applied while it goes on is remembered by its keys, which are compared once more; meanwhile
nothing is applied at all, and what waits is applied to the new collection after the switch.
Writers are acknowledged all the while.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from migrations.model.chunks import Key
from migrations.model.errors import ReembedError, TransientError
from migrations.process.failpoints import failpoint
from migrations.run.run import Run
from migrations.writers.applying import wake_appliers

log = structlog.get_logger(__name__)

#: How often it is looked whether the one who applies has ended.
LOOK_SECONDS = 0.05


def begin_watching(run: Run) -> None:
    """What is applied from now on, the last comparison may miss. Raises Superseded."""
    run.services.store.watch_journal(run.migration.id, run.migration.epoch, anew=True)


def applied_meanwhile(run: Run) -> list[Key]:
    """Keys that may have been applied since this was asked last. Raises Superseded."""
    return run.services.store.watch_journal(run.migration.id, run.migration.epoch)


@contextmanager
def holding_writes(run: Run) -> Iterator[None]:
    """Nothing is applied for the block and beyond it, until the switch or the end of the epoch.

    After a passing fault in the block it is applied again, until the block is repeated.

    Raises:
        Superseded, TimedOut, PutDown.
    """
    store, migration, clock = run.services.store, run.migration, run.services.clock
    begun = clock.monotonic()
    while not store.hold_journal(migration.id, migration.epoch):
        run.wait(LOOK_SECONDS)
    failpoint("finalization.writes_held", migration_id=migration.id)
    try:
        yield
        log.info("writes_held", seconds=round(clock.monotonic() - begun, 3))
    except TransientError:
        store.let_go_journal(migration.id, migration.epoch)
        raise


def go_on_applying(run: Run) -> None:
    """What had to wait, at once; the watchdog makes good what fails here."""
    try:
        wake_appliers(run.services, run.bot.bot_id)
    except ReembedError as error:
        log.warning("applier_not_woken", reason=error.message)
