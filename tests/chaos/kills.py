"""Random kills while bots are moved, from one seed; and how long it takes to go on.

Two grounds. On the first everything may die at any moment, workers and servers,
while three bots are moved at a time. The second has the settings as they come;
there whole workers die, and the time until progress moves again is measured.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import grpc  # type: ignore[import-untyped,unused-ignore]  # its stubs are a package apart
from pymilvus.exceptions import MilvusException

from migrations.model.states import Phase
from tests.chaos.report import Totals
from tests.harness import rows
from tests.harness.bots import BotHandle, Run
from tests.harness.census import census
from tests.harness.ground import SERVERS, Ground
from tests.harness.oracle import TERMINAL
from tests.harness.world import LARGE, SMALL
from tests.harness.writers import ForeignWriter, always
from tests.scenarios.judging import BATCH, own_texts

#: Of what dies, by weight.
VICTIMS = {"batch": 45, "control": 25, "redis": 10, "postgres": 10, "milvus": 10}
#: A run that is killed at all the time ends after the killing does; this long means never.
PATIENCE_SECONDS = 180.0
CHUNKS = 400
#: Where everything dies: enough that a bot on its way sees many kills, because making
#: one ready on the real Milvus takes longer than several kills do.
MORE_CHUNKS = 1_200
#: Ended bots that stay while others are moved. With more collections than it has physical
#: channels (16) Milvus 2.3.5 loses, when it is killed, what was not flushed, whoever wrote
#: it: a writer's rows in a source, too, of which nobody else can know.
ENDED_KEPT = 2
Say = Callable[[str], None]


@dataclass
class Move:
    """One bot on its way, with somebody writing to it on every third."""

    ground: Ground
    bot: BotHandle
    run: Run
    writing: ExitStack = field(default_factory=ExitStack)

    def seen(self) -> dict[str, Any]:
        """Its row, as PostgreSQL has it; empty while PostgreSQL is away."""
        return self.ground.row(self.run)

    def tend(self) -> bool:
        """Stop the writer in time; True when the run has ended."""
        row = self.seen()
        # What is written between the last catching up and the switch is the sweeps' matter.
        if row["status"] in TERMINAL or _place(row) >= _VERIFICATION:
            self.writing.close()
        return row["status"] in TERMINAL


_PLACES = {phase.value: place for place, phase in enumerate(Phase)}
_VERIFICATION = _PLACES["verification"]


def _place(row: dict[str, Any]) -> int:
    return _PLACES[row["phase"]]


def moved(ground: Ground, seed: int, number: int, chunks: int = CHUNKS) -> Move:
    """A new bot, and its run begun."""
    bot = ground.seed_bot(own_texts(chunks))
    move = Move(ground, bot, bot.start(LARGE, batch_size=BATCH))
    if number % 3 == 0:
        where = always(bot.alias, bot.embedding)
        url = ground.servers.milvus_url
        writer = ForeignWriter(url, where, bot.history, seed=seed + number, per_second=5)
        move.writing.enter_context(writer)
    return move


def judged(move: Move, totals: Totals) -> list[str]:
    """What is wrong with an ended run; its counts go to the totals."""
    ground, bot = move.ground, move.bot
    _wait_readable(ground, bot.pair()[0])
    row = ground.row(move.run)
    found = [] if row["status"] == "completed" else [f"ended as {row['status']}: {row['error']}"]
    counted = census(ground.milvus, *bot.pair(), bot.history)
    totals.missing += counted.missing
    totals.duplicated += counted.duplicated
    totals.wrong_model += counted.wrong_model
    totals.embedded_twice += len(ground.paid_again(move.run, bot.history.initial.values()))
    found += ground.oracle.findings(bot.bot_id, bot.history)
    if found and not census(ground.milvus, row["source_collection"], SMALL, bot.history).clean:
        found.append("the source lacks it as well: Milvus has lost what the writer wrote")
    return found


def _wait_readable(ground: Ground, collection: str) -> None:
    """A Milvus that was killed needs most of a minute to come back."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            rows.count(ground.milvus, collection)
        except (MilvusException, grpc.RpcError):
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


# --- anything, at any moment --------------------------------------------------------


def anything(ground: Ground, seed: int, kills: int, totals: Totals, say: Say) -> list[str]:
    """Kill so many, while three bots are moved at a time; the findings afterwards."""
    rng = random.Random(seed)
    ground.provider.latency_seconds = 0.15
    moves: list[Move] = []
    ended: list[Move] = []
    found: list[str] = []
    begun = 0
    for number in range(kills):
        while len(moves) < 3:
            moves.append(moved(ground, seed, begun, MORE_CHUNKS))
            begun += 1
        time.sleep(rng.uniform(0.3, 2.5))
        say(f"{number + 1}/{kills} {_kill_something(ground, rng, totals)}")
        for move in [move for move in moves if move.tend()]:
            moves.remove(move)
            ended.append(move)
        while len(ended) > ENDED_KEPT:
            found += _judged_and_dropped(ended.pop(0), totals)
    ground.revive()
    _all_ended(moves)
    return found + [finding for move in [*ended, *moves] for finding in judged(move, totals)]


def _judged_and_dropped(move: Move, totals: Totals) -> list[str]:
    found = judged(move, totals)
    milvus, run = move.ground.milvus, move.ground.row(move.run)
    milvus.drop_alias(move.bot.alias, timeout=rows.TIMEOUT_SECONDS)
    for name in (run["source_collection"], run["target_collection"]):
        milvus.drop_collection(name, timeout=rows.TIMEOUT_SECONDS)
    return found


def _all_ended(moves: list[Move]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while under_way := [move for move in moves if not move.tend()]:
        if time.monotonic() > deadline:
            stuck = [move.run.progress() for move in under_way]
            raise TimeoutError(f"after {PATIENCE_SECONDS:.0f} s still under way: {stuck}")
        time.sleep(0.2)


def _kill_something(ground: Ground, rng: random.Random, totals: Totals) -> str:
    """One victim; what is dead comes back after up to two seconds, servers at once."""
    kind = rng.choices(list(VICTIMS), list(VICTIMS.values()))[0]
    down_seconds = rng.uniform(0, 2)
    totals.kills += 1
    if kind in SERVERS:
        ground.crash(kind, down_seconds)
        return f"{kind}, down for {down_seconds:.1f} s"
    name = rng.choice(sorted(ground.pids(kind)))
    ground.kill(name)
    # A batch worker's slots each hold a batch; a control worker may be at a catching up.
    totals.embedded_twice_allowed += BATCH * ground.slots
    time.sleep(down_seconds)
    ground.revive()
    return f"{name}, down for {down_seconds:.1f} s"


# --- whole workers, with the settings as they come ------------------------------------


def whole_workers(
    ground: Ground, seed: int, kills: int, totals: Totals, say: Say, *, restarting: bool
) -> list[str]:
    """Kill a worker in mid-migration, one migration after the other, and watch the run to its end.

    What counts is the longest time without progress. ``restarting``: the worker is
    started again right away; otherwise another of its kind is alive and has to do
    without it. Every fourth time all workers die at once, as with their machine.
    """
    rng = random.Random(seed + 1000 * restarting)
    ground.provider.latency_seconds = 0.3
    found: list[str] = []
    for number in range(kills):
        move = moved(ground, seed, 1)
        _wait_for_share(move, rng.uniform(0.1, 0.6))
        victims = _victims(ground, rng, all_of_them=number % 4 == 3)
        for name in victims:
            ground.kill(name)
        totals.kills += 1
        totals.embedded_twice_allowed += BATCH * ground.slots * len(victims)
        if restarting or len(victims) > 1:
            ground.revive()
        seconds = _longest_standstill(move)
        totals.resume_seconds.append(seconds)
        ground.revive()
        found += judged(move, totals)
        say(f"{number + 1}/{kills} {', '.join(victims)}: no progress for {seconds:.1f} s")
    return found


def _victims(ground: Ground, rng: random.Random, *, all_of_them: bool) -> list[str]:
    """Mostly batch workers, without whom nothing moves."""
    if all_of_them:
        return ground.workers_running()
    kind = rng.choices(["batch", "control"], [4, 1])[0]
    return [rng.choice(sorted(ground.pids(kind)))]


def _wait_for_share(move: Move, share: float) -> None:
    total = len(move.bot.history.initial)
    move.run.wait_for(lambda seen: seen["processed_chunks"] >= share * total)


def _longest_standstill(move: Move) -> float:
    """Seconds, from now on until the run has ended."""
    longest, since, at = 0.0, time.monotonic(), _progress(move)
    while at != _ENDED:
        time.sleep(0.1)
        before, at = at, _progress(move)
        now = time.monotonic()
        longest = max(longest, now - since)
        if at > before:
            since = now
        if now - since > PATIENCE_SECONDS:
            raise TimeoutError(f"no progress for {PATIENCE_SECONDS:.0f} s: {move.run.progress()}")
    return longest


_ENDED = (len(_PLACES), 0)


def _progress(move: Move) -> tuple[int, int]:
    """Grows whenever a batch, a phase or the run is done."""
    seen = move.run.progress()
    if seen["finished"]:
        return _ENDED
    return (_PLACES[seen["phase"]], seen["processed_chunks"])
