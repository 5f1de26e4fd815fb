"""Back at once: the bot switches back first, then what was written since is carried over.

When a run switches, both collections hold the same, and the run's snapshot says what. Whatever
differs from it in the collection that is left at once was written to that one since; whatever
differs in the other one, to which the bot has gone back, was written there and stays. That is
what a sweep does for late writes, so carrying over is a sweep: of the snapshot that the reverse
run takes over in the transaction of its switch, and finished before the run ends.

Until then the run is live. So the bot can go nowhere else, and the collection it has left can
neither be retired nor be forgotten while it holds what the other one lacks.
"""

from __future__ import annotations

import structlog

from migrations.model.errors import (
    PermanentError,
    RequestError,
    SweepPostponed,
)
from migrations.model.runs import ON_THEIR_WAY, Migration
from migrations.process.services import Services
from migrations.run.run import Run
from migrations.way_back.late_writes import sweep

log = structlog.get_logger(__name__)

OTHER_KEYS = (
    "Milvus gives the keys of this bot's collections, so a chunk has another one in each, and what "
    "was written since can only be told by comparing them. Use mode: complete."
)


def has_other_keys(services: Services, undone: Migration) -> bool:
    """Whether ``undone`` went to a collection with keys of its own; asks PostgreSQL alone."""
    old, new = undone.source_collection, undone.target_collection
    return bool(services.store.key_map(old, new, None, 1))


def carry_over(run: Run) -> None:
    """Bring what was written to the collection that was left to the live one, all of it.

    It waits for as long as that takes, also for a model that is refused: nobody else brings it.

    Raises:
        Superseded, PutDown.
    """
    if ON_THEIR_WAY in run.migration.totals and not run.migration.totals[ON_THEIR_WAY]:
        return  # done by a worker that has died since
    run.patiently(lambda: _carried_over(run))


def _carried_over(run: Run) -> None:
    def tell(rows: int) -> None:
        totals = {ON_THEIR_WAY: rows}
        run.services.store.note(run.migration.id, run.migration.epoch, totals=totals)

    try:
        result = sweep(run.services, run.migration, tell=tell)
    except (PermanentError, RequestError) as error:
        raise SweepPostponed(error.message) from error
    tell(0)
    log.info("carried_over", migration_id=str(run.migration.id), **vars(result))
