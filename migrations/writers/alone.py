"""To write over what is live, beside the journal: one at a time, so that neither undoes the other.

A late write may stand over what its chunk was in the run's snapshot, and over nothing newer. That
is seen by a look; what an application writes through us between the look and the writing would
be lost, although it was acknowledged. So for that moment nothing of the journal is applied. Writers
notice nothing: they are acknowledged by the journal, and whoever dies here leaves it what to apply.

Whoever writes straight to Milvus can be kept out by nobody: no more than one call of Milvus lies
between the look and the writing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from migrations.model.errors import Superseded, SweepPostponed
from migrations.model.runs import ForwarderLease
from migrations.process import leases
from migrations.run.run import Run
from migrations.writers.holding import go_on_applying

#: Whoever applies gives way after his turn, later where a provider is slow; one that has died, only
#: when his lease is over. By giving up what was embedded for the writing is lost.
PATIENCE_SECONDS = 60.0
#: Shorter than it takes to wake the next one, who would have another turn.
LOOK_SECONDS = 0.01


@contextmanager
def writing_alone(run: Run) -> Iterator[Callable[[], None]]:
    """Nothing of the bot's journal is applied for the block.

    What it gives is to be called right before the writing: while the lease was waited for the bot
    may have moved on, and while this worker stood still others may have written. It raises
    SweepPostponed, and whatever :meth:`Run.must_go_on` does.

    Raises:
        SweepPostponed: somebody applies, and does not come to an end.
    """
    taken = SweepPostponed("What applications write is being applied; it is tried again.")
    held = leases.holding(
        run.services,
        ForwarderLease(run.bot.bot_id),
        patience_seconds=PATIENCE_SECONDS,
        look_seconds=LOOK_SECONDS,
        taken=taken,
    )
    try:
        with held as (_, beat):

            def still_alone() -> None:
                run.must_go_on()
                try:
                    beat.must_go_on()
                except Superseded:
                    raise taken from None

            yield still_alone
    finally:  # whatever became of the writing, writers wait for no watchdog
        go_on_applying(run)
