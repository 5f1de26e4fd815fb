"""The judge and the tools are judged: what is planted is found, what is cut is cut."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import psycopg2
import pytest

from tests.harness import oracle, rows
from tests.harness.bots import BotHandle
from tests.harness.tcp_proxy import TcpProxy
from tests.harness.world import LARGE, OTHER, SMALL, World
from tests.harness.writers import History, Operation, Outcome, write


def execute(world: World, statement: str, *values: str) -> None:
    url = world.servers.database_url.replace("+psycopg2", "")
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
    connection.close()


def unwritten(world: World, bot: BotHandle) -> None:
    write(world.milvus, bot.collection, SMALL, {"k000001": None})


def made_up(world: World, bot: BotHandle) -> None:
    write(world.milvus, bot.collection, SMALL, {"nobody's": "nobody wrote this"})


def rewritten(world: World, bot: BotHandle) -> None:
    write(world.milvus, bot.collection, SMALL, {"k000001": "not what was written"})


def by_another_model(world: World, bot: BotHandle) -> None:
    write(world.milvus, bot.collection, OTHER, {"k000001": bot.history.initial["k000001"]})


def of_another_text(world: World, bot: BotHandle) -> None:
    (row,) = rows.rows_of(SMALL, {"k000001": "another text"})
    text = bot.history.initial["k000001"]
    world.milvus.upsert(bot.collection, [row | {"text": text}], timeout=30)


def strayed_alias(world: World, bot: BotHandle) -> None:
    # In the bot's row, because the alias itself would be put right before anybody looks.
    other = world.seed_bot(1)
    execute(world, "DELETE FROM bots WHERE bot_id = %s", other.bot_id)
    execute(world, "UPDATE bots SET alias = %s WHERE bot_id = %s", other.alias, bot.bot_id)


def orphan(world: World, bot: BotHandle) -> None:
    rows.make_collection(world.milvus, f"{bot.alias}__g9_forgotten", LARGE.dimension)


PLANTED: dict[str, tuple[Callable[[World, BotHandle], None], str]] = {
    "a lost chunk": (unwritten, "1 chunks are missing: ['k000001']"),
    "a chunk nobody wrote": (made_up, "1 chunks should not be there"),
    "another text": (rewritten, "1 chunks have another text"),
    "another model": (by_another_model, "1 vectors are not"),
    "another text's vector": (of_another_text, "1 vectors are not"),
    "an alias that points elsewhere": (strayed_alias, "PostgreSQL says"),
    "an orphan": (orphan, "Nobody owns the collections"),
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle does not wait for what will not go away."""
    monkeypatch.setattr(oracle, "LATE_SECONDS", 0.2)


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.usefixtures("impatient")
def test_the_oracle_finds_what_is_planted_and_nothing_else(world: World, what: str) -> None:
    bot = world.seed_bot(10)
    assert [] == world.oracle.findings(bot.bot_id, bot.history)
    plant, sentence = PLANTED[what]
    with world.driver.paused("watchdog.before_round", round="aliases") as held:
        held.wait()  # or it might put right what was planted
        plant(world, bot)
        (finding,) = world.oracle.findings(bot.bot_id, bot.history)
    assert sentence in finding


@pytest.mark.usefixtures("impatient")
def test_the_oracle_finds_a_run_that_has_not_ended_and_who_still_holds_it(world: World) -> None:
    bot = world.seed_bot(10)
    with world.driver.paused("batch.before_upsert") as held:
        run = bot.start(LARGE)
        held.wait()
        found = " ".join(world.oracle.findings(bot.bot_id, bot.history))
    assert f"Run {run.id} has not ended, it is running." in found
    assert "still holds 1 leases of batches" in found
    run.ends("completed")


def test_a_write_without_an_answer_may_have_been_done_or_not() -> None:
    history = History({"a": "old", "b": "old", "c": "old"})
    history.operations += [
        Operation("a", "new", Outcome.OK),
        Operation("b", "new", Outcome.FAIL),
        Operation("c", None, Outcome.UNKNOWN),
        Operation("d", "new", Outcome.UNKNOWN),
    ]
    expected = {"a": {"new"}, "b": {"old"}, "c": {"old", None}, "d": {None, "new"}}
    assert expected == history.possible()


def test_what_our_tests_expect_of_a_model_is_what_the_provider_answers(world: World) -> None:
    bot = world.seed_bot({"only": "the only text"})
    bot.migrate(LARGE)
    (row,) = rows.read_all(world.milvus, bot.pair()[0])
    np.testing.assert_array_equal(rows.embedded(LARGE, ["the only text"])[0], row.vector)


# --- the wire ------------------------------------------------------------------------


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that answers what it is told."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while told := connection.recv(100):
                connection.sendall(told)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def test_a_wire_passes_on_what_it_is_given_until_it_is_cut(echo_port: int) -> None:
    with TcpProxy(echo_port) as wire, dialled(wire) as line:
        assert b"hello" == asked(line)
        wire.cut()
        with pytest.raises(ConnectionResetError):
            asked(line)
        with dialled(wire) as again:
            assert b"hello" == asked(again)


def test_a_refusing_wire_takes_nobody_until_it_is_restored_at_its_port(echo_port: int) -> None:
    with TcpProxy(echo_port) as wire:
        wire.refuse()
        with pytest.raises(ConnectionRefusedError):
            dialled(wire)
        wire.restore()
        with dialled(wire) as line:
            assert b"hello" == asked(line)


def test_a_stalled_wire_says_nothing_and_delivers_late(echo_port: int) -> None:
    with TcpProxy(echo_port) as wire, dialled(wire) as line:
        wire.stall()
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            asked(line)
        wire.restore()
        line.settimeout(5)
        assert b"hello" == line.recv(100)


def test_a_slow_wire_delivers_after_its_delay_both_ways(echo_port: int) -> None:
    with TcpProxy(echo_port) as wire, dialled(wire) as line:
        wire.slow(0.1)
        begun = time.monotonic()
        assert b"hello" == asked(line)
        assert time.monotonic() - begun >= 0.2


def dialled(wire: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", wire.port), timeout=5)


def asked(line: socket.socket) -> bytes:
    line.sendall(b"hello")
    return line.recv(100)


def test_restarting_what_does_not_run_stops_nobody_else(world: World) -> None:
    before = world.pids("batch") | world.pids("control")
    world.processes.stop([])
    assert before == world.pids("batch") | world.pids("control")
