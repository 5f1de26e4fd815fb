"""Milvus acknowledges writes of our own last pass and loses them: before the switch and after it.

Milvus 2.3.5 ends its compactions every ten seconds. A flush that meets that moment writes
the deletions of a segment that has just been given up, and they are gone, with those
that an upsert begins with: rows are back, or stand twice. No reader sees it until the
compacted segment is the one that is served, about ten seconds later.
"""

from __future__ import annotations

import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from pymilvus import MilvusClient, MilvusException

from tests.harness import rows
from tests.harness.bots import BotHandle, Run
from tests.harness.census import census
from tests.harness.failpoint_driver import Held
from tests.harness.ground import Ground
from tests.harness.oracle import lasting
from tests.harness.world import LARGE, SMALL
from tests.harness.writers import ForeignWriter, History, Operation, Outcome, always
from tests.scenarios.judging import RESUME_SECONDS, completed, own_texts, seeded, started, written

#: What the last pass has to write: of four chunks that lie in segments long sealed.
LATE: dict[str, str | None] = {
    "k000001": None,
    "k000002": None,
    "k000003": "changed late",
    "k000004": "changed as late",
}
#: What the plan allows for mending after the switch.
MENDED_WITHIN_SECONDS = 30.0


# --- for certain: somebody plays the engine --------------------------------------------


def back_before_the_last_catching_up(ground: Ground) -> str:
    """What verification has deleted is back before the last catching up: it never goes live."""
    bot, run = _came_back_at(ground, "finalization.before_run")
    completed(ground, bot, run)
    return "made equal again before the switch"


def back_at(ground: Ground, point: str) -> str:
    """What the last pass has deleted is back when nobody compares any more."""
    bot, run = _came_back_at(ground, point)
    run.ends("completed", RESUME_SECONDS)
    since = time.monotonic()
    found = _not_mended(ground, bot, run)
    assert not found, f"not mended: {found}; warnings: {run.progress()['warnings']}"
    return f"mended {time.monotonic() - since:.1f} s after the run's end"


def _came_back_at(ground: Ground, point: str) -> tuple[BotHandle, Run]:
    bot = seeded(ground)
    with ground.driver.paused(point) as held:
        with ground.driver.paused("verification.before_run") as before:
            run = started(bot)
            before.wait()
            written(ground, bot, LATE)
        held.wait()
        _undo_deletions(ground, bot, run)
    return bot, run


def _undo_deletions(ground: Ground, bot: BotHandle, run: Run) -> None:
    """The old rows with their old vectors, beside the new ones: ``insert`` replaces nothing."""
    target = ground.row(run)["target_collection"]
    old = {key: bot.history.initial[key] for key in LATE}
    before = rows.count(ground.milvus, target)
    ground.milvus.insert(target, rows.rows_of(LARGE, old), timeout=rows.TIMEOUT_SECONDS)
    assert rows.count(ground.milvus, target) == before + len(old), "this engine replaces rows"


def _not_mended(ground: Ground, bot: BotHandle, run: Run) -> list[str]:
    """What is not mended in time, but for deleted chunks that are back and named in a warning."""
    look = lambda: ground.oracle.findings(bot.bot_id, _forgiven(bot, run))  # noqa: E731
    return lasting(look, MENDED_WITHIN_SECONDS)


def _forgiven(bot: BotHandle, run: Run) -> History:
    """The bot's history, if what a warning names may be back as it was before its deletion."""
    warnings = run.progress()["warnings"]
    earlier: dict[str, list[str]] = defaultdict(list)
    for key, text in bot.history.initial.items():
        earlier[key].append(text)
    for operation in bot.history.operations:
        if operation.text is not None:
            earlier[operation.key].append(operation.text)
    back = [
        Operation(key, text, Outcome.UNKNOWN)
        for key, states in bot.history.possible().items()
        if None in states and any(key in warning for warning in warnings)
        for text in earlier[key]
    ]
    return History(bot.history.initial, [*bot.history.operations, *back])


# --- by the engine itself --------------------------------------------------------------

CHUNKS, AT_ONCE = 700, 4
#: Targets are filled unloaded, and the first sweep comes, as by default, when a loss shows.
SETTINGS = {
    "REEMBED_UNINDEXED_ROWS": "600",
    "REEMBED_SWEEP_FIRST_SECONDS": "20",
    "REEMBED_MAX_CONCURRENT_MIGRATIONS": str(AT_ONCE),
}
#: Milvus is killed in between, and a target has to wait for its index.
PATIENCE_SECONDS = 180.0
#: When Milvus serves what it has compacted, and with it shows what it has lost.
SHOWN_SECONDS = 15.0
#: How often Milvus ends what it has compacted, and how long compacting takes it at least.
ENDS_EVERY_SECONDS, COMPACTING_SECONDS = 10.0, 3.0
#: From letting the last pass write until its flush is at the segments.
ON_ITS_WAY_SECONDS = (0.5, 2.0)
#: Chunks of a batch: the last pass embeds all it has to in one request.
LARGE_BATCH = 100


@dataclass
class Compactions:
    """Asks Milvus for compactions and notes when it ends them: all at one beat of its clock."""

    milvus: MilvusClient
    ended_at: float | None = None
    _jobs: dict[str, int] = field(default_factory=dict)

    def ask(self, names: Sequence[str]) -> None:
        """Compact these, but for those at which it still is: it takes two at a time."""
        for name in names:
            if name not in self._jobs:
                with suppress(MilvusException):  # not there yet
                    job = self.milvus.compact(name, timeout=rows.TIMEOUT_SECONDS)
                    if not self._is_over(job):  # otherwise there was nothing to do
                        self._jobs[name] = job

    def look(self, seconds: float) -> None:
        """For so long; a job that is found over has just ended."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for name, job in list(self._jobs.items()):
                if self._is_over(job):
                    del self._jobs[name]
                    self.ended_at = time.monotonic()
            time.sleep(0.02)

    def end(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._jobs and time.monotonic() < deadline:
            self.look(0.1)

    def next_end(self) -> float:
        """By the monotonic clock; of a compaction that is asked for now."""
        earliest = time.monotonic() + COMPACTING_SECONDS
        if self.ended_at is None:
            return earliest
        return earliest + (self.ended_at - earliest) % ENDS_EVERY_SECONDS

    def _is_over(self, job: int) -> bool:
        try:
            state = self.milvus.get_compaction_state(job, timeout=rows.TIMEOUT_SECONDS)
        except MilvusException:
            return True
        return state != "Executing"


@dataclass(frozen=True)
class Move:
    """One bot on its way, with somebody writing to it until the run is in finalization."""

    ground: Ground
    bot: BotHandle
    run: Run
    writing: ExitStack

    @property
    def target(self) -> str:
        return str(self.ground.row(self.run)["target_collection"])

    def stands_at(self, point: str, since: int) -> bool:
        """Or has ended, of which no good can come."""
        reached = self.ground.driver.reached(point, since=since, migration_id=self.run.id)
        return bool(reached) or self.run.progress()["finished"]

    def is_source_whole(self) -> bool:
        """Whether Milvus has kept what the writer wrote, of whom we know nothing."""
        bot = self.bot
        return census(self.ground.milvus, bot.collection, SMALL, bot.history).clean

    def findings(self) -> list[str]:
        """What is wrong with an ended run, judged strictly."""
        seen = self.run.progress()
        ended = [] if seen["status"] == "completed" else [f"{seen['status']}: {seen['errors']}"]
        return ended + self.ground.oracle.findings(self.bot.bot_id, self.bot.history)


def lost_by_milvus(ground: Ground, runs: int) -> str:
    """Several bots at once, the flush of each last pass aimed at the end of a compaction.

    Milvus is killed in every round, before the runs begin or while they fill their
    targets. What it has lost of the writer's own is told, and is nobody's fault.
    """
    rng = random.Random(32)
    wrong: list[str] = []
    lossy = unjudged = 0
    for number, first in enumerate(range(0, runs, AT_ONCE)):
        moves = _ended(ground, min(AT_ONCE, runs - first), rng, killed_early=number % 2 == 0)
        found = [(move, move.findings()) for move in moves]
        time.sleep(SHOWN_SECONDS)
        for move, at_the_end in found:
            if not move.is_source_whole():
                unjudged += 1
                continue
            lossy += bool(move.findings())
            wrong += [*at_the_end, *_not_mended(ground, move.bot, move.run)]
        ground.drop_collections()
        done = first + len(moves)
        told = f"{done} runs; Milvus lost writes of ours in {lossy}, of the writer's in {unjudged}"
        print(f"      {told}; {len(wrong)} wrong", file=sys.stderr, flush=True)
    assert not wrong, f"{told}; wrong: {wrong}"
    assert unjudged < runs, f"{told}: nothing was judged"
    return told


def _ended(ground: Ground, count: int, rng: random.Random, *, killed_early: bool) -> list[Move]:
    ground.provider.latency_seconds = 0.1
    bots = [ground.seed_bot(own_texts(CHUNKS)) for _ in range(count)]
    if killed_early:
        ground.crash("milvus", 1)
    with ExitStack() as leaving:
        moves = [_begun(ground, leaving, bot, rng) for bot in bots]
        if not killed_early:
            moves[0].run.wait_for(lambda seen: seen["processed_chunks"] > 0)
            ground.crash("milvus", 1)
        _finalized(ground, leaving, moves, rng)
    for move in moves:
        move.run.wait_finished(PATIENCE_SECONDS)
    return moves


def _begun(ground: Ground, leaving: ExitStack, bot: BotHandle, rng: random.Random) -> Move:
    where = always(bot.alias, bot.embedding)
    url, seed = ground.servers.milvus_url, rng.randrange(1_000_000)
    writing = leaving.enter_context(ExitStack())
    writer = ForeignWriter(url, where, bot.history, seed=seed, per_second=5, spared=LATE)
    writing.enter_context(writer)
    return Move(ground, bot, started(bot, batch_size=LARGE_BATCH), writing)


def _finalized(ground: Ground, leaving: ExitStack, moves: list[Move], rng: random.Random) -> None:
    """Let the last passes write so that their flushes meet the end of a compaction."""
    compactions = Compactions(ground.milvus)
    before, writes = "finalization.before_run", "catch_up.before_call"
    held: list[Held] = []
    with ExitStack() as gates:
        for move in moves:
            gates.enter_context(ground.driver.paused(before, migration_id=move.run.id))
        _compact_until_all_stand_at(before, moves, compactions)
        since = len(ground.driver.hits)
        for move in moves:
            move.writing.close()
            written(ground, move.bot, LATE)
            last_pass = ground.driver.paused(writes, migration_id=move.run.id)
            held.append(leaving.enter_context(last_pass))
    _compact_until_all_stand_at(writes, moves, compactions, since)
    for move in moves:
        reached = ground.driver.reached(writes, since=since, migration_id=move.run.id)
        assert reached, f"its last pass had nothing to write: {move.run.progress()}"
    ground.provider.latency_seconds = 0
    compactions.end()
    compactions.ask([move.target for move in moves])
    end = compactions.next_end()
    for seconds in sorted((rng.uniform(*ON_ITS_WAY_SECONDS) for _ in held), reverse=True):
        time.sleep(max(0.0, end - seconds - time.monotonic()))
        held.pop().release()


def _compact_until_all_stand_at(
    point: str, moves: Sequence[Move], compactions: Compactions, since: int = 0
) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not all(move.stands_at(point, since) for move in moves):
        on_their_way = [move.run.progress() for move in moves]
        assert time.monotonic() < deadline, f"still on the way to {point}: {on_their_way}"
        compactions.ask([name for move in moves for name in (move.bot.collection, move.target)])
        compactions.look(1)
