"""What may be under way when the code is replaced, and how it must end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from tests.harness.bots import BotHandle, Run, expect
from tests.harness.world import LARGE, SMALL
from tests.scenarios.judging import BATCH, seeded, started
from tests.upgrade.stands import (
    Stand,
    Stands,
    by_the_messages,
    cancelled_run,
    completed_run,
    ended,
    paid_again,
    well,
    written_to_the_new,
    written_to_the_old,
)
from tests.upgrade.versions import REEMBED
from tests.upgrade.world import PATIENCE_SECONDS, Side, UpgradedWorld, eventually

#: A machine under load is no dead worker; nobody's run is driven anew for nothing.
SETTINGS = {
    "REEMBED_STALLED_AFTER_SECONDS": "8",
    "REEMBED_BATCH_CONCURRENCY": "3",
    "REEMBED_CONTROL_CONCURRENCY": "20",
    "REEMBED_MAX_CONCURRENT_MIGRATIONS": "20",
    "REEMBED_SWEEP_FIRST_SECONDS": "2",
    "REEMBED_SWEEP_SECOND_SECONDS": "2",
    "REEMBED_SWEEP_EVERY_SECONDS": "30",
}
#: Silence means nothing: what goes on does so by the messages that wait in the broker.
BY_MESSAGES = {"REEMBED_STALLED_AFTER_SECONDS": "600"}
#: Late writes are looked for all the time.
SWEEPING = {"REEMBED_SWEEP_EVERY_SECONDS": "3"}
#: Of what is over, everything is due at once, except what the old code holds.
AT_ONCE = {
    "REEMBED_RETENTION_HOURS": "0",
    "REEMBED_HOLD_HOURS": "0.01",
    # Retiring sweeps, too; where another sweep is at it, it is tried again minutes later.
    "REEMBED_SWEEP_FIRST_SECONDS": "3600",
}
BACKFILL_CHUNKS = 240


@dataclass(frozen=True)
class Case:
    id: str
    what: str
    run: Callable[[UpgradedWorld], str]
    settings: Mapping[str, str] = field(default_factory=dict)
    workers: Mapping[str, int] = field(default_factory=lambda: {"batch": 1, "control": 1})


# --- forward ------------------------------------------------------------------------------


def backfill(world: UpgradedWorld, *, kill: bool) -> str:
    """Two bots' batches are half done; waves wait in the broker, groups are half counted.

    Who is killed has paid for what is not stored yet.
    """
    bots = [seeded(world, BACKFILL_CHUNKS) for _ in range(2)]
    done, point = 10, "batch.before_upsert" if kill else "batch.before_read"
    with world.driver.paused(point, skip=done) as working:
        # Both at once, so that their waves lie in the broker side by side.
        with world.driver.paused("data_migration.before_run") as planning:
            stands = [
                Stand(f"backfill of bot {n}", bot, started(bot)) for n, bot in enumerate(bots)
            ]
            planning.wait(PATIENCE_SECONDS, times=len(bots))
        working.wait(PATIENCE_SECONDS, times=done + world.slots)
        if kill:
            world.old.kill()
        else:
            world.old.end(release=working.release)
    waiting, counted = sum(world.waiting().values()), _half_counted(world)
    assert waiting, "no batch waits in the broker"
    assert counted, "no group is half counted"
    world.upgrade()
    for stand in stands:
        ended(world, stand)
    if not kill:
        by_the_messages(world, stands)
    again = paid_again(world, stands, BATCH * world.slots if kill else 0)
    return f"{waiting} messages waited, {counted} groups half counted, {again} texts paid twice"


def _half_counted(world: UpgradedWorld) -> int:
    """Groups of which some parts have ended, as Celery remembers them."""
    return sum(1 for _ in world.redis.scan_iter(match="celery-taskset-meta-*.j"))


def killed_at_points(world: UpgradedWorld) -> str:
    """SIGKILL while one run each stands at a point; half of them are written to meanwhile."""
    switched = seeded(world)
    forth = completed_run(switched)
    written_to_the_new(world, switched, "before-the-way-back")
    with Stands(world) as stands:
        for point in (
            "cleanup.after_run",
            "cleanup.before_run",
            "finalization.after_alias",
            "finalization.after_switch",
            "finalization.before_switch",
        ):
            stands.at(point)
        stands.reverse_at("finalization.before_switch", switched, forth)
        for point in ("finalization.before_run", "verification.after_run"):
            stands.at(point)
        stands.inside_verification()
        for point in (
            "verification.before_run",
            "catch_up.before_run",
            "validation.after_run",
        ):
            stands.at(point)
        for stand in stands.all[::2]:
            if stand.bot is not switched:
                written_to_the_old(world, stand.bot, "while-it-stood")
        world.old.kill()
    world.forget_all_sending()
    world.upgrade()
    for stand in stands.all:
        ended(world, stand)
    assert world.row(forth)["status"] == "rolled_back"
    assert switched.pair() == (switched.collection, SMALL)
    forward = [stand for stand in stands.all if stand.bot is not switched]
    again = paid_again(world, forward, 0)
    return f"{len(stands.all)} runs went on, {again} texts paid twice"


def ended_at_points(world: UpgradedWorld) -> str:
    """SIGTERM: each run's next message, or the one put down, waits in the broker."""
    with Stands(world) as stands:
        stands.undoing_at("new_collection_creation.before_undo")
        for point in ("finalization.after_switch", "verification.after_run"):
            stands.at(point)
        stands.waiting_at("verification.before_run")
        for point in ("catch_up.before_run", "data_migration.planned"):
            stands.at(point)
        stands.at("new_collection_creation.after_run")
        stands.waiting_at("new_collection_creation.before_run")
        for point in ("backup_creation.before_run", "validation.after_run"):
            stands.at(point)
        world.old.end(release=stands.release)
    stands.end_outages()
    waiting = sum(world.waiting().values())
    assert waiting >= len(stands.all), f"only {waiting} messages wait in the broker"
    world.upgrade()
    for stand in stands.all:
        ended(world, stand)
    by_the_messages(world, stands.all)
    again = paid_again(world, stands.all, 0)
    return f"{len(stands.all)} runs went on by {waiting} messages, {again} texts paid twice"


def rolling(world: UpgradedWorld) -> str:
    """The schema, control, API and each batch worker in turn, with a new bot at every stage."""
    old, new = world.old, world.new
    stands: list[Stand] = []
    slowly = world.driver.on("batch.before_read", "go", times=None, sleep_seconds=1.0)

    def under_way(stage: str) -> None:
        bot = seeded(world, 120)
        stands.append(Stand(f"begun {stage}", bot, started(bot)))
        stands[-1].run.wait_for(lambda seen: seen["processed_chunks"] > 0, PATIENCE_SECONDS)
        written_to_the_old(world, bot, "on-its-way")

    under_way("by the old code")
    marks = old.mark()
    world.upgrade_schema()
    on_the_new_schema = len(world.driver.hits)
    under_way("by the old code on the new schema")
    old.end(["control"])
    new.start(["control"])
    under_way("by the old API, with a new control worker")
    old.end(["api"])
    world.begin(new, ["api"])
    under_way("by the new API, with old batch workers")
    old_batch = _batches(world, on_the_new_schema, old.running.values())
    old.end(["batch"])
    new.start(["batch"])
    side_by_side = len(world.driver.hits)
    under_way("with a batch worker of each version")
    for side in (old, new):
        _wait_at_work(world, side, side_by_side)
    old.end(["batch2"])
    new.start(["batch2"])
    slowly.times = 0
    for stand in stands:
        ended(world, stand)
    complaints = old.complaints(marks)
    assert not complaints, f"the old workers on the new schema: {complaints[:5]}"
    again = paid_again(world, stands, 0)
    return f"{old_batch} batches by old workers on the new schema; {again} texts paid twice"


def _wait_at_work(world: UpgradedWorld, side: Side, since: int) -> None:
    pids = list(side.running.values())
    name = side.version.name
    eventually(lambda: _batches(world, since, pids) > 0, f"no {name} worker does any batch")


def _batches(world: UpgradedWorld, since: int, pids: Collection[int]) -> int:
    """How many these processes have begun, after the first ``since`` of all hits."""
    return sum(hit.pid in pids for hit in world.driver.reached("batch.before_read", since=since))


# --- after the switch ---------------------------------------------------------------------


def way_back(world: UpgradedWorld) -> str:
    """Completed by the old code; late writes before and after; rolled back by the new one."""
    kept, late = seeded(world), seeded(world)
    runs = {bot.bot_id: completed_run(bot) for bot in (kept, late)}
    written_to_the_old(world, late, "for-the-old-sweeps")
    well(world, late, "late writes, by the old code")
    with world.driver.paused("watchdog.before_round") as watch:
        watch.wait(PATIENCE_SECONDS)  # the old code sweeps no more
        written_to_the_old(world, late, "before-the-upgrade")
        written_to_the_new(world, kept, "before-the-upgrade")
        world.old.kill()
    world.forget_all_sending()
    world.upgrade()
    written_to_the_old(world, late, "after-the-upgrade")
    written_to_the_new(world, kept, "after-the-upgrade")
    well(world, late, "late writes, by the new code")
    for bot in (kept, late):
        _back(world, bot, runs[bot.bot_id])
    return "late writes forwarded, both taken back with what was written since"


def _back(world: UpgradedWorld, bot: BotHandle, run: Run) -> None:
    status = bot.status()
    assert status["rollback_ready"], status["rollback_blockers"]
    ended(world, Stand("the way back", bot, run.roll_back()))
    assert bot.pair() == (bot.collection, SMALL)
    assert world.row(run)["status"] == "rolled_back"


def retention(world: UpgradedWorld) -> str:
    """What the old code has left behind or holds is retired, and dropped if it may be."""
    retired = seeded(world)
    completed_run(retired)
    eventually(lambda: _is_held(world, retired.collection), "the old code has retired nothing")
    with world.driver.paused("watchdog.before_round") as watch:
        watch.wait(PATIENCE_SECONDS)  # the old code retires and drops no more
        cancelled = _cancelled(world)
        target = world.row(cancelled.run)["target_collection"]
        left = seeded(world)
        run = completed_run(left)
        for name in (retired.collection, target):
            assert _is_held(world, name), f"the old code does not hold {name}"
        world.old.kill()
    assert not _is_held(world, left.collection)
    world.forget_all_sending()
    world.upgrade()
    _wait_dropped(world, target)
    for bot in (retired, left):
        eventually(lambda bot=bot: _stays(bot), "an original that nobody gave away")
        assert world.milvus.has_collection(bot.collection)
    expect(200, retired.api.patch(f"/bots/{retired.bot_id}", {"drop_originals": True}))
    _pass_the_hold(world, retired.collection)
    _wait_dropped(world, retired.collection)
    for bot in (retired, cancelled.bot, left):
        well(world, bot, "after its previous collection")
        assert not bot.status()["rollback_ready"], "there is nothing to go back to"
    expect(409, run.ask_rollback())
    return "one held for adoption, dropped; one retired by each version, one dropped when it may be"


def _stays(bot: BotHandle) -> bool:
    held = {one["collection"]: one["stays"] for one in bot.status()["held"]}
    return bool(held.get(bot.collection))


def _pass_the_hold(world: UpgradedWorld, collection: str) -> None:
    """One that was to stay is read when it is let go, where that was not done before.

    Whether somebody writes to it is told by another look, an hour later at the soonest.
    """
    said = "SELECT content_digest FROM held_collections WHERE collection = %s"

    def is_read_or_gone() -> bool:
        return all(row["content_digest"] for row in world.oracle.select(said, collection))

    eventually(is_read_or_gone, f"{collection} is not read")
    world.rewrite(
        "UPDATE held_collections SET drop_after = now() WHERE collection = %s", collection
    )
    world.rewrite("UPDATE due SET at = now() WHERE collection = %s", collection)


def _wait_dropped(world: UpgradedWorld, collection: str) -> None:
    gone = lambda: not world.milvus.has_collection(collection)  # noqa: E731
    eventually(gone, f"{collection} is not dropped")


def _is_held(world: UpgradedWorld, collection: str) -> bool:
    found = "SELECT 1 FROM held_collections WHERE collection = %s"
    return bool(world.oracle.select(found, collection))


def _cancelled(world: UpgradedWorld) -> Stand:
    """A run that has paid for all its chunks and was taken back; its target is held."""
    bot = seeded(world)
    run = cancelled_run(world, bot)
    run.ends("rolled_back", PATIENCE_SECONDS)
    return Stand("cancelled", bot, run, "rolled_back")


# --- backward, before the switch ------------------------------------------------------------


def cancelled(world: UpgradedWorld) -> str:
    """Cancels that were only recorded, undos half done, and one that needs a person."""
    adopted, broken = _cancelled(world), _broken(world)
    with Stands(world) as stands:
        for point in ("new_collection_creation.before_undo", "data_migration.before_undo"):
            stands.undoing_at(point)
        quiescing = stands.at("batch.before_upsert")
        expect(202, quiescing.bot.ask_cancel())
        unheard = stands.at("validation.after_run")
        world.old.kill(["control", "batch"])
        expect(202, unheard.bot.ask_cancel())
        world.old.kill()
    world.forget_all_sending()
    world.upgrade()
    world.new.version.command(world.new.environment, *REEMBED, "repair", broken.run.id)
    taken_back = [replace(stand, status="rolled_back") for stand in [*stands.all, broken]]
    for stand in taken_back:
        ended(world, stand)
    _adopted(world, adopted)
    return f"{len(taken_back)} taken back, one of them repaired; one held target adopted"


def _broken(world: UpgradedWorld) -> Stand:
    """An undo of the old code keeps failing."""
    failing = world.driver.on("new_collection_creation.before_undo", "raise", times=None)
    bot = seeded(world)
    run = cancelled_run(world, bot, max_retries=0)
    run.ends("needs_operator", PATIENCE_SECONDS)
    failing.times = 0
    return Stand("needs an operator", bot, run)


def _adopted(world: UpgradedWorld, before: Stand) -> None:
    """The target that the old code holds is taken over by a new run, which pays for nothing."""
    run = started(before.bot)
    ended(world, Stand("adopting", before.bot, run))
    assert world.row(run)["target_adopted"], "the held target was not adopted"
    (verified,) = [
        event["at"].timestamp()
        for event in world.oracle.events(run.id)
        if (event["name"], event["phase"]) == ("phase_begun", "verification")
    ]
    texts = before.bot.history.initial.values()
    since = world.row(before.run)["created_at"].timestamp()
    again = world.asked.more_than_once(LARGE.model, texts, since, verified)
    assert not again, f"{len(again)} texts of the adopted target were paid for again"


CASES = (
    Case(
        "backfill-killed",
        "SIGKILL in the middle of two backfills",
        lambda world: backfill(world, kill=True),
    ),
    Case(
        "backfill-ended",
        "SIGTERM in the middle of two backfills",
        lambda world: backfill(world, kill=False),
        settings=BY_MESSAGES,
    ),
    Case("points-killed", "SIGKILL at points on both sides of the switch", killed_at_points),
    Case(
        "points-ended",
        "SIGTERM at points on both sides of the switch",
        ended_at_points,
        settings=BY_MESSAGES,
    ),
    Case(
        "rolling",
        "schema and workers replaced one after the other",
        rolling,
        settings={"REEMBED_STALLED_AFTER_SECONDS": "60"},
        workers={"batch": 2, "control": 1},
    ),
    Case(
        "way-back",
        "completed by the old code, taken back by the new one",
        way_back,
        settings=SWEEPING,
    ),
    Case(
        "retention",
        "left behind and held by the old code, dropped by the new one",
        retention,
        settings=AT_ONCE,
    ),
    Case("cancelled", "compensations of the old code, finished by the new one", cancelled),
)
