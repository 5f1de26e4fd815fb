"""A server is away, silent, slow or restarted; the workers wait and go on, and nobody is hurt."""

from __future__ import annotations

import time

from tests.harness import rows
from tests.harness.ground import Ground, ServerName
from tests.harness.readers import BotReader
from tests.harness.tcp_proxy import TcpProxy
from tests.harness.world import LARGE
from tests.scenarios.judging import (
    CHUNKS,
    completed,
    goes_on,
    in_mid_migration,
    seeded,
    started,
)


def _wire(ground: Ground, name: str) -> TcpProxy:
    assert ground.wires is not None
    wire: TcpProxy = getattr(ground.wires, name)
    return wire


def refused(ground: Ground, name: str, seconds: float) -> str:
    """Connections are reset and refused for a while, as when a server is down."""
    bot, run = in_mid_migration(ground)
    live = dict(bot.history.initial)
    pair = bot.pair()
    with BotReader(ground.servers.milvus_url, lambda: pair, live) as reader:
        _wire(ground, name).refuse()
        time.sleep(seconds)
        _wire(ground, name).restore()
        reader.assert_answered()
    return f"{seconds:.0f} s; {goes_on(ground, bot, run)}"


def silent(ground: Ground, name: str, seconds: float) -> str:
    """Nothing gets through and nobody is told, as in a partition; then it arrives late."""
    bot, run = in_mid_migration(ground)
    _wire(ground, name).stall()
    time.sleep(seconds)
    _wire(ground, name).restore()
    return f"{seconds:.0f} s; {goes_on(ground, bot, run)}"


def restarted(ground: Ground, name: ServerName) -> str:
    """The server itself is killed and started again."""
    bot, run = in_mid_migration(ground)
    ground.crash(name, 1)
    return goes_on(ground, bot, run)


def cut_again_and_again(ground: Ground, name: str, times: int = 8) -> str:
    """Connections are reset in the middle of whatever they carry."""
    bot, run = in_mid_migration(ground)
    cuts = 0
    while cuts < times and not run.progress()["finished"]:
        _wire(ground, name).cut()
        cuts += 1
        time.sleep(0.4)
    assert cuts, "it was over before anything was cut"
    return f"{cuts} cuts; {goes_on(ground, bot, run)}"


def restarted_in_verification(ground: Ground) -> str:
    """Milvus is killed and started again while both sides are compared."""
    bot = seeded(ground, CHUNKS)
    with ground.driver.paused("verification.before_run") as held:
        run = started(bot)
        held.wait()
        ground.crash("milvus", 1)
    return goes_on(ground, bot, run)


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
