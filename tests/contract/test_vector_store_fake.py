"""What the fake can do that no engine can: fail on demand, lag, be written past."""

from __future__ import annotations

import pytest

from migrations.model.chunks import ALL_KEYS
from migrations.model.errors import VectorStoreUnavailable
from tests.contract.vector_store_world import chunk, write
from tests.fakes.vector_store import FakeVectorStore


def test_a_planned_fault_is_raised_as_often_as_planned_and_does_nothing() -> None:
    store = FakeVectorStore()
    made = store.seed("docs", [{"pk": "a", "text": "one"}], 8)
    store.fail("upsert", VectorStoreUnavailable("planned"), times=2)

    for _ in range(2):
        with pytest.raises(VectorStoreUnavailable, match="planned"):
            write(store, made, [chunk("b")])
    before = store.count("docs")
    write(store, made, [chunk("b")])

    assert (1, 2, 3) == (before, store.count("docs"), store.calls["upsert"])


def test_a_planned_write_falls_in_before_the_next_call() -> None:
    store = FakeVectorStore()
    made = store.seed("docs", [{"pk": "a", "text": "one"}], 8)
    store.before("fetch", lambda: store.put("docs", {"pk": "a", "text": "two"}))

    assert ["two"] == [found.fields["text"] for found in store.fetch(made, ["a"])]


def test_only_strong_reads_of_a_lagging_store_see_what_was_just_written() -> None:
    store = FakeVectorStore(lagging=True)
    made = store.seed("docs", [{"pk": "a", "text": "one"}], 8)
    write(store, made, [chunk("b")])

    weak, strong = store.read(made, ALL_KEYS), store.read(made, ALL_KEYS, strong=True)
    now, lately = store.count("docs"), store.count("docs", as_of=store.lately())
    store.flush("docs")

    assert (1, 2, 2) == (len(weak), len(strong), len(store.read(made, ALL_KEYS)))
    assert (2, 1, 2) == (now, lately, store.count("docs", as_of=store.lately()))


def test_seeded_rows_stand_behind_their_alias_with_unit_vectors() -> None:
    store = FakeVectorStore()
    store.seed("docs", [{"pk": 1, "text": "one"}, {"pk": 2, "text": "two"}], 8, alias="bot")

    [[first, second]] = store.scan(store.describe("bot"), with_vectors=True)

    assert ("docs", ["bot"]) == (store.resolve_alias("bot"), store.aliases_of("docs"))
    assert [{"pk": 1, "text": "one"}, {"pk": 2, "text": "two"}] == [first.fields, second.fields]
    assert first.vector is not None
    assert 1 == pytest.approx(float((first.vector**2).sum()), abs=1e-6)
