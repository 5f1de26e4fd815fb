"""What differs between some chunks of the source and some rows of the target."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from migrations.model.chunks import Chunk, Content, Key, KeyRange, content_of


@dataclass(frozen=True)
class Difference:
    """What differs within one key range; all empty when nothing does."""

    within: KeyRange
    #: All of the source in the range.
    source: Content
    #: In the source and not in the target.
    missing: list[Chunk] = field(default_factory=list)
    #: (source, target) of the same key with different content.
    changed: list[tuple[Chunk, Chunk]] = field(default_factory=list)
    #: (source, rows of the target) of a key that stands more than once in the target.
    doubled: list[tuple[Chunk, list[Chunk]]] = field(default_factory=list)
    #: Rows of the target whose key is not in the source.
    extra: list[Chunk] = field(default_factory=list)
    #: The same, but by permission, see :func:`differences`.
    left_out: list[Chunk] = field(default_factory=list)
    #: All chunks of the source in the range.
    page: Sequence[Chunk] = ()
    #: Rows that were read in the target.
    in_target: int = 0

    @property
    def size(self) -> int:
        return len(self.missing) + len(self.changed) + len(self.doubled) + len(self.extra)


def compared(within: KeyRange, page: Sequence[Chunk], theirs: Sequence[Chunk]) -> Difference:
    """What differs between these chunks of the source and these rows of the target."""
    by_key: defaultdict[Key, list[Chunk]] = defaultdict(list)
    for row in theirs:
        by_key[row.key].append(row)
    difference = Difference(within, content_of(page), page=page, in_target=len(theirs))
    for chunk in page:
        rows = by_key.pop(chunk.key, [])
        if not rows:
            difference.missing.append(chunk)
        elif len(rows) > 1:
            difference.doubled.append((chunk, rows))
        elif not rows[0].holds_the_same_as(chunk):
            difference.changed.append((chunk, rows[0]))
    difference.extra.extend(row for rows in by_key.values() for row in rows)
    return difference
