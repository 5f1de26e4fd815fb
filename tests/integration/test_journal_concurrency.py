"""Writers of one journal at once on the real PostgreSQL: no gap, no overtaking, nobody refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from migrations.model.runs import ApplierLease
from migrations.model.states import Phase
from migrations.model.writes import Appended, OnceOnly, Write, WriteKind
from migrations.store import SqlMigrationStore
from tests.contract.state_store_world import Memory, World, emptied, on_postgres

MOST = 100_000
WRITERS, REQUESTS = 4, 25


@pytest.fixture(scope="module")
def store(module_database_url: str) -> Iterator[SqlMigrationStore]:
    store = SqlMigrationStore(module_database_url)
    yield store
    store.close()


@pytest.fixture(scope="module")
def engine(module_database_url: str) -> Iterator[Engine]:
    engine = create_engine(module_database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def state(store: SqlMigrationStore, engine: Engine) -> World:
    emptied(engine)
    return on_postgres(Memory(store, engine))


def put(*keys: str) -> list[Write]:
    return [Write(WriteKind.UPSERT, key, {"text": key}) for key in keys]


def at_once(*actions: Callable[[], Any]) -> list[Any]:
    line = threading.Barrier(len(actions))

    def run(action: Callable[[], Any]) -> Any:
        line.wait()
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


def test_whoever_reads_while_many_write_never_sees_a_hole(state: World) -> None:
    state.bot()
    is_over = threading.Event()

    def write(writer: int) -> list[Appended]:
        keys = [[f"{writer}-{n}-a", f"{writer}-{n}-b"] for n in range(REQUESTS)]
        return [state.store.append("bot", put(*two), MOST) for two in keys]

    def read() -> int:
        longest = 0
        while not is_over.is_set():
            seen = [entry.position for entry in state.store.unapplied("bot", MOST)[1]]
            assert list(range(1, len(seen) + 1)) == seen
            assert longest <= len(seen)
            longest = len(seen)
        return longest

    with ThreadPoolExecutor(1) as reading:
        reader = reading.submit(read)
        told = at_once(*(lambda writer=writer: write(writer) for writer in range(WRITERS)))
        is_over.set()
        reader.result()
    entries = state.store.unapplied("bot", MOST)[1]
    assert 2 * WRITERS * REQUESTS == len(entries)
    for requests in told:
        assert sorted(requests, key=lambda one: one.upto) == requests
    for writer, requests in enumerate(told):
        for n, one in enumerate(requests):
            keys = [entries[place].write.key for place in range(one.after, one.upto)]
            assert [f"{writer}-{n}-a", f"{writer}-{n}-b"] == keys


def test_who_comes_second_waits_for_the_first_to_commit_and_stands_behind_him(
    state: World, engine: Engine
) -> None:
    """A place is no number drawn from a sequence, which could be committed out of order."""
    state.bot()
    state.store.append("bot", put("before"), MOST)
    with ThreadPoolExecutor(1) as pool, engine.connect() as first:
        first.execute(text("UPDATE journals SET last = last + 1 WHERE bot_id = 'bot'"))
        entry = "INSERT INTO journal_entries (bot_id, position, kind, key, fields)"
        first.execute(text(f"""{entry} VALUES ('bot', 2, 'delete', '"slow"', '{{}}')"""))
        second = pool.submit(state.store.append, "bot", put("quick"), MOST)
        with pytest.raises(StillWaiting):
            second.result(0.3)
        assert [1] == [entry.position for entry in state.store.unapplied("bot", 10)[1]]
        first.commit()
        assert 3 == second.result(10).upto
    assert ["before", "slow", "quick"] == [
        entry.write.key for entry in state.store.unapplied("bot", 10)[1]
    ]


def test_of_equal_requests_at_once_one_is_written(state: World) -> None:
    state.bot()
    for number in range(4):
        once = OnceOnly(f"key {number}", "digest")
        append = lambda once=once: state.store.append("bot", put("a", "b"), MOST, once)  # noqa: E731
        told = at_once(append, append, append)
        assert 1 == len({one.upto for one in told})
        assert [False, True, True] == sorted(one.replayed for one in told)
    assert 8 == state.store.journal("bot").last


def test_the_first_writes_to_a_bot_at_once_make_one_journal(state: World) -> None:
    state.bot()
    told = at_once(*(lambda: state.store.append("bot", put("a"), MOST) for _ in range(WRITERS)))
    assert list(range(1, WRITERS + 1)) == sorted(one.upto for one in told)
    assert 1 == sum(one.wake for one in told)


def test_a_switch_that_has_the_bots_row_holds_no_writer_up(state: World, engine: Engine) -> None:
    state.bot()
    state.store.append("bot", put("a"), MOST)
    with ThreadPoolExecutor(1) as pool, engine.connect() as switching:
        switching.execute(text("SELECT 1 FROM bots WHERE bot_id = 'bot' FOR UPDATE"))
        written = pool.submit(state.store.append, "bot", put("b"), MOST)
        assert 2 == written.result(10).upto


def test_of_one_who_applies_and_one_who_is_about_to_switch_never_both_begin(state: World) -> None:
    bot = state.bot()
    state.store.append("bot", put("a"), MOST)
    run = state.drive(state.start(bot), Phase.FINALIZATION)
    lease = ApplierLease("bot")
    for _ in range(8):
        is_applying, may_compare = at_once(
            lambda: state.store.take_lease(lease, "me", 60),
            lambda: state.store.hold_journal(run.id, run.epoch),
        )
        assert not (is_applying and may_compare)
        assert is_applying or may_compare
        state.store.release_lease(lease, "me")
        assert state.store.hold_journal(run.id, run.epoch)
        state.store.let_go_journal(run.id, run.epoch)
