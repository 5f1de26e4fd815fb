"""Redis did what it was asked, and the reply never arrived: nothing happens twice."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from migrations.adapters.checkpoints.checkpoints import RedisCheckpoints
from migrations.model.chunks import KeyRange
from migrations.ports.checkpoints import Counters, Plan
from tests.contract.volatile_redis import LossyWire, volatile_redis


@pytest.fixture
def migration() -> UUID:
    return uuid4()


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[LossyWire]:
    with volatile_redis(tmp_path) as server:
        lossy = LossyWire(server.port)
        yield lossy
        lossy.close()


def test_the_wire_passes_on_what_comes_in_pieces(wire: LossyWire) -> None:
    """As a script does that is too long for one packet of the client's."""
    with socket.create_connection(("127.0.0.1", wire.port), timeout=5) as line:
        line.sendall(b"*1\r\n$4\r\n")
        time.sleep(0.2)
        line.sendall(b"PING\r\n")
        assert b"+PONG\r\n" == line.recv(100)


def test_a_page_of_borders_whose_reply_was_lost_is_appended_once(
    wire: LossyWire, migration: UUID
) -> None:
    checkpoints = RedisCheckpoints(wire.url)
    checkpoints.start_plan(migration, 50)
    checkpoints.append_borders(migration, ["b"], 50)

    wire.lose_next_reply()
    checkpoints.append_borders(migration, ["d", "f"], 100)
    checkpoints.append_borders(migration, ["h"], 50)

    assert 1 == wire.lost_replies
    assert Plan(50, 200, 4, True) == checkpoints.seal_plan(migration)
    assert [KeyRange("d", "f")] == checkpoints.batch_ranges(migration, 2, 1)


def test_a_mark_whose_reply_was_lost_is_counted_once(wire: LossyWire, migration: UUID) -> None:
    checkpoints = RedisCheckpoints(wire.url)
    checkpoints.start_plan(migration, 50)
    checkpoints.append_borders(migration, ["b"], 50)
    checkpoints.note_slice(migration, 0, Counters(10))

    wire.lose_next_reply()
    checkpoints.mark_done(migration, 0, Counters(50))

    assert 1 == wire.lost_replies
    assert Counters(50) == checkpoints.counters(migration)


def test_a_claim_or_lease_whose_reply_was_lost_is_held_by_who_asked(
    wire: LossyWire, migration: UUID
) -> None:
    checkpoints = RedisCheckpoints(wire.url)
    checkpoints.claim(migration, "loads the script")
    with checkpoints.lease(migration, 1, 0, 60):
        pass

    wire.lose_next_reply()
    assert checkpoints.claim(migration, "wave 0")
    wire.lose_next_reply()
    with checkpoints.lease(migration, 1, 0, 60) as held:
        assert held
    assert 2 == wire.lost_replies
    assert 0 == checkpoints.in_flight(migration)
