"""A server is away, silent, slow or restarted; the workers wait and go on, and nobody is hurt."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness import rows
from tests.harness.bots import BotHandle, Run
from tests.harness.ground import Ground, ServerName
from tests.harness.readers import BotReader
from tests.harness.tcp_proxy import TcpProxy
from tests.harness.world import LARGE
from tests.scenarios.judging import BATCH, completed, paid_again, seeded, started

#: A few batches for each slot, slowly: what comes in the middle must not come too late.
CHUNKS, LATENCY_SECONDS = 200, 0.5


@contextmanager
def _moving(ground: Ground, chunks: int = CHUNKS) -> Iterator[tuple[BotHandle, Run]]:
    """A run in mid-migration, while its bot is asked straight from the servers."""
    bot = seeded(ground, chunks)
    ground.provider.latency_seconds = LATENCY_SECONDS
    run = started(bot)
    run.wait_for(lambda seen: chunks / 4 <= seen["processed_chunks"] < chunks)
    yield bot, run


def _wire(ground: Ground, name: str) -> TcpProxy:
    assert ground.wires is not None
    wire: TcpProxy = getattr(ground.wires, name)
    return wire


def _goes_on(ground: Ground, bot: BotHandle, run: Run) -> str:
    allowed = BATCH * ground.slots * len(ground.pids("batch"))
    completed(ground, bot, run, again=allowed)
    ground.processes.check()  # nobody has ended because of it
    return f"{paid_again(ground, bot, run)} texts embedded again; epoch {ground.row(run)['epoch']}"


def refused(ground: Ground, name: str, seconds: float) -> str:
    """Connections are reset and refused for a while, as when a server is down."""
    with _moving(ground) as (bot, run):
        live = dict(bot.history.initial)
        pair = bot.pair()
        with BotReader(ground.servers.milvus_url, lambda: pair, live) as reader:
            _wire(ground, name).refuse()
            time.sleep(seconds)
            _wire(ground, name).restore()
            reader.assert_answered()
        return f"{seconds:.0f} s; {_goes_on(ground, bot, run)}"


def silent(ground: Ground, name: str, seconds: float) -> str:
    """Nothing gets through and nobody is told, as in a partition; then it arrives late."""
    with _moving(ground) as (bot, run):
        _wire(ground, name).stall()
        time.sleep(seconds)
        _wire(ground, name).restore()
        return f"{seconds:.0f} s; {_goes_on(ground, bot, run)}"


def restarted(ground: Ground, name: ServerName) -> str:
    """The server itself is killed and started again."""
    with _moving(ground) as (bot, run):
        ground.crash(name, 1)
        return _goes_on(ground, bot, run)


def cut_again_and_again(ground: Ground, name: str, times: int = 8) -> str:
    """Connections are reset in the middle of whatever they carry."""
    with _moving(ground) as (bot, run):
        cuts = 0
        while cuts < times and not run.progress()["finished"]:
            _wire(ground, name).cut()
            cuts += 1
            time.sleep(0.4)
        assert cuts, "it was over before anything was cut"
        return f"{cuts} cuts; {_goes_on(ground, bot, run)}"


def restarted_in_verification(ground: Ground) -> str:
    """Milvus is killed and started again while both sides are compared."""
    bot = seeded(ground, CHUNKS)
    with ground.driver.paused("verification.before_run") as held:
        run = started(bot)
        held.wait()
        ground.crash("milvus", 1)
    return _goes_on(ground, bot, run)


# --- the switch -------------------------------------------------------------------


def commit_reply_lost(ground: Ground) -> str:
    """The switch is committed and its reply lost: what the row says decides."""
    bot = seeded(ground)
    wire = _wire(ground, "postgres")
    with ground.driver.paused("finalization.before_switch") as held:
        run = started(bot)
        held.wait()
        wire.lose_answer(b"'switched'", b"COMMIT")
    completed(ground, bot, run)
    assert wire.answers_lost, "the commit of the switch was not seen"
    assert bot.row()["generation"] == 2
    return "switched once"


def bot_row_held(ground: Ground, seconds: float) -> str:
    """A long transaction of somebody's holds the bot's row when the switch wants it."""
    assert ground.stack is not None
    bot = seeded(ground)
    with ground.driver.paused("finalization.before_switch") as held:
        run = started(bot)
        held.wait()
        database = ground.servers.database_url.rpartition("/")[2]
        holder = ground.stack.postgres.connect(database)
        with holder.cursor() as cursor:
            cursor.execute("SELECT * FROM bots WHERE bot_id = %s FOR UPDATE", [bot.bot_id])
    time.sleep(seconds)
    holder.rollback()
    holder.close()
    completed(ground, bot, run)
    assert bot.row()["generation"] == 2
    return f"held for {seconds:.0f} s; epoch {ground.row(run)['epoch']}"


def alias_unreachable(ground: Ground, seconds: float) -> str:
    """Milvus is away when the alias is to follow; readers of the pair are right all the time."""
    bot = seeded(ground)
    with (
        BotReader(ground.servers.milvus_url, bot.pair, bot.history.initial) as reader,
        ground.driver.paused("finalization.after_switch") as held,
    ):
        run = started(bot)
        held.wait()
        _wire(ground, "milvus").refuse()
        held.release()
        time.sleep(seconds)
        assert bot.pair()[1] == LARGE
        assert rows.points_to(ground.milvus, bot.alias) == bot.collection, "how did it follow?"
        _wire(ground, "milvus").restore()
        completed(ground, bot, run)
        reader.assert_answered()
    return f"away for {seconds:.0f} s, then the alias followed"


def alias_reply_lost(ground: Ground) -> str:
    """The alias was set and the worker did not hear of it."""
    bot = seeded(ground)
    ground.driver.on("finalization.after_alias", "drop_reply")
    run = started(bot)
    completed(ground, bot, run)
    assert ground.driver.reached("finalization.after_alias")
    return f"epoch {ground.row(run)['epoch']}"
