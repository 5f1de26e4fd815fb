"""Phase 7: temporary keys go; the previous collection stays for the retention window."""

from __future__ import annotations

import structlog

from migrations.model.errors import ReembedError, Superseded
from migrations.model.outcomes import Outcome
from migrations.run.run import Run
from migrations.target.alias import for_a_while, reconcile
from migrations.way_back.at_once import carry_over
from migrations.way_back.late_writes import sweep

log = structlog.get_logger(__name__)


def execute(run: Run) -> Outcome:
    """Look at the alias once more, sweep the old collection and forget the checkpoints.

    After a switch that came first all that was written before it is carried over.
    """
    warnings = for_a_while(run, lambda: reconcile(run.services, run.migration.bot_id))
    # 16 bytes a chunk: too much to be deleted while the switch locks the bot.
    run.services.store.forget_earlier_snapshots(run.migration.id)
    if run.migration.switches_first:
        carry_over(run)
    else:
        _sweep(run)
    run.services.checkpoints.forget(run.migration.id)
    return Outcome(warnings=warnings)


def _sweep(run: Run) -> None:
    """What was written between the last catching up and the switch; the alias has moved now.

    Nobody waits for it: what it cannot do now is done by the next sweep, in seconds.
    """
    try:
        sweep(run.services, run.migration)
    except Superseded:
        raise
    except ReembedError as error:
        log.warning("sweep_postponed", reason=error.message)


def undo(run: Run) -> None:
    """Comes after the switch; there is nothing to undo."""
