"""The source as it was when it was last compared, kept part by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from migrations.copying.comparison import PAGE_SIZE
from migrations.copying.difference import Difference
from migrations.model.chunks import Chunk, Key
from migrations.model.snapshot import SnapshotPart, corrected, snapshot_of
from migrations.ports.vector_store import Moment
from migrations.process.threads import in_order
from migrations.run.run import Run

#: Changed parts that are left behind together, 32 KB each: a flush takes a while, and newer
#: Milvus servers allow a collection one in ten seconds.
PARTS_PER_FLUSH = 100


def recorder(run: Run, number: int, difference: Difference) -> None:
    """Keep a part of the source as it was read and applied. Raises Superseded."""
    part = snapshot_of(number, difference.within, difference.page)
    run.services.store.keep_part(run.migration.id, run.migration.epoch, part)


def parts_as_of(run: Run, as_of: Moment) -> Iterator[tuple[SnapshotPart, list[Chunk]]]:
    """Each part of the source as it was kept, with all chunks that its range held then."""
    vectors = run.services.vectors

    def read(part: SnapshotPart) -> tuple[SnapshotPart, list[Chunk]]:
        pages = vectors.scan(run.source, part.within, page_size=PAGE_SIZE, as_of=as_of)
        return part, [chunk for page in pages for chunk in page]

    return in_order(run.services.settings.compare_concurrency, read, _frozen_parts(run))


def _frozen_parts(run: Run) -> Iterator[SnapshotPart]:
    number = 0
    while (part := run.services.store.snapshot_part(run.migration.id, number)) is not None:
        yield part
        number += 1


def correct_snapshot(run: Run, states: Mapping[Key, Chunk | None]) -> None:
    """Some keys of the source are as said now, None for those that are gone. Raises Superseded."""
    for part in _frozen_parts(run):
        mine = {key: chunk for key, chunk in states.items() if key in part.within}
        if mine:
            right = corrected(part, mine)
            if right.by_key_hash() != part.by_key_hash():
                run.services.store.keep_part(run.migration.id, run.migration.epoch, right)


def keep_as_verified(run: Run, number: int, difference: Difference) -> None:
    """Keep a part that verification has looked at; one that was not equal, as if it were empty."""
    page = () if difference.size else difference.page
    part = snapshot_of(number, difference.within, page)
    run.services.store.keep_part(run.migration.id, run.migration.epoch, part)
