"""Phase 6: the last catching up, the switch, and the alias behind it.

PostgreSQL first, alias second: only PostgreSQL can compare and set, so readers
of the bot's row are never wrong, and the alias is brought to what the row says.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from migrations.copying.carrying import carry_over, end_carrying
from migrations.copying.catch_up import catch_up_last, judge_failures
from migrations.copying.comparison import PassResult
from migrations.copying.lasting import expected_rows
from migrations.model.errors import (
    PermanentError,
    RollbackUnavailable,
    TransientError,
    VerificationFailed,
)
from migrations.model.outcomes import Outcome
from migrations.model.states import Status
from migrations.process.failpoints import failpoint
from migrations.proof.same_schema import require_same_schema
from migrations.run.run import Run
from migrations.target.alias import follow, for_a_while
from migrations.target.ready import make_readable, make_ready
from migrations.way_back.at_once import OTHER_KEYS
from migrations.writers.holding import (
    applied_meanwhile,
    begin_watching,
    go_on_applying,
    holding_writes,
)

log = structlog.get_logger(__name__)

#: What is applied during the last comparison is carried over so often before applying stops,
#: or until a round had no more keys: then the last one is short.
ROUNDS, FEW_KEYS = 4, 100


def execute(run: Run) -> Outcome:
    """Catch up, switch, point the alias.

    Raises:
        VerificationFailed: the target is not ready; TooManyFailedChunks: what came last
        could not be embedded; SourceChanged: the bot moved meanwhile; RollbackUnavailable: it
        cannot switch back first.
    """
    migration, store = run.migration, run.services.store
    expected = None
    # As it is now: repeated after a lost reply this may have switched, and catching up
    # once more would take back what has been written to the new collection since.
    status = store.migration(migration.id).status
    if status is not Status.SWITCHED:
        if migration.switches_first:
            run.patiently(lambda: _look_before(run))
        else:
            run.patiently(lambda: make_ready(run))
            expected = run.patiently(lambda: _last_preparations(run))
        failpoint("finalization.before_intent", migration_id=migration.id)
        store.begin_switch(migration.id, migration.epoch)
    # From here on the deadline no longer applies.
    run.migration = replace(migration, status=Status.SWITCHING)
    failpoint("finalization.before_switch", migration_id=migration.id)
    bot = store.switch(migration.id, migration.epoch, run.services.settings.retention_hours)
    failpoint("finalization.after_switch", migration_id=migration.id)
    log.info("switched", collection=bot.live.collection, generation=bot.live.generation)
    warnings = for_a_while(run, lambda: follow(run.services, bot))
    go_on_applying(run)
    failpoint("finalization.after_alias", migration_id=migration.id)
    if expected is not None:
        warnings += _counted_at_once(run, expected)
    return Outcome(warnings=warnings)


def _look_before(run: Run) -> None:
    """What must be so for the old collection to answer at once, and takes no time to see.

    Raises:
        RollbackUnavailable: what was written since could not be told.
        VerificationFailed: it would have no place there.
    """
    if run.target.keyed_as is not None:
        raise RollbackUnavailable(OTHER_KEYS)
    make_readable(run, run.target.name)
    require_same_schema(run)


def _last_preparations(run: Run) -> int:
    """The rows the target holds."""
    begin_watching(run)
    result = catch_up_last(run)
    require_same_schema(run)
    if not run.services.vectors.is_loaded(run.target.name):
        raise VerificationFailed("The target is not loaded; switching would leave no answers.")
    is_written_to = _carry_while_applied(run, result)
    with holding_writes(run):
        keys = applied_meanwhile(run)
        if keys or is_written_to:
            end_carrying(run, keys, result)
        judge_failures(run, result)
        return expected_rows(run, result)


def _carry_while_applied(run: Run, result: PassResult) -> bool:
    """What is applied beside the last comparison, until few keys are left; whether any was."""
    any_key = False
    for _ in range(ROUNDS):
        keys = applied_meanwhile(run)
        any_key = any_key or bool(keys)
        carry_over(run, keys, result)
        if len(keys) <= FEW_KEYS:
            break
    return any_key


def _counted_at_once(run: Run, expected: int) -> list[str]:
    """A warning when rows are gone. More may be new ones, and what came back sweeps look for."""
    try:
        counted = run.services.vectors.count(run.target.name)
    except (TransientError, PermanentError) as error:  # cleanup and the sweeps look, too
        log.warning("not_counted_after_the_switch", reason=error.message)
        return []
    log.info("counted_after_the_switch", counted=counted, expected=expected)
    if counted >= expected:
        return []
    warning = (
        f"Right after the switch the live collection counted {counted} chunks, {expected} had been "
        "compared; unless somebody deleted some in that moment, Milvus has lost them."
    )
    return [warning]


def undo(run: Run) -> None:
    """Before the switch nothing was changed; after it the way back is a reverse run."""
