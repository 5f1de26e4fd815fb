"""Writers who write through us, while everything else happens: nothing lost, nobody refused."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from tests.harness.bots import BotHandle, Run, expect
from tests.harness.cooperating import CooperatingWriter
from tests.harness.ground import Ground
from tests.harness.world import LARGE
from tests.harness.writers import Operation, Outcome
from tests.scenarios.judging import BATCH, RESUME_SECONDS, own_texts

#: Where somebody who applies may die, and a run whose switch is near.
POINTS = (
    "journal.before_apply",
    "write.before_call",
    "journal.before_advance",
    "finalization.writes_held",
    "finalization.before_switch",
    "finalization.after_switch",
)
VICTIMS = ("batch", "batch2", "control", "control2")


def journal(bot: BotHandle) -> dict[str, Any]:
    return dict(expect(200, bot.api.get(f"/bots/{bot.bot_id}/chunks/journal")))


def all_applied(bot: BotHandle, seconds: float = RESUME_SECONDS) -> dict[str, Any]:
    """The journal once nothing waits."""
    deadline = time.monotonic() + seconds
    while (seen := journal(bot))["waiting"]:
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    return seen


def writing(ground: Any, bot: BotHandle, per_second: float = 30.0) -> CooperatingWriter:
    return CooperatingWriter(
        ground.url, ground.owner_token, bot.bot_id, bot.history, per_second=per_second
    )


def through_everything(ground: Ground, *, kills: int = 0, per_second: float = 30.0) -> str:
    """A run, its switch, the way back and the way back of that, with workers killed meanwhile."""
    bot = ground.seed_bot(own_texts(200))
    ground.provider.latency_seconds = 0.1
    killer = _Killer(ground, kills)
    with writing(ground, bot, per_second) as writer:
        run = killer.kills_while(lambda: bot.start(LARGE, batch_size=BATCH), kills // 3)
        back = killer.kills_while(run.roll_back, kills // 3)
        killer.kills_while(back.roll_back, kills - 2 * (kills // 3))
    assert LARGE == bot.pair()[1]
    return _judged(ground, bot, writer)


class _Killer:
    def __init__(self, ground: Ground, seed: int) -> None:
        self._ground, self._random = ground, random.Random(seed)

    def kills_while(self, begin: Callable[[], Run], kills: int) -> Run:
        """Begin a run, kill so many workers while it is under way, and see it complete."""
        run = begin()
        for _ in range(kills):
            self._ground.kill(self._random.choice(VICTIMS))
            self._ground.revive()
            if run.progress()["finished"]:
                break
            time.sleep(self._random.uniform(0.2, 1.5))
        run.ends("completed", 2 * RESUME_SECONDS)
        return run


def killed_at(ground: Ground, point: str) -> str:
    """SIGKILL whoever comes to the point first, with writes all along; the run completes."""
    bot = ground.seed_bot(own_texts(60))
    with writing(ground, bot) as writer:
        run = bot.start(LARGE, batch_size=BATCH)
        ground.driver.on(point, "kill")
        victim = ground.wait_dead(ground.acted(point, "kill"))
        ground.revive()
        run.ends("completed", 2 * RESUME_SECONDS)
    return f"{victim} killed; {_judged(ground, bot, writer)}"


def same_key_at_the_switch(ground: Ground) -> str:
    """Upserted, deleted and upserted again at each point of the switch: the last one counts."""
    bot = ground.seed_bot(own_texts(40))
    path = f"/bots/{bot.bot_id}/chunks"

    def write(text: str | None) -> None:
        if text is None:
            expect(202, bot.api.delete(path, {"keys": ["k000001"]}))
        else:
            chunk = {"key": "k000001", "fields": {"text": text}}
            expect(202, bot.api.put(path, {"chunks": [chunk]}))
        bot.history.operations.append(Operation("k000001", text, Outcome.OK))

    run = None
    points = ("finalization.before_run", "finalization.writes_held", "finalization.before_switch")
    for number, point in enumerate(points):
        with ground.driver.paused(point) as held:
            run = run or bot.start(LARGE, batch_size=BATCH)
            held.wait()
            for text in (f"first of {number}", None, f"last of {number}"):
                write(text)
            if point == "finalization.before_run":
                all_applied(bot)
            else:
                assert journal(bot)["waiting"] >= 3
    assert run is not None
    run.ends("completed", RESUME_SECONDS)
    all_applied(bot)
    ground.assert_all_well(bot)
    return f"{len(bot.history.operations)} writes of one key"


def _judged(ground: Ground, bot: BotHandle, writer: CooperatingWriter) -> str:
    """What is there is what the writers were told; nobody was refused."""
    seen = all_applied(bot)
    assert ([], 0) == (writer.told.refused[:3], seen["failed_count"])
    assert len(bot.history.operations) == seen["last_position"]
    ground.assert_all_well(bot)
    kept = ground.oracle.select(
        "SELECT count(*) AS n FROM conflicts JOIN migrations ON id = migration_id"
        " WHERE bot_id = %s",
        bot.bot_id,
    )
    assert 0 == kept[0]["n"]
    return (
        f"{seen['last_position']} writes, acknowledged in {writer.told.quantile(0.5):.3f} s at the"
        f" median, {writer.told.quantile(0.99):.3f} s at p99"
    )
