"""Writes made after the switch survive the way back, and the way back of that."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.harness import rows
from tests.harness.bots import BotHandle, Run
from tests.harness.ground import Ground
from tests.harness.oracle import wrongly_embedded
from tests.harness.readers import BotReader
from tests.harness.world import LARGE, SMALL
from tests.harness.writers import ForeignWriter
from tests.scenarios.judging import RESUME_SECONDS, seeded, started

CHUNKS = 200


def there_and_back(ground: Ground, seconds: float, *, seed: int = 11) -> str:
    """Write for ``seconds`` after the switch, roll back, write again, roll that back."""
    bot = seeded(ground, CHUNKS)
    kept = {k: text for k, text in bot.history.initial.items() if k < f"k{CHUNKS // 2:06}"}
    with BotReader(ground.servers.milvus_url, bot.pair, kept) as reader:
        run = started(bot)
        run.ends("completed", RESUME_SECONDS)
        _written_through_the_alias(ground, bot, seconds, seed, kept)
        back = _back(ground, bot, run)
        assert bot.pair() == (bot.collection, SMALL)
        _written_through_the_alias(ground, bot, seconds, seed + 1, kept)
        _back(ground, bot, back)
        assert bot.pair()[1] == LARGE
        reader.assert_answered(5)
    return f"{bot.history.acknowledged()} writes kept, twice"


def _written_through_the_alias(
    ground: Ground, bot: BotHandle, seconds: float, seed: int, kept: dict[str, str]
) -> None:
    """Insert, change and delete as an application that asks which model is live."""
    before = bot.history.acknowledged()
    where = lambda: (bot.alias, bot.pair()[1])  # noqa: E731
    url = ground.servers.milvus_url
    with ForeignWriter(url, where, bot.history, seed=seed, per_second=10, spared=kept):
        time.sleep(seconds)
    assert bot.history.acknowledged() - before >= seconds, "hardly anything was written"


def _back(ground: Ground, bot: BotHandle, run: Run) -> Run:
    status = bot.status()
    assert status["rollback_ready"], status["rollback_blockers"]
    reverse = run.roll_back()
    reverse.ends("completed", RESUME_SECONDS)
    ground.assert_all_well(bot)
    collection, ref = bot.pair()
    found = rows.read_all(ground.milvus, collection, list(bot.history.possible()))
    assert bot.history.certain() == {row.key: row.text for row in found}
    assert not wrongly_embedded(found, ref)
    return reverse


def killed_on_the_way_back(ground: Ground, point: str) -> str:
    """A worker dies while a switch is taken back; the way back is finished."""
    bot = seeded(ground, 60)
    run = started(bot)
    run.ends("completed", RESUME_SECONDS)
    _written_through_the_alias(ground, bot, 1.0, 21, {})
    ground.driver.clear()
    ground.driver.on(point, "kill")
    reverse = run.roll_back()
    victim = ground.wait_dead(ground.acted(point, "kill"))
    ground.revive()
    reverse.ends("completed", RESUME_SECONDS)
    run.ends("rolled_back")
    assert bot.pair() == (bot.collection, SMALL)
    assert bot.row()["generation"] == 3
    ground.assert_all_well(bot)
    return f"{victim} killed at {point}"


#: Every boundary of a switch back that comes first, in its order.
AT_ONCE = (
    "finalization.before_switch",
    "finalization.after_switch",
    "finalization.after_alias",
    "sweep.before_apply",
    "sweep.before_replacing",
)


def killed_on_the_way_back_at_once(ground: Ground, *points: str) -> str:
    """Workers die while bots switch back first, with writers on both sides of the switch.

    What was inserted before the switch is not deleted right after it: whoever deletes what
    is still on its way has it back (docs/operations/what-if.md).
    """
    bots = [seeded(ground, 60) for _ in points]
    runs = [started(bot) for bot in bots]
    for bot, run in zip(bots, runs, strict=True):
        run.ends("completed", RESUME_SECONDS)
        _written_through_the_alias(ground, bot, 1.0, 41, {})
    ground.driver.clear()
    with ExitStack() as writing:
        for bot in bots:
            where = lambda bot=bot: (bot.alias, bot.pair()[1])  # noqa: E731
            url, only_more = ground.servers.milvus_url, (0.5, 0.5, 0.0)
            writer = ForeignWriter(url, where, bot.history, seed=42, share=only_more, per_second=10)
            writing.enter_context(writer)
        reverses, victims = [], []
        for point, run in zip(points, runs, strict=True):
            ground.driver.on(point, "kill")
            reverses.append(run.roll_back(mode="now"))
            victims.append(ground.wait_dead(ground.acted(point, "kill")))
            ground.revive()
        ends = [reverse.ends("completed", RESUME_SECONDS) for reverse in reverses]
    for bot, run, end in zip(bots, runs, ends, strict=True):
        run.ends("rolled_back")
        assert end["rows_on_their_way"] == 0
        assert bot.pair() == (bot.collection, SMALL)
        assert bot.row()["generation"] == 3
        ground.assert_all_well(bot)
    return f"{', '.join(victims)} killed at {', '.join(points)}"


def old_model_gone(ground: Ground) -> str:
    """The old model is no longer offered: the way back fails cleanly and nothing has moved."""
    bot = seeded(ground, 60)
    run = started(bot)
    run.ends("completed", RESUME_SECONDS)
    _written_through_the_alias(ground, bot, 1.0, 31, {})
    row = bot.row()
    known = dict(ground.provider.models)
    del ground.provider.models[SMALL.model]
    try:
        reverse = run.roll_back()
        (error,) = reverse.ends("rolled_back", RESUME_SECONDS)["errors"]
    finally:
        ground.provider.models.update(known)
    assert row == bot.row()
    ground.assert_all_well(bot)
    run.roll_back().ends("completed", RESUME_SECONDS)
    ground.assert_all_well(bot)
    return f"refused with {error['code']}, and done when it was there again"
