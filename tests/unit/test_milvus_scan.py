"""Pages are proven against engines that order, shuffle, lose, repeat and change rows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrations.adapters.milvus.scan import Source, proven_pages
from migrations.model.chunks import ALL_KEYS, Key, KeyRange
from migrations.model.errors import AnswerTooLarge, ScanInconsistent

Read = Callable[[KeyRange, int], list[Key]]


class Engine:
    """Keys in memory; ``tamper`` may change a page before it is returned."""

    def __init__(self, keys: list[Key], *, shuffled: bool = False, short: bool = False) -> None:
        self.keys = list(keys)
        self.calls: Counter[str] = Counter()
        self.tamper: Callable[[list[Key]], list[Key]] = lambda page: page
        self._shuffled = shuffled
        self._short = short
        self._random = random.Random(5)

    def read(self, within: KeyRange, size: int) -> list[Key]:
        self.calls["read"] += 1
        found = sorted(key for key in self.keys if key in within)
        if self._shuffled:
            self._random.shuffle(found)
        if self._short:
            size = self._random.randint(1, size)
        return self.tamper(found[:size])

    def count(self, within: KeyRange) -> int:
        self.calls["count"] += 1
        return sum(key in within for key in self.keys)

    def count_keys(self, keys: Sequence[Key]) -> int:
        self.calls["count_keys"] += 1
        return sum(key in keys for key in self.keys)

    def pages(self, within: KeyRange = ALL_KEYS, size: int = 10) -> list[list[Key]]:
        source = Source(self.read, self.count, self.count_keys, lambda key: key)
        return list(proven_pages(source, within, size))


def joined(pages: list[list[Key]]) -> list[Key]:
    return [key for page in pages for key in page]


def test_an_orderly_engine_is_read_once_and_counted_once_per_page() -> None:
    engine = Engine(list(range(95)))

    pages = engine.pages()

    assert [10] * 9 + [5] == [len(page) for page in pages]
    assert list(range(95)) == joined(pages)
    assert {"read": 10, "count": 10} == engine.calls


def test_rows_too_large_for_one_message_together_come_in_smaller_pages() -> None:
    engine = Engine(list(range(95)))

    def full(page: list[Key]) -> list[Key]:
        if len(page) > 3:
            raise AnswerTooLarge("planned")
        return page

    engine.tamper = full
    pages = engine.pages()

    assert list(range(95)) == joined(pages)
    assert 33 < engine.calls["read"] < 60
    engine.tamper = refuse
    with pytest.raises(AnswerTooLarge):
        engine.pages()


def refuse(_: list[Key]) -> list[Key]:
    raise AnswerTooLarge("planned")


def test_an_empty_range_has_no_pages() -> None:
    assert [] == Engine([]).pages()
    assert [] == Engine([1, 9]).pages(KeyRange(1, 8))


def test_a_range_that_ends_with_its_page_is_not_asked_again() -> None:
    engine = Engine(list(range(10)))

    assert [list(range(1, 6))] == engine.pages(KeyRange(0, 5), size=5)
    assert {"read": 1, "count": 1} == engine.calls


@given(
    keys=st.lists(st.text(max_size=3) | st.sampled_from(["a", "é"]), unique=True, max_size=60),
    size=st.integers(1, 20),
    shuffled=st.booleans(),
    short=st.booleans(),
    bounds=st.tuples(st.none() | st.text(max_size=2), st.none() | st.text(max_size=2)),
)
def test_every_key_comes_once_and_in_order_from_any_honest_engine(
    keys: list[Key],
    size: int,
    shuffled: bool,
    short: bool,
    bounds: tuple[str | None, str | None],
) -> None:
    within = KeyRange(*bounds)

    pages = Engine(keys, shuffled=shuffled, short=short).pages(within, size)

    assert sorted(key for key in keys if key in within) == joined(pages)
    assert all(0 < len(page) <= size for page in pages)


def test_small_ranges_that_show_their_last_key_first_are_read_by_looking_again() -> None:
    for seed in range(3000):  # one in a hundred of them shows nothing else four times
        chance = random.Random(seed)
        keys: list[Key] = ["", "0", "1", "2", "3", "00", "000"][: chance.randint(1, 7)]
        engine = Engine(keys, shuffled=True, short=True)
        engine._random = chance

        assert sorted(keys) == joined(engine.pages(size=chance.randint(1, 3)))


def test_an_unordered_engine_costs_a_few_reads_per_page() -> None:
    engine = Engine(list(range(5000)), shuffled=True)

    assert list(range(5000)) == joined(engine.pages(size=500))
    assert engine.calls["read"] < 60


@given(victim=st.integers(0, 99), size=st.integers(1, 40), shuffled=st.booleans())
def test_a_key_that_pages_never_show_raises(victim: int, size: int, shuffled: bool) -> None:
    engine = Engine(list(range(100)), shuffled=shuffled)
    engine.tamper = lambda page: [key for key in page if key != victim]

    with pytest.raises(ScanInconsistent):
        engine.pages(size=size)


def test_a_key_that_pages_show_twice_and_that_stands_once_comes_once() -> None:
    engine = Engine(list(range(100)))
    engine.tamper = lambda page: page + [key for key in page if key == 42]

    assert list(range(100)) == joined(engine.pages())


@given(
    keys=st.lists(st.integers(0, 30), max_size=60),
    size=st.integers(1, 20),
    shuffled=st.booleans(),
    shows_one=st.booleans(),
)
def test_a_key_comes_as_often_as_it_stands_whether_one_or_all_of_its_rows_are_shown(
    keys: list[Key], size: int, shuffled: bool, shows_one: bool
) -> None:
    engine = Engine(keys, shuffled=shuffled)
    if shows_one:
        engine.tamper = lambda page: list(dict.fromkeys(page))

    pages = engine.pages(size=size)

    assert sorted(keys) == joined(pages)
    assert all(0 < len(set(page)) <= size for page in pages)
    assert len(set(keys)) == sum(len(set(page)) for page in pages), "a key is on one page only"


@given(victim=st.integers(0, 9), size=st.integers(1, 20))
def test_a_key_that_is_never_shown_is_not_taken_for_a_second_row_of_another(
    victim: int, size: int
) -> None:
    engine = Engine([0, 0, 1, 2, 3, 4, 5, 5, 5, 6, 7, 8, 9])
    engine.tamper = lambda page: [key for key in dict.fromkeys(page) if key != victim]

    with pytest.raises(ScanInconsistent):
        engine.pages(size=size)


def test_a_range_that_shows_only_its_last_key_is_read_whole() -> None:
    engine = Engine(["a", "b", "c"])
    engine.read = lambda span, size: sorted(k for k in engine.keys if k in span)[-size:]  # type: ignore[method-assign]

    assert [["a"], ["b"], ["c"]] == engine.pages(size=1)


def test_a_key_from_outside_the_range_raises() -> None:
    engine = Engine(list(range(10)))
    engine.tamper = lambda page: [*page, 99]

    with pytest.raises(ScanInconsistent, match="outside"):
        engine.pages(KeyRange(0, 5))


def test_writes_between_reading_and_counting_are_survived() -> None:
    engine = Engine(list(range(0, 2000, 2)))
    writer = random.Random(11)

    def write_meanwhile(page: list[Key]) -> list[Key]:
        if engine.calls["read"] < 40:
            engine.keys.append(10_000 + engine.calls["read"])
            engine.keys.remove(writer.choice(engine.keys[:500]))
        return page

    untouched = set(engine.keys[600:])
    engine.tamper = write_meanwhile
    keys = joined(engine.pages(size=300))

    assert sorted(set(keys)) == keys
    assert untouched <= set(keys)
