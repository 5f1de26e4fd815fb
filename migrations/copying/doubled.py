"""Keys that stand more than once in the source: one row of each is carried, the newest if told.

An insert where an upsert was meant leaves two rows under a key. Milvus does not say which is
the newer: a query shows now one of them and now the other, or always the same one (measured
on 2.3.5; docs/decisions.md). What can be told is told by what this run knows: a row that the
target does not hold, and that this run has not replaced there, came later than what it holds.
Where both stood before the run began, either may be carried.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property

from migrations.copying.difference import Difference
from migrations.model.chunks import Chunk, Key
from migrations.model.snapshot import content_hash
from migrations.ports.vector_store import Moment
from migrations.run.run import Run

#: How often the source is asked for a row that was not shown. Where one of two is drawn for each
#: query, so many show the same one in 2 of 2^8 cases.
LOOKS = 8
#: Notes of what was written that are asked for; of any earlier ones the next pass decides anew.
MOST_NOTES = 20_000


class Replaced:
    """What this run has replaced in the target; its notes are read once, if at all."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @cached_property
    def _notes(self) -> dict[tuple[Key, bytes | None], frozenset[bytes]]:
        store, migration_id = self._run.services.store, self._run.migration.id
        notes = store.written_rows(migration_id, MOST_NOTES)
        return {(note.key, note.now): note.was for note in notes}

    def known_of(self, theirs: Chunk) -> set[bytes]:
        """Contents of a key that are no reason to write: the target's, and what it replaced."""
        held = content_hash(theirs)
        return {held, *self._notes.get((theirs.key, held), ())}


def settled(
    run: Run, difference: Difference, replaced: Replaced, as_of: Moment | None = None
) -> Difference:
    """The difference without what is one row of several, and with what is newer in the source.

    ``replaced`` may be as of the beginning of a pass: it meets each key once.
    """
    doubled = {chunk.key: chunk for chunk in difference.page if chunk.rows > 1}
    for chunk in [*difference.missing, *(ours for ours, _ in difference.doubled)]:
        doubled.pop(chunk.key, None)  # written in any case
    if not doubled:
        return difference
    other = {ours.key: row for ours, row in difference.changed if ours.key in doubled}
    theirs = doubled | other
    known = {key: replaced.known_of(chunk) for key, chunk in theirs.items()}
    newer = {key: c for key, c in doubled.items() if content_hash(c) not in known[key]}
    newer |= other_rows(run, {key: known[key] for key in doubled.keys() - newer.keys()}, as_of)
    single = [pair for pair in difference.changed if pair[0].key not in doubled]
    changed = single + [(chunk, theirs[key]) for key, chunk in newer.items()]
    return replace(difference, changed=changed)


def other_rows(
    run: Run, known: Mapping[Key, Collection[bytes]], as_of: Moment | None = None
) -> dict[Key, Chunk]:
    """Of each key a row of the source with none of these contents, if one is shown."""
    found: dict[Key, Chunk] = {}
    vectors = run.services.vectors
    seeing = vectors.moment() if as_of is None else as_of
    for _ in range(LOOKS):
        wanted = [key for key in known if key not in found]
        if not wanted:
            break
        run.must_go_on()
        for row in vectors.fetch_rows(run.source, wanted, as_of=seeing):
            if content_hash(row) not in known[row.key]:
                found[row.key] = row
    return found
