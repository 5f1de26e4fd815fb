"""A worker is killed at a named point; whoever is left goes on."""

from __future__ import annotations

from collections.abc import Sequence

from tests.harness.bots import BotHandle, Run
from tests.harness.ground import Ground
from tests.scenarios.judging import BATCH, completed, paid_again, rolled_back, seeded, started

#: Every boundary on the way forward, in its order.
FORWARD = (
    "validation.before_run",
    "validation.after_run",
    "backup_creation.before_run",
    "backup_creation.after_run",
    "new_collection_creation.before_run",
    "new_collection.after_create",
    "new_collection_creation.after_run",
    "data_migration.before_run",
    "data_migration.planned",
    "wave.before_dispatch",
    "data_migration.after_run",
    "batch.before_read",
    "data_migration.before_call",
    "batch.before_upsert",
    "batch.after_upsert",
    "batch.before_mark",
    "batch.after_mark",
    "catch_up.before_run",
    "verification.before_run",
    "verification.after_run",
    "finalization.before_run",
    "finalization.before_intent",
    "finalization.before_switch",
    "finalization.after_switch",
    "finalization.after_alias",
    "finalization.after_run",
    "cleanup.before_run",
    "cleanup.after_run",
)
UNDOING = (
    "verification.before_undo",
    "data_migration.before_undo",
    "new_collection_creation.before_undo",
    "backup_creation.before_undo",
    "validation.before_undo",
)


def killed_at(ground: Ground, *points: str) -> str:
    """SIGKILL the worker that first reaches each point, start it again; all runs complete.

    As many bots are moved at once as there are points, so that a worker dies with
    work of several in hand.
    """
    bots = [seeded(ground) for _ in points]
    for point in points:
        ground.driver.on(point, "kill")
    runs = [started(bot) for bot in bots]
    victims = []
    for point in points:
        victims.append(ground.wait_dead(ground.acted(point, "kill")))
        ground.revive()
    # Of a killed worker's slots each may have been paid for what it had not stored yet.
    lost = sum(BATCH * ground.slots if "batch" in victim else BATCH for victim in victims)
    for bot, run in zip(bots, runs, strict=True):
        completed(ground, bot, run, again=lost)
    return f"{', '.join(victims)} killed; {again(ground, bots, runs)}"


def killed_between_storing_and_marking(ground: Ground) -> str:
    """What the target holds already is not paid for again."""
    bot = seeded(ground, BATCH)  # one batch, so that nothing else is in the killed worker's hands
    ground.driver.on("batch.after_upsert", "kill")
    run = started(bot)
    victim = ground.wait_dead(ground.acted("batch.after_upsert", "kill"))
    completed(ground, bot, run, again=0)
    ground.revive()
    return f"{victim} killed; {again(ground, [bot], [run])}"


def killed_while_undoing(ground: Ground, point: str) -> str:
    """SIGKILL the worker that undoes; the compensation is done once, by another."""
    bot = seeded(ground)
    ground.driver.on("verification.after_run", "raise")
    ground.driver.on(point, "kill")
    run = started(bot)
    victim = ground.wait_dead(ground.acted(point, "kill"))
    rolled_back(ground, bot, run)
    ground.revive()
    return f"{victim} killed; epoch {ground.row(run)['epoch']}"


def again(ground: Ground, bots: Sequence[BotHandle], runs: Sequence[Run]) -> str:
    """How much was paid for twice, in words."""
    texts = sum(paid_again(ground, *pair) for pair in zip(bots, runs, strict=True))
    return f"{texts} texts embedded again"
