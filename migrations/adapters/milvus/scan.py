"""Reading a key range page by page so that no row can be lost or repeated unnoticed.

Engines differ: one returns a page in key order, one returns any rows of the
range, and released versions of both have dropped or repeated rows. So a page is
believed only when the engine's own count of the very range it covers agrees
with it. Where it does not, the range is cut at a key that was seen and each
part is read again: the parts of an unordered engine become small enough to come
whole, and a write that fell between the read and the count troubles only one of
them. What cannot be cut any further is the engine's fault, and is raised.
"""

from __future__ import annotations

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
    key_of: Callable[[Row], Key]
    #: Whether a key may stand more than once. Milvus 2.3.5 counts all its rows and shows one
    #: of them: then that one comes as often as the key stands.
    repeated: bool = False


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
    """Pages of at most ``page_size`` rows in ascending key order, none of them empty.

    Costs one count per page on an engine that orders its pages. Rows that do not fit
    into one message together are asked for in smaller pages from then on.

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
        for start in range(0, len(page.rows), page_size):
            yield page.rows[start : start + page_size]


def _look(source: Source[Row], span: KeyRange, size: int) -> _Page[Row]:
    page = _read(source, span, size)
    if not page.proven and not _parts(span, page, size):
        return _read_stubbornly(source, span, page.counted)
    return page


def _read(source: Source[Row], span: KeyRange, size: int) -> _Page[Row]:
    rows = sorted(source.read(span, size), key=source.key_of)
    keys = [source.key_of(row) for row in rows]
    _refuse_strangers(keys, span)
    distinct = source.repeated or len(set(keys)) == len(keys)
    last = keys[-1] if keys else None
    rest = None if last is None or last == span.upto else KeyRange(last, span.upto)
    if len(rows) < size:
        counted = source.count(span)
        if counted == len(rows) and distinct:
            return _Page(rows, keys, None, counted, proven=True)
        if rest is None:
            return _Page(rows, keys, None, counted, proven=False)
    # Full, or an engine that stopped early: right as far as it goes?
    counted = source.count(KeyRange(span.after, last))
    return _Page(rows, keys, rest, counted, proven=distinct and counted == len(rows))


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
    if source.repeated and page.counted > len(page.rows) and len(set(page.keys)) == 1:
        # A key that stands more than once may be shown as any one of its rows.
        shown = [*page.rows, *page.rows[-1:] * (page.counted - len(page.rows))]
        return _Page(shown, page.keys, None, page.counted, proven=True)
    raise ScanInconsistent(
        f"The key range {span} holds {page.counted} rows by Milvus' count and"
        f" {len(page.rows)} by reading; a key may stand twice (insert instead of upsert),"
        " or the engine loses rows. Nothing may be migrated from it as it is.",
        counted=page.counted,
        read=len(page.rows),
    )
