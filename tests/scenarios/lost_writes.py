"""Milvus acknowledges writes of our own last pass and loses them: before the switch and after it.

Milvus 2.3.5 ends its compactions every ten seconds. A flush that meets that moment writes
the deletions of a segment that has just been given up, and they are gone, with those
that an upsert begins with: rows are back, or stand twice. No reader sees it until the
compacted segment is the one that is served, about ten seconds later.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from pymilvus import MilvusClient, MilvusException

from tests.harness import rows
from tests.harness.bots import BotHandle, Run
from tests.harness.census import census
from tests.harness.failpoint_driver import Held
from tests.harness.ground import Ground
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
    return _mended(ground, bot, run)


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


def _mended(ground: Ground, bot: BotHandle, run: Run) -> str:
    """Soon nothing is wrong but deleted chunks that are back, each named in a warning."""
    since = time.monotonic()
    while found := ground.oracle.findings(bot.bot_id, _forgiven(bot, run)):
        if time.monotonic() - since > MENDED_WITHIN_SECONDS:
            raise AssertionError(f"not mended: {found}; warnings: {run.progress()['warnings']}")
        time.sleep(0.2)
    return f"mended {time.monotonic() - since:.1f} s after the run's end"


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

#: More than REEMBED_UNINDEXED_ROWS in this row, so that targets are filled unloaded.
CHUNKS = 700
#: Milvus is killed in between, and a target has to wait for its index.
PATIENCE_SECONDS = 180.0
#: When Milvus serves what it has compacted, and with it shows what it has lost.
SHOWN_SECONDS = 15.0
#: How often Milvus ends what it has compacted, and how long compacting takes it at least.
ENDS_EVERY_SECONDS, COMPACTING_SECONDS = 10.0, 3.0
#: From letting the last pass write until its flush is at the segments.
ON_ITS_WAY_SECONDS = (0.2, 1.0)


@dataclass
class Compactions:
    """Asks Milvus for compactions and notes when it ends them: all at one beat of its clock."""

    milvus: MilvusClient
    ended_at: float | None = None
    _jobs: set[int] = field(default_factory=set)

    def ask(self, names: Sequence[str]) -> None:
        for name in names:
            with suppress(MilvusException):  # not there yet, or nobody at home
                self._jobs.add(self.milvus.compact(name, timeout=rows.TIMEOUT_SECONDS))
        self._jobs = {job for job in self._jobs if not self._is_over(job)}

    def look(self) -> None:
        """Often enough that a job found over has just ended."""
        for job in list(self._jobs):
            if self._is_over(job):
                self._jobs.discard(job)
                self.ended_at = time.monotonic()

    def _is_over(self, job: int) -> bool:
        try:
            return (
                self.milvus.get_compaction_state(job, timeout=rows.TIMEOUT_SECONDS) != "Executing"
            )
        except MilvusException:
            return True

    def next_end(self) -> float:
        """By the monotonic clock; of a compaction that is asked for now."""
        earliest = time.monotonic() + COMPACTING_SECONDS
        if self.ended_at is None:
            return earliest
        return earliest + (self.ended_at - earliest) % ENDS_EVERY_SECONDS


@dataclass(frozen=True)
class Move:
    """One bot on its way, with somebody writing to it until the run is in finalization."""

    ground: Ground
    bot: BotHandle
    run: Run
    writing: ExitStack

    @property
    def collections(self) -> tuple[str, str]:
        return self.bot.collection, str(self.ground.row(self.run)["target_collection"])

    def stands_at(self, point: str) -> bool:
        return bool(self.ground.driver.reached(point, migration_id=self.run.id))

    def is_source_whole(self) -> bool:
        """Whether Milvus has kept what the writer wrote, of whom we know nothing."""
        bot = self.bot
        return census(self.ground.milvus, bot.collection, SMALL, bot.history).clean

    def findings(self) -> list[str]:
        return self.ground.oracle.findings(self.bot.bot_id, self.bot.history)


def lost_by_milvus(ground: Ground, runs: int, at_once: int = 4, seed: int = 32) -> str:
    """Several bots at once, the flush of each last pass aimed at the end of a compaction.

    Milvus is killed in every round, before the runs begin or while they fill their
    targets. What it has lost of the writer's own is told, and is nobody's fault.
    """
    rng = random.Random(seed)
    lossy = unjudged = 0
    for number, first in enumerate(range(0, runs, at_once)):
        moves = _moved(ground, min(at_once, runs - first), rng, killed_early=number % 2 == 0)
        time.sleep(SHOWN_SECONDS)
        judged = [move for move in moves if move.is_source_whole()]
        unjudged += len(moves) - len(judged)
        lossy += sum(bool(move.findings()) for move in judged)
        for move in judged:
            _mended(ground, move.bot, move.run)
        _drop(moves)
    return f"{runs} runs; Milvus lost writes of ours in {lossy}, of the writer's in {unjudged}"


def _moved(ground: Ground, count: int, rng: random.Random, *, killed_early: bool) -> list[Move]:
    """So many runs that have ended, each with nothing wrong."""
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
        move.run.ends("completed", PATIENCE_SECONDS)
    found = [finding for move in moves if move.is_source_whole() for finding in move.findings()]
    assert not found, f"wrong when it has just ended: {found}"
    return moves


def _begun(ground: Ground, leaving: ExitStack, bot: BotHandle, rng: random.Random) -> Move:
    where = always(bot.alias, bot.embedding)
    url, seed = ground.servers.milvus_url, rng.randrange(1_000_000)
    writing = leaving.enter_context(ExitStack())
    writer = ForeignWriter(url, where, bot.history, seed=seed, per_second=5, spared=LATE)
    writing.enter_context(writer)
    return Move(ground, bot, started(bot), writing)


def _finalized(ground: Ground, leaving: ExitStack, moves: list[Move], rng: random.Random) -> None:
    """Let the last passes write so that their flushes meet the end of a compaction."""
    compactions = Compactions(ground.milvus)
    point = "finalization.before_run"
    writes: list[Held] = []
    with ExitStack() as gates:
        for move in moves:
            gates.enter_context(ground.driver.paused(point, migration_id=move.run.id))
        _compact_until(lambda: all(move.stands_at(point) for move in moves), moves, compactions)
        for move in moves:
            move.writing.close()
            written(ground, move.bot, LATE)
            late = ground.driver.paused("catch_up.before_apply", migration_id=move.run.id)
            writes.append(leaving.enter_context(late))
    for held in writes:
        held.wait(PATIENCE_SECONDS)
    compactions.ask([move.collections[1] for move in moves])
    end = compactions.next_end()
    for seconds in sorted((rng.uniform(*ON_ITS_WAY_SECONDS) for _ in writes), reverse=True):
        time.sleep(max(0.0, end - seconds - time.monotonic()))
        writes.pop().release()


def _compact_until(
    holds: Callable[[], bool], moves: Sequence[Move], compactions: Compactions
) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"still under way: {[move.run.progress() for move in moves]}")
        compactions.ask([name for move in moves for name in move.collections])
        for _ in range(10):
            compactions.look()
            time.sleep(0.1)


def _drop(moves: Sequence[Move]) -> None:
    """With more collections than channels Milvus 2.3.5 loses more than is the matter here."""
    for move in moves:
        milvus = move.ground.milvus
        milvus.drop_alias(move.bot.alias, timeout=rows.TIMEOUT_SECONDS)
        for name in move.collections:
            milvus.drop_collection(name, timeout=rows.TIMEOUT_SECONDS)
