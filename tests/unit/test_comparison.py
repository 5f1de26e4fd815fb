"""Comparing by key and content, page by page, in every shape that two collections can have."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrations.copying import comparison
from migrations.copying.comparison import catch_up_once, compare
from migrations.model import task_names as names
from migrations.model.chunks import ALL_KEYS, Chunk, KeyRange
from migrations.model.errors import Superseded, VectorStoreUnavailable
from tests.fakes.vector_store import FakeVectorStore
from tests.fakes.world import World

CONTENT = st.dictionaries(st.sampled_from("abcdefghij"), st.sampled_from(["x", "y"]))


def both(source: dict[str, str], target: dict[str, str]) -> FakeVectorStore:
    store = FakeVectorStore(unordered=True)
    for name, rows in (("s", source), ("t", target)):
        store.seed(name, [{"pk": k, "text": t} for k, t in rows.items()], 2, key_is_string=True)
    return store


def differences(
    store: FakeVectorStore, within: KeyRange = ALL_KEYS
) -> tuple[set[str], set[str], set[str]]:
    missing: set[str] = set()
    changed: set[str] = set()
    extra: set[str] = set()
    for found in compare(store, store.describe("s"), store.describe("t"), within):
        missing |= {str(chunk.key) for chunk in found.missing}
        changed |= {str(chunk.key) for chunk, _ in found.changed}
        extra |= {str(row.key) for row in found.extra}
    return missing, changed, extra


@settings(max_examples=150, deadline=None)
@given(source=CONTENT, target=CONTENT, page=st.integers(1, 4))
def test_every_difference_is_found_whatever_the_pages(
    source: dict[str, str], target: dict[str, str], page: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "PAGE_SIZE", page)
        found = differences(both(source, target))
    expected = (
        source.keys() - target.keys(),
        {key for key in source.keys() & target.keys() if source[key] != target[key]},
        target.keys() - source.keys(),
    )
    assert expected == found


def test_within_a_range_nothing_outside_is_looked_at() -> None:
    store = both({"a": "x", "c": "x", "e": "x"}, {"b": "x", "d": "x", "f": "x"})
    assert ({"c"}, set(), {"d"}) == differences(store, KeyRange("b", "d"))


def test_a_field_that_is_missing_on_one_side_is_a_change() -> None:
    store = both({"a": "x"}, {"a": "x"})
    store.put("s", {"pk": "a", "text": "x", "title": "new"})
    assert (set(), {"a"}, set()) == differences(store)


def test_a_carried_vector_that_differs_is_a_change() -> None:
    store = both({"a": "x", "b": "x"}, {"a": "x", "b": "x"})
    for name, sparse in (("s", b"1"), ("t", b"2")):
        store.put(name, {"pk": "a", "text": "x"}, {"sparse": sparse})
        store.put(name, {"pk": "b", "text": "x"}, {"sparse": b"1"})
    assert (set(), {"a"}, set()) == differences(store)


def test_no_two_sets_of_carried_vectors_have_one_digest() -> None:
    row = {"pk": "a", "text": "x"}
    sets = [{}, {"a": b""}, {"a": b"1"}, {"b": b"1"}, {"a": b"1", "b": b""}, {"a": b'1["b",0]'}]
    assert len(sets) == len({Chunk("a", row, carried=each).digest() for each in sets})
    assert Chunk("a", row).digest() == Chunk("a", dict(reversed(row.items()))).digest()


def test_the_rows_that_were_compared_are_counted_once() -> None:
    store = both(dict.fromkeys("abcdefg", "x"), {})
    found = compare(store, store.describe("s"), store.describe("t"))
    assert 7 == sum(difference.source.chunks for difference in found)


def test_a_pass_that_lost_its_right_while_it_stood_still_applies_nothing() -> None:
    """Another worker may have switched by then, and a user may have written the key again."""
    world = World()
    migration = world.start()
    world.deliver(before=names.CATCH_UP)
    world.write("zzz", "too many", collection=migration.target_collection)
    run = world.run_of(migration)
    redrive = lambda: world.store.redrive(migration.id, 1)  # noqa: E731
    with world.at("catch_up.before_apply", redrive), pytest.raises(Superseded):
        catch_up_once(run)
    assert "zzz" in world.texts_of(migration.target_collection)


def test_what_could_not_be_stored_is_compared_anew_and_not_sent_again_as_it_was_read() -> None:
    """Somebody may have written the key since; whoever calls makes another pass."""
    world = World()
    migration = world.start()
    world.deliver(before=names.CATCH_UP)
    world.write("k001", "read by the pass")
    world.vectors.fail("upsert", VectorStoreUnavailable("Not now."))
    with pytest.raises(VectorStoreUnavailable):
        catch_up_once(world.run_of(migration))
    assert "read by the pass" not in world.texts_of(migration.target_collection).values()


def test_a_carried_vector_that_changed_is_copied_and_its_text_is_not_paid_again() -> None:
    world = World()
    migration = world.start()
    world.deliver(before=names.CATCH_UP)
    source = world.store.bot("bot").live.collection
    [row] = world.vectors.fetch(world.vectors.describe(source), ["k001"])
    world.vectors.put(source, row.fields, {"sparse": b"new"})
    run = world.run_of(migration)
    embedded = world.embedders.calls

    result = catch_up_once(run)

    assert (1, 0, embedded) == (result.copied, result.embedded, world.embedders.calls)
    [copied] = world.vectors.fetch(run.target, ["k001"])
    assert {"sparse": b"new"} == copied.carried
