"""What every scenario ends with: the run's end, the oracle, and the bill."""

from __future__ import annotations

from collections.abc import Mapping

from migrations.model.config import EmbeddingRef
from tests.harness.bots import BotHandle, Run
from tests.harness.ground import Ground
from tests.harness.world import LARGE, SMALL
from tests.harness.writers import Operation, Outcome, write
from tests.services.databases import unique_name

#: Chunks of a batch in every scenario, unless it says otherwise.
BATCH = 10
#: A few batches for each slot, slowly: what comes in the middle must not come too late.
CHUNKS, LATENCY_SECONDS = 200, 0.5
#: What the contract allows until progress moves again.
RESUME_SECONDS = 60.0


def own_texts(chunks: int) -> dict[str, str]:
    """Texts that no other bot has, so that what was paid for them can be counted."""
    whose = unique_name("b")
    return {f"k{i:06}": f"chunk {i} of {whose} says {i * i}" for i in range(chunks)}


def seeded(ground: Ground, chunks: int = 60) -> BotHandle:
    return ground.seed_bot(own_texts(chunks))


def started(bot: BotHandle, **wish: object) -> Run:
    return bot.start(LARGE, **{"batch_size": BATCH, **wish})


def in_mid_migration(ground: Ground) -> tuple[BotHandle, Run]:
    """A bot and its run, of whose batches a quarter is done and some are still to come."""
    bot = seeded(ground, CHUNKS)
    ground.provider.latency_seconds = LATENCY_SECONDS
    run = started(bot)
    run.wait_for(lambda seen: CHUNKS / 4 <= seen["processed_chunks"] < CHUNKS)
    return bot, run


def in_flight(ground: Ground) -> int:
    """Texts that may be embedded again: a batch for each slot there is."""
    return BATCH * ground.slots * len(ground.pids("batch"))


def goes_on(ground: Ground, bot: BotHandle, run: Run) -> str:
    """The run completes by those who are there, who pay again for what was in flight at most."""
    allowed = in_flight(ground)
    completed(ground, bot, run, again=allowed)
    ground.processes.check()  # nobody has ended because of it
    again = paid_again(ground, bot, run)
    epoch = ground.row(run)["epoch"]
    return f"{again} texts embedded again, allowed {allowed}; epoch {epoch}"


def written(
    ground: Ground,
    bot: BotHandle,
    texts: Mapping[str, str | None],
    pair: tuple[str, EmbeddingRef] | None = None,
) -> None:
    """Somebody writes, if no ``pair`` says where, to the collection the bot was registered with."""
    write(ground.milvus, *(pair or (bot.collection, SMALL)), texts)
    bot.history.operations += [Operation(key, text, Outcome.OK) for key, text in texts.items()]


def paid_again(ground: Ground, bot: BotHandle, run: Run) -> int:
    """Texts the bot began with that were embedded more than once before verification."""
    return len(ground.paid_again(run, bot.history.initial.values()))


def completed(ground: Ground, bot: BotHandle, run: Run, again: int = 0) -> None:
    """The run has completed, once, with everything there and at most ``again`` texts paid twice."""
    run.ends("completed", RESUME_SECONDS)
    ground.assert_all_well(bot)
    told = ground.told(run)
    assert told.count("switched") == 1, told
    paid = paid_again(ground, bot, run)
    assert paid <= again, f"{paid} texts were embedded more than once, allowed were {again}"


def rolled_back(ground: Ground, bot: BotHandle, run: Run) -> None:
    """The run was taken back by one compensating chain; the bot and its data are as they were."""
    run.ends("rolled_back", RESUME_SECONDS)
    ground.assert_all_well(bot)
    told = ground.told(run)
    turns = told.count("cancel_requested") + told.count("rollback_begun")
    assert (turns, told.count("rolled_back")) == (1, 1), told
    assert bot.pair() == (bot.collection, bot.embedding)
