"""Reading a key range page by page so that no row can be lost or repeated unnoticed.

Engines differ: one returns a page in key order, one returns any rows of the
range, and released versions of both have dropped or repeated rows. So a page is
believed only when the engine's own count of the very range it covers agrees
with it. Where it does not, but the keys that were seen have as many rows as the
range holds, some stand more than once (an insert where an upsert was meant): one
engine shows all their rows, another counts all and shows any one of them. Otherwise
the range is cut at a key that was seen and each part is read again: the parts of an
unordered engine become small enough to come whole, and a write that fell between the
read and the count troubles only one of them. What cannot be cut any further is the
engine's fault, and is raised.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from migrations.model.chunks import Key, KeyRange
from migrations.model.errors import AnswerTooLarge, ScanInconsistent

Row = TypeVar("Row")

#: How often a range that cannot be cut is read before it is given up.
ATTEMPTS = 8
#: How full the left part of a cut should be; below 1 because the rows seen are
#: only a sample of the range.
_FILL = 0.7
#: A page that was too large for a message is asked for again by so many times fewer rows.
_SHRINK = 4


@dataclass(frozen=True)
class Source(Generic[Row]):
    """How to read and count one collection; ``read`` may return rows in any order."""

    read: Callable[[KeyRange, int], Sequence[Row]]
    count: Callable[[KeyRange], int]
    #: The rows of these keys together.
    count_keys: Callable[[Sequence[Key]], int]
    key_of: Callable[[Row], Key]


@dataclass(frozen=True)
class _Page(Generic[Row]):
    rows: list[Row]
    keys: list[Key]
    #: What is left of the range after a proven page, None at its end.
    rest: KeyRange | None
    #: Rows the engine counts in what the page claims to cover.
    counted: int
    proven: bool


def proven_pages(source: Source[Row], within: KeyRange, page_size: int) -> Iterator[list[Row]]:
    """Pages of at most ``page_size`` keys in ascending order, none of them empty.

    A key comes in as many rows as it stands, all on one page; they may be the same row.
    Costs one count per page on an engine that orders its pages, where each key stands
    once. Rows that do not fit into one message together are asked for in smaller pages
    from then on.

    Raises:
        ScanInconsistent: pages and counts disagree and cutting the range does not help.
        AnswerTooLarge: a single row is too large.
    """
    pending = [within]
    while pending:
        span = pending.pop()
        try:
            page = _look(source, span, page_size)
        except AnswerTooLarge:
            if page_size == 1:
                raise
            page_size = max(1, page_size // _SHRINK)
            pending.append(span)
            continue
        if not page.proven:
            pending.extend(_parts(span, page, page_size))
            continue
        if page.rest is not None:
            pending.append(page.rest)
        yield from _cut(page, page_size)


def _cut(page: _Page[Row], size: int) -> Iterator[list[Row]]:
    """In pages of so many keys; one that was read again may hold more."""
    begun, begins_at = 0, 0
    if len(page.rows) <= size:
        yield from [page.rows] if page.rows else []
        return
    for place, key in enumerate(page.keys):
        if place and key != page.keys[place - 1]:
            begun += 1
            if begun == size:
                yield page.rows[begins_at:place]
                begun, begins_at = 0, place
    yield page.rows[begins_at:]


def _look(source: Source[Row], span: KeyRange, size: int) -> _Page[Row]:
    page = _read(source, span, size)
    if not page.proven and not _parts(span, page, size):
        return _read_stubbornly(source, span, page.counted)
    return page


def _read(source: Source[Row], span: KeyRange, size: int) -> _Page[Row]:
    rows = sorted(source.read(span, size), key=source.key_of)
    keys = [source.key_of(row) for row in rows]
    _refuse_strangers(keys, span)
    last = keys[-1] if keys else None
    rest = None if last is None or last == span.upto else KeyRange(last, span.upto)
    if len(rows) < size:
        counted = source.count(span)
        page = _proven(source, rows, keys, None, counted)
        if page.proven or rest is None:
            return page
    # Full, or an engine that stopped early: right as far as it goes?
    counted = source.count(KeyRange(span.after, last))
    return _proven(source, rows, keys, rest, counted)


def _proven(
    source: Source[Row], rows: list[Row], keys: list[Key], rest: KeyRange | None, counted: int
) -> _Page[Row]:
    distinct = list(dict.fromkeys(keys))
    if counted == len(rows) == len(distinct):
        return _Page(rows, keys, rest, counted, proven=True)
    if not distinct or counted < len(distinct) or source.count_keys(distinct) != counted:
        return _Page(rows, keys, rest, counted, proven=False)
    standing = as_often_as_they_stand(source.count_keys, rows, source.key_of, counted)
    return _Page(standing, [source.key_of(row) for row in standing], rest, counted, proven=True)


def as_often_as_they_stand(
    count_keys: Callable[[Sequence[Key]], int],
    rows: Sequence[Row],
    key_of: Callable[[Row], Key],
    counted: int,
) -> list[Row]:
    """Rows of keys of which ``counted`` rows stand, each key's so often, found in halves.

    The engine may have shown fewer of a key's rows: then the last one comes more than once.
    """
    shown: defaultdict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        shown[key_of(row)].append(row)
    standing: list[Row] = []
    pending = [(list(shown), counted)]
    while pending:
        keys, many = pending.pop()
        if many == len(keys):
            standing += (shown[key][0] for key in keys)
        elif len(keys) == 1:
            of_it = shown[keys[0]][:many]
            standing += of_it + of_it[-1:] * (many - len(of_it))
        else:
            left, right = keys[: len(keys) // 2], keys[len(keys) // 2 :]
            in_left = count_keys(left)
            pending += [(right, many - in_left), (left, in_left)]
    return standing


def _refuse_strangers(keys: Sequence[Key], span: KeyRange) -> None:
    strangers = sum(key not in span for key in keys)
    if strangers:
        raise ScanInconsistent(f"{strangers} rows outside the key range {span} were returned.")


def _parts(span: KeyRange, page: _Page[Row], size: int) -> list[KeyRange]:
    """The range cut in two at a key that was seen, the left part last; nothing if none will do."""
    seen = sorted({key for key in page.keys if key != span.upto})
    if not seen:
        return []
    wanted = int(len(seen) * min(0.5, _FILL * size / max(page.counted, 1)))
    pivot = seen[max(0, min(wanted, len(seen) - 2))]
    return [KeyRange(pivot, span.upto), KeyRange(span.after, pivot)]


def _read_stubbornly(source: Source[Row], span: KeyRange, counted: int) -> _Page[Row]:
    """A range that cannot be cut, read whole, until it is proven or shows where to cut it.

    Again, because somebody may be writing just there, or the engine may have
    stopped early and shown the last row only.
    """
    for _ in range(ATTEMPTS):
        page = _read(source, span, counted + 1)
        if page.proven or _parts(span, page, counted):
            return page
        counted = page.counted
    raise ScanInconsistent(
        f"The key range {span} holds {page.counted} rows by Milvus' count and"
        f" {len(page.rows)} by reading: the engine loses rows, or somebody writes to that very"
        " range all the time. Nothing may be migrated from it as it is.",
        counted=page.counted,
        read=len(page.rows),
    )
