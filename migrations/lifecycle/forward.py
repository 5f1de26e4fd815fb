"""What a run may do on its way forward, up to the switch and on to its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from migrations.lifecycle.change import (
    NO_RUNNER,
    Change,
    LockedRun,
    found,
    jsonable,
    noted,
    require,
)
from migrations.lifecycle.decision import undecided, waiting
from migrations.lifecycle.sequence import successor
from migrations.model.bots import AliasBehind, Bot, LivePair, PreviousPair
from migrations.model.chunks import metric_in
from migrations.model.errors import SourceChanged, Superseded
from migrations.model.outcomes import Outcome
from migrations.model.proofs import How, Proof
from migrations.model.runs import LONGEST_INPUT, Migration, Step
from migrations.model.states import BEFORE_SWITCH, DRIVEN, Phase, Status, sources_of

STEPS = tuple(Step)

SHORTER_THAN_STATED = (
    "The model takes shorter texts than it is known to; longer ones are shortened until it takes "
    "them. State its max_input_tokens in REEMBED_PROVIDERS to have no more of a text left out than "
    "must be."
)


def begin_phase(locked: LockedRun, epoch: int, phase: Phase) -> Change:
    """Enter ``phase``, or enter it again after a redrive or with a doubled message."""
    migration = locked.migration
    require(migration, epoch, statuses_to_begin(phase))
    require_next(migration, phase)
    first_time = phase not in migration.phase_times
    values: dict[str, Any] = {
        "phase": phase,
        "heartbeat_at": locked.now,
        "waiting_for": None,
        "phase_times": _timed(locked, phase, "started_at"),
    }
    if first_time:
        values["step"] = None
    if migration.status is Status.PENDING:
        values |= {"status": Status.RUNNING, "started_at": locked.now}
    return Change(values, "phase_begun" if first_time else None)


def statuses_to_begin(phase: Phase) -> frozenset[Status]:
    match phase:
        case Phase.CLEANUP:
            return frozenset({Status.SWITCHED})
        case Phase.FINALIZATION:  # driven again, it finds its own switch begun or made
            return BEFORE_SWITCH | {Status.SWITCHING, Status.SWITCHED}
        case _:
            return BEFORE_SWITCH


def require_next(migration: Migration, phase: Phase) -> None:
    """Raises Superseded: it is done already, or another one comes first."""
    if phase in migration.completed_phases:
        raise Superseded(f"The phase {phase} is completed already; this work stops.")
    in_turn = phase is migration.phase or (
        migration.phase in migration.completed_phases and phase is successor(migration.phase)
    )
    if not in_turn:
        raise Superseded(f"The migration is in {migration.phase}, so {phase} is not next.")


def complete_phase(locked: LockedRun, epoch: int, phase: Phase, outcome: Outcome) -> Change | None:
    migration = locked.migration
    if migration.epoch == epoch and phase in migration.completed_phases:
        return None  # a commit whose reply was lost
    require(migration, epoch, statuses_to_complete(phase))
    if phase is not migration.phase:
        raise Superseded(f"The migration is in {migration.phase}; {phase} is not to be completed.")
    values = {
        **found(migration, outcome),
        "completed_phases": (*migration.completed_phases, phase),
        "phase_times": _timed(locked, phase, "finished_at"),
        "heartbeat_at": locked.now,
        "waiting_for": None,
    }
    if waits_for := undecided(migration, outcome):
        return Change(
            values | waiting(locked, waits_for, outcome), "waits", {"for": list(waits_for)}
        )
    return Change(values, "phase_completed")


def statuses_to_complete(phase: Phase) -> frozenset[Status]:
    """Finalization is not complete without the switch."""
    after_switch = phase in {Phase.FINALIZATION, Phase.CLEANUP}
    return frozenset({Status.SWITCHED if after_switch else Status.RUNNING})


def _timed(locked: LockedRun, phase: Phase, which: str) -> dict[str, dict[str, str]]:
    """Phase times with ``which`` of ``phase`` set, unless it was set before."""
    times = locked.migration.phase_times
    mine = {which: locked.now.isoformat(), **times.get(phase, {})}
    return {**times, phase.value: mine}


def take_step(
    locked: LockedRun, epoch: int, step: Step, message: Mapping[str, Any] | None
) -> Change | None:
    """Forwards only; None when it was taken before or the work has no part in it any more."""
    migration = locked.migration
    if (migration.epoch, migration.status) != (epoch, Status.RUNNING):
        return None
    if migration.phase is not Phase.DATA_MIGRATION or migration.phase in migration.completed_phases:
        return None
    if migration.step is not None and STEPS.index(step) <= STEPS.index(migration.step):
        return None
    values = {"step": step, "heartbeat_at": locked.now}
    return Change(values, "step_taken", {"step": step.value}, message)


def note(
    locked: LockedRun, epoch: int, totals: Mapping[str, int], warnings: Sequence[str]
) -> Change | None:
    """No event: notes are about what goes on, not about what has changed."""
    if not _is_driven(locked, epoch):
        return None
    return Change(noted(locked.migration, totals, warnings))


def learn_longest_input(locked: LockedRun, epoch: int, tokens: int) -> Change | None:
    """No event, as with notes; None when as little is known already."""
    known = locked.migration.totals.get(LONGEST_INPUT)
    if not _is_driven(locked, epoch) or (known is not None and known <= tokens):
        return None
    return Change(noted(locked.migration, {LONGEST_INPUT: tokens}, [SHORTER_THAN_STATED]))


def wait_for(locked: LockedRun, epoch: int, what: str | None) -> Change | None:
    """No event, as with notes."""
    return Change({"waiting_for": jsonable(what)}) if _is_driven(locked, epoch) else None


def _is_driven(locked: LockedRun, epoch: int) -> bool:
    return locked.migration.epoch == epoch and locked.migration.status in DRIVEN


def begin_switch(locked: LockedRun, epoch: int) -> Change | None:
    migration = locked.migration
    begun = {Status.SWITCHING, Status.SWITCHED, Status.COMPLETED}
    if migration.epoch == epoch and migration.status in begun:
        return None  # repeated after a lost reply, or driven again
    require(migration, epoch, sources_of(Status.SWITCHING))
    if migration.phase is not Phase.FINALIZATION:
        raise Superseded(f"The migration is in {migration.phase}; only finalization switches.")
    return Change({"status": Status.SWITCHING, "heartbeat_at": locked.now}, "switch_begun")


def switch(locked: LockedRun, epoch: int, bot: Bot) -> Change | None:
    """None when this epoch has switched already. Raises SourceChanged."""
    migration = locked.migration
    switched = {Status.SWITCHED, Status.COMPLETED}
    if migration.epoch == epoch and migration.status in switched:
        return None
    require(migration, epoch, sources_of(Status.SWITCHED))
    require_source(bot, migration.source_collection, migration.source_generation)
    generation = bot.live.generation + 1
    return Change(
        {
            "status": Status.SWITCHED,
            "new_generation": generation,
            "switched_at": locked.now,
            "heartbeat_at": locked.now,
            "waiting_for": None,
        },
        "switched",
        {"collection": migration.target_collection, "generation": generation},
    )


def require_source(bot: Bot, collection: str, generation: int) -> None:
    """Raises SourceChanged unless the bot is live where a run starts from."""
    live = bot.live
    if (live.collection, live.generation) != (collection, generation):
        raise SourceChanged(
            f"The bot is live in {live.collection!r}, generation {live.generation}; the migration "
            f"starts from {collection!r}, generation {generation}. Start a new migration.",
            collection=live.collection,
            generation=live.generation,
        )


def switched_bot(bot: Bot, migration: Migration, now: datetime, retention_hours: float) -> Bot:
    """The bot after the switch: target live, source kept for the retention window."""
    return replace(
        bot,
        live=LivePair(
            collection=migration.target_collection,
            embedding=migration.config.target,
            generation=bot.live.generation + 1,
        ),
        previous=PreviousPair(
            collection=migration.source_collection,
            embedding=migration.config.source,
            expires_at=now + timedelta(hours=retention_hours),
        ),
        proof=_better(bot.proof, migration.proof),
        metric=bot.metric or _metric_of(migration, bot.vector_field),
        updated_at=now,
        alias_behind=_behind(bot, migration.target_collection),
    )


def _behind(bot: Bot, live: str) -> AliasBehind | None:
    """The alias after the switch to ``live``: where it was, which may be there."""
    behind = bot.alias_behind or AliasBehind(bot.live.collection)
    return None if behind == AliasBehind(live) else behind


def _metric_of(migration: Migration, vector_field: str) -> str | None:
    """As the backup has written it down."""
    info = migration.rollback_info
    return metric_in(info.collection_schema, vector_field) if info is not None else None


def _better(earlier: Proof | None, found: Proof | None) -> Proof | None:
    """What is said of the text from now on: what was shown last, if anything was."""
    was_shown = found is not None and found.how is How.REPRODUCED and not found.closes_way_back
    return found if was_shown or earlier is None else earlier


def finish(locked: LockedRun, epoch: int) -> Change | None:
    migration = locked.migration
    if migration.epoch == epoch and migration.status is Status.COMPLETED:
        return None
    require(migration, epoch, sources_of(Status.COMPLETED))
    done = {"status": Status.COMPLETED, "finished_at": locked.now, "waiting_for": None}
    return Change({**done, **NO_RUNNER}, "completed")


def is_carrying_over(migration: Migration) -> bool:
    """Whether it has switched first, its alias has followed, and only rows are on their way."""
    has_switched = migration.status is Status.SWITCHED and migration.phase is Phase.CLEANUP
    return migration.switches_first and has_switched


def end_carrying_over(locked: LockedRun, by: UUID) -> Change | None:
    """What happens to a run that carries over when ``by`` goes back to what holds it all."""
    if not is_carrying_over(locked.migration):
        return None
    done = {"status": Status.COMPLETED, "finished_at": locked.now, "waiting_for": None}
    return Change({**done, **NO_RUNNER}, "completed", {"by": str(by)})


def taken_back(locked: LockedRun, by: UUID) -> Change | None:
    """What happens to a completed migration when its reverse run ``by`` completes."""
    if locked.migration.status is not Status.COMPLETED:
        return None
    return Change({"status": Status.ROLLED_BACK}, "rolled_back", {"by": str(by)})
