"""Bots and their runs: brought to stand at a point of the old code, written to, and judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.harness.bots import BotHandle, Run, expect
from tests.harness.failpoint_driver import Rule
from tests.harness.oracle import lasting
from tests.scenarios.judging import seeded, started, written
from tests.upgrade.world import PATIENCE_SECONDS, UpgradedWorld, eventually


def completed_run(bot: BotHandle) -> Run:
    run = started(bot)
    run.ends("completed", PATIENCE_SECONDS)
    return run


def cancelled_run(world: UpgradedWorld, bot: BotHandle, **wish: object) -> Run:
    """Cancelled when all its chunks were paid for; the compensation goes on by itself."""
    with world.driver.paused("catch_up.before_run") as before:
        run = started(bot, **wish)
        before.wait(PATIENCE_SECONDS)
        expect(202, bot.ask_cancel())
    return run


# --- at a point -----------------------------------------------------------------------


#: Where verification sends a text to a provider: until 0a3e690, and since.
_EMBEDS = ("embed.before_call", "verification.before_call")


@dataclass(frozen=True)
class Stand:
    """A bot's run, and where it stood when the old code went."""

    where: str
    bot: BotHandle
    run: Run
    #: How it must end.
    status: str = "completed"


class Stands(ExitStack):
    """Runs of the old code that stand still, each at its point; leaving it lets them go.

    The rules of the points concern every run, so begin with the latest point: the runs
    after it do not get there.
    """

    def __init__(self, world: UpgradedWorld) -> None:
        super().__init__()
        self.all: list[Stand] = []
        self._world = world
        self._outages: list[Rule] = []

    def at(self, point: str) -> Stand:
        """A new bot's run stands there."""
        held = self.enter_context(self._world.driver.paused(point))
        stand = self._new(point)
        held.wait(PATIENCE_SECONDS)
        return stand

    def undoing_at(self, point: str) -> None:
        """A new bot's run has been cancelled, and its compensation stands there."""
        held = self.enter_context(self._world.driver.paused(point))
        bot = seeded(self._world)
        self.all.append(Stand(point, bot, cancelled_run(self._world, bot), "rolled_back"))
        held.wait(PATIENCE_SECONDS)

    def reverse_at(self, point: str, switched: BotHandle, run: Run) -> None:
        """The way back of a run that has completed stands there."""
        held = self.enter_context(self._world.driver.paused(point))
        back = run.roll_back()
        held.wait(PATIENCE_SECONDS)
        self.all.append(Stand(f"{point}, on the way back", switched, back))

    def waiting_at(self, point: str) -> None:
        """A new bot's run waits there for something that is away, until the worker ends."""
        self._outages.append(self._world.driver.on(point, "outage", times=None))
        stand = self._new(f"{point}, waiting")
        self._world.driver.wait_for(point, migration_id=stand.run.id, seconds=PATIENCE_SECONDS)

    def release(self) -> None:
        """Let everybody go that stands; what waits is still without what it waits for."""
        self.close()

    def end_outages(self) -> None:
        for rule in self._outages:
            rule.times = 0

    def inside_verification(self) -> None:
        """A new bot's run has begun to embed its sample."""
        with self._world.driver.paused("verification.before_run") as before:
            stand = self._new("in verification")
            before.wait(PATIENCE_SECONDS)
            driver, run = self._world.driver, stand.run.id
            for point in _EMBEDS:
                self.enter_context(driver.paused(point, migration_id=run))
        inside = lambda: any(driver.reached(point, migration_id=run) for point in _EMBEDS)  # noqa: E731
        eventually(inside, "verification embeds nothing")

    def _new(self, where: str) -> Stand:
        bot = seeded(self._world)
        self.all.append(Stand(where, bot, started(bot)))
        return self.all[-1]


# --- writers ----------------------------------------------------------------------------


def late_texts(bot: BotHandle, mark: str) -> dict[str, str | None]:
    """One changed, one deleted and one new; others than with any other mark."""
    keys = [key for key, texts in sorted(bot.history.possible().items()) if None not in texts]
    untouched = [key for key in keys if key in bot.history.initial]
    changed, deleted = untouched[:2]
    return {changed: f"changed {mark}", deleted: None, f"new-{mark}": f"new {mark}"}


def written_to_the_old(world: UpgradedWorld, bot: BotHandle, mark: str) -> None:
    """By an application that was never told of any migration."""
    written(world, bot, late_texts(bot, mark))


def written_to_the_new(world: UpgradedWorld, bot: BotHandle, mark: str) -> None:
    """By an application that follows the bot."""
    written(world, bot, late_texts(bot, mark), bot.pair())


# --- judging ------------------------------------------------------------------------------


def well(world: UpgradedWorld, bot: BotHandle, where: str) -> None:
    """Nothing lost, doubled, made up or left over; late writes are forwarded in time."""
    look = lambda: world.oracle.findings(bot.bot_id, bot.history)  # noqa: E731
    found = lasting(look, PATIENCE_SECONDS)
    assert not found, "\n".join([f"{where}: the bot {bot.bot_id} is not well:", *found])


def ended(world: UpgradedWorld, stand: Stand) -> None:
    """The run has ended as it must, once; its bot is well."""
    try:
        stand.run.ends(stand.status, PATIENCE_SECONDS)
    except (TimeoutError, AssertionError) as error:
        raise AssertionError(f"{stand.where}: did not end as {stand.status}: {error}") from error
    told = world.told(stand.run)
    assert told.count(stand.status) == 1, f"{stand.where}: {told}"
    well(world, stand.bot, stand.where)


def paid_again(world: UpgradedWorld, stands: Sequence[Stand], allowed: int) -> int:
    """Texts that were embedded more than once on the way forward, of all these bots."""
    times = [world.paid_again(one.run, one.bot.history.initial.values()) for one in stands]
    texts = sum(map(len, times))
    assert texts <= allowed, f"{texts} texts were paid twice, allowed are {allowed}: {times}"
    return texts


def by_the_messages(world: UpgradedWorld, stands: Sequence[Stand]) -> None:
    """No run was driven anew: the new code has understood what the old one had sent."""
    anew = {
        one.where: epoch
        for one in stands
        # A cancel opens the second epoch.
        if (epoch := world.row(one.run)["epoch"]) != (1 if one.status == "completed" else 2)
    }
    assert not anew, f"driven anew instead of by the old code's messages: {anew}"


def nothing_left(world: UpgradedWorld) -> None:
    """Once all runs have ended: no message unsent or untaken, no checkpoint of any run."""
    found = lasting(lambda: [*world.unsent(), *_left_in_redis(world)], 30)
    assert not found, f"left over: {found[:20]}"


def _left_in_redis(world: UpgradedWorld) -> Iterator[str]:
    for queue, count in world.waiting().items():
        if count:
            yield f"{count} messages in {queue}"
    for run, status in world.statuses().items():
        for key in world.redis.scan_iter(match=f"reembed:{{{run}}}:*"):
            # Driven anew, a compensation notes something after what was noted was removed.
            if status == "completed" or world.redis.ttl(key) < 0:
                yield key.decode()
