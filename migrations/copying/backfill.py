"""The first filling of the target: key ranges, and waves of batches over them.

Wave w always holds the batches [w x size, (w + 1) x size), so a doubled or late
message can only ask for what is claimed already. With n waves in flight there
are n lanes: wave w opens w + n. The lane that ends last starts catching up.
"""

from __future__ import annotations

import structlog

from migrations.model import messages
from migrations.model.chunks import Key, KeyRange
from migrations.model.runs import Step
from migrations.ports.checkpoints import Plan
from migrations.process.failpoints import failpoint
from migrations.run.run import Run

log = structlog.get_logger(__name__)


def plan_batches(run: Run) -> Plan:
    """Cut the keys of two seconds ago into ranges of ``batch_size``; later keys are caught up."""
    checkpoints, migration_id = run.services.checkpoints, run.migration.id
    size = run.migration.config.batch_size
    checkpoints.start_plan(migration_id, size)
    waiting: list[Key] = []
    vectors = run.services.vectors
    for page in vectors.scan_keys(run.source, as_of=vectors.lately()):
        run.must_go_on()
        waiting += page
        whole = len(waiting) - len(waiting) % size
        if whole:
            checkpoints.append_borders(migration_id, waiting[size - 1 : whole : size], whole)
            waiting = waiting[whole:]
    if waiting:
        checkpoints.append_borders(migration_id, [waiting[-1]], len(waiting))
    return checkpoints.seal_plan(migration_id)


def await_earlier_batches(run: Run) -> None:
    """Return when no batch that was at work when the run was paused still stores what it paid for.

    One of a worker that has died holds its lease for a while; waiting longer than
    ``quiesce_seconds`` for it gains nothing, and what it stores then is found equal.
    """
    checkpoints, migration, clock = run.services.checkpoints, run.migration, run.services.clock
    checkpoints.close_epochs(migration.id, migration.epoch)
    until = clock.monotonic() + run.services.settings.quiesce_seconds
    while checkpoints.in_flight(migration.id) and clock.monotonic() < until:
        run.wait(0.2)


def open_lanes(run: Run, plan: Plan) -> None:
    """Open the first wave of every lane."""
    for lane in range(run.services.settings.waves_in_flight):
        open_next(run, plan, lane)


def open_next(run: Run, plan: Plan, number: int) -> None:
    """Open wave ``number`` or the next of its lane that has something to do."""
    settings, checkpoints = run.services.settings, run.services.checkpoints
    migration = run.migration
    while number * settings.wave_size < plan.total_batches:
        todo = _undone(run, plan, number)
        place = _place(run) if todo else 0
        if todo and checkpoints.claim(migration.id, f"{migration.epoch}:wave:{number}"):
            failpoint("wave.before_dispatch", migration_id=migration.id, wave=number)
            message = messages.wave(migration.id, migration.epoch, number, todo, place)
            run.services.dispatcher.send(message)
            return
        if todo:  # a doubled message; whoever claimed the wave sends it
            return
        number += settings.waves_in_flight
    _end_lane(run, plan)


def _place(run: Run) -> int:
    """Among the migrations that run now, so that none has to stand behind another's waves."""
    running = [migration.id for migration in run.services.store.active()]
    return running.index(run.migration.id) if run.migration.id in running else 0


def _undone(run: Run, plan: Plan, number: int) -> list[tuple[int, KeyRange]]:
    checkpoints, size = run.services.checkpoints, run.services.settings.wave_size
    first, end = number * size, min((number + 1) * size, plan.total_batches)
    undone = [i for i in checkpoints.undone(run.migration.id, first, size) if i < end]
    if not undone:
        return []
    ranges = checkpoints.batch_ranges(run.migration.id, first, size)
    return [(i, ranges[i - first]) for i in undone]


def _end_lane(run: Run, plan: Plan) -> None:
    migration = run.migration
    if run.services.checkpoints.done_count(migration.id) < plan.total_batches:
        return  # another lane is still at it, or the watchdog will drive what is left again
    message = messages.catch_up(migration.id, migration.epoch)
    if run.services.store.take_step(migration.id, migration.epoch, Step.CATCHING_UP, message):
        log.info("backfill_ended", batches=plan.total_batches)
