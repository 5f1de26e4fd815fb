"""A failure in any phase, and what is left afterwards: nothing."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from uuid import UUID

import pytest

from devstack.server import PROJECT
from migrations.store import SqlMigrationStore
from tests.harness.bots import BotHandle, Run, expect
from tests.harness.readers import BotReader
from tests.harness.world import LARGE, SMALL, World
from tests.scenarios.deaths import FORWARD

AFTER_THE_SWITCH = FORWARD[FORWARD.index("finalization.after_switch") :]
#: One for each phase and two steps of a batch, as many together as may run at once. The other
#: points lie beside these: what is undone after one phase is what is undone before the next.
TOGETHER = (
    ("validation.after_run", "backup_creation.after_run", "new_collection.after_create"),
    ("data_migration.planned", "data_migration.before_call", "batch.after_upsert"),
    ("catch_up.before_run", "verification.after_run", "finalization.before_switch"),
)


def as_it_was(world: World, bot: BotHandle, row: dict[str, object]) -> None:
    """The bot's row to the letter, its alias and rows, and no collection beside."""
    assert row == bot.row()
    assert (bot.collection, SMALL) == bot.pair()
    world.assert_all_well(bot)


@pytest.mark.parametrize("points", TOGETHER, ids=", ".join)
def test_a_failure_before_the_switch_is_rolled_back_while_the_bot_answers(
    world: World, points: Sequence[str]
) -> None:
    bots = [world.seed_bot(10) for _ in points]
    before = [(bot.row(), world.digest(bot)) for bot in bots]
    with ExitStack() as readers:
        asking = [readers.enter_context(reader_of(world, bot)) for bot in bots]
        with world.driver.paused("validation.before_run") as held:
            runs = [bot.start(LARGE, batch_size=5) for bot in bots]
            held.wait(times=len(points))
            for run, point in zip(runs, points, strict=True):
                world.driver.on(point, "raise", migration_id=run.id)
        ends = [run.ends("rolled_back") for run in runs]
        for reader in asking:
            reader.assert_answered()
    assert [["injected-failure"]] * len(ends) == [
        [error["code"] for error in end["errors"]] for end in ends
    ]
    for bot, run, point, (row, untouched) in zip(bots, runs, points, before, strict=True):
        assert "raise" in [hit.action for hit in world.driver.reached(point, migration_id=run.id)]
        assert untouched == world.digest(bot)
        as_it_was(world, bot, row)


def reader_of(world: World, bot: BotHandle) -> BotReader:
    return BotReader(world.servers.milvus_url, bot.pair, bot.history.initial)


def test_a_failure_after_the_switch_is_overcome_because_nothing_may_be_undone(
    world: World,
) -> None:
    bots = [world.seed_bot(10) for _ in range(3)]
    for point in AFTER_THE_SWITCH:
        world.driver.on(point, "raise")
    runs = [bot.start(LARGE) for bot in bots]
    for bot, run in zip(bots, runs, strict=True):
        run.ends("completed")
        assert LARGE == bot.pair()[1]
        world.assert_all_well(bot)
    assert all(world.driver.reached(point) for point in AFTER_THE_SWITCH)


def test_a_bot_that_was_rolled_back_can_be_moved_again(world: World) -> None:
    bot = world.seed_bot(40)
    world.driver.on("verification.before_run", "raise")
    bot.start(LARGE).ends("rolled_back")
    bot.migrate(LARGE)
    world.assert_all_well(bot)


def test_a_passing_fault_is_waited_out(world: World) -> None:
    bot = world.seed_bot(40)
    for point in ("data_migration.before_call", "batch.after_upsert", "verification.before_run"):
        world.driver.on(point, "outage", times=2)
    bot.migrate(LARGE, batch_size=10)
    world.assert_all_well(bot)


def test_a_failing_undo_needs_an_operator_whose_command_mends_it(world: World) -> None:
    bot = world.seed_bot(20)
    row = bot.row()
    world.driver.on("verification.before_run", "raise")
    undo = world.driver.on("new_collection_creation.before_undo", "raise", times=None)
    run = bot.start(LARGE, max_retries=0)
    (error,) = run.ends("needs_operator")["errors"]
    assert "injected-failure" == error["code"], "what turned it round is kept"
    assert "new_collection_creation" in error["diagnosis"]
    assert f"celery -A worker reembed repair {run.id}" == error["repair"]
    others = {event["phase"] for event in world.oracle.events(run.id) if event["name"] == "undone"}
    assert {"verification", "data_migration", "backup_creation", "validation"} == others
    refused = expect(409, bot.ask_start(LARGE))
    assert run.id == refused["migration_id"]

    undo.times = 0
    command(world, error["repair"])
    run.ends("rolled_back")
    as_it_was(world, bot, row)


def test_without_rollback_a_failed_migration_is_left_as_it_stands(world: World) -> None:
    bot = world.seed_bot(20)
    world.driver.on("verification.before_run", "raise")
    run = bot.start(LARGE, enable_rollback=False)
    run.ends("failed")
    target = bot.status()["migration"]["target_collection"]
    assert target in world.milvus.list_collections()
    assert (bot.collection, SMALL) == bot.pair()
    world.assert_all_well(bot)
    bot.migrate(LARGE)
    repaired(world, run)
    run.ends("rolled_back")
    held = [collection["collection"] for collection in bot.status()["held"]]
    assert [target] == held, "what was paid for is kept for a while, and no reader finds it"
    world.assert_all_well(bot)


def repaired(world: World, run: Run) -> None:
    """What the command records; the watchdog sends it. A command line takes seconds to start."""
    store = SqlMigrationStore(world.servers.database_url)
    store.repair(UUID(run.id))
    store.close()


def command(world: World, line: str) -> str:
    """What an operator types, in the system's environment."""
    done = subprocess.run(
        shlex.split(line),
        env=world.environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr[-2000:]
    return done.stdout
