"""Compare two collections by key and content: the one mechanism behind every promise.

Catching up is comparing and applying; verifying is a comparison that finds
nothing; a rollback compares in the other direction. Vectors are not read:
a row's vector was written together with its text, so equal text means it is
the vector of that text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import structlog

from migrations.copying.difference import Difference, compared
from migrations.copying.doubled import Replaced, settled
from migrations.copying.looked_up import note_what_is_found
from migrations.embedding.embed import embed
from migrations.model.chunks import (
    ALL_KEYS,
    Chunk,
    CollectionSchema,
    Content,
    Key,
    KeyRange,
    once_each,
    stacked,
)
from migrations.model.given_keys import stranger
from migrations.model.snapshot import WrittenRow, content_hash
from migrations.ports.vector_store import Moment, VectorStore
from migrations.process.failpoints import failpoint
from migrations.process.threads import in_order
from migrations.run.run import Run

log = structlog.get_logger(__name__)

#: Chunks read at once. Milvus looks at every key of a segment for each page, so that fewer
#: pages are less work; the memory of a comparison is for a few of them.
PAGE_SIZE = 4000


def compare(
    vectors: VectorStore,
    source: CollectionSchema,
    target: CollectionSchema,
    within: KeyRange = ALL_KEYS,
    threads: int = 1,
    as_of: Moment | None = None,
) -> Iterator[Difference]:
    """Every part of the range with its differences, in key order, as of now if not said.

    The source is read page by page, and ``threads`` key ranges of the target beside
    it; memory is for so many pages and one more.
    """
    now = vectors.moment() if as_of is None else as_of

    def parts() -> Iterator[tuple[KeyRange, Sequence[Chunk]]]:
        after = within.after
        for page in vectors.scan(source, within, page_size=PAGE_SIZE, as_of=now):
            span = KeyRange(after, page[-1].key)
            yield span, page
            after = span.upto
        # Beyond the source's last key only the target can have rows.
        yield KeyRange(after, within.upto), []

    return in_order(threads, lambda part: _difference(vectors, target, *part, now), parts())


def _difference(
    vectors: VectorStore,
    target: CollectionSchema,
    span: KeyRange,
    page: Sequence[Chunk],
    now: Moment,
) -> Difference:
    pages = vectors.scan_rows(target, span, page_size=PAGE_SIZE, as_of=now)
    return compared(span, page, [chunk for part in pages for chunk in part])


def differences(
    run: Run, within: KeyRange = ALL_KEYS, *, as_of: Moment | None = None
) -> Iterator[Difference]:
    """Compare this run's source and target in a range, as of now if not said.

    What the run that is taken back was permitted to leave out (max_failed_ratio) never
    came to be in its target: on the way back its absence there is no deletion.
    """
    left_out, replaced = keys_left_out(run), Replaced(run)
    threads = run.services.settings.compare_concurrency
    vectors = run.services.vectors
    for found in compare(vectors, run.source, run.target, within, threads, as_of):
        yield settled(run, _permitting(found, left_out), replaced, as_of)


def difference_of(run: Run, keys: Sequence[Key]) -> Difference:
    """Compare what source and target hold of these keys now."""
    vectors, now = run.services.vectors, run.services.vectors.moment()
    ours = once_each(vectors.fetch_rows(run.source, keys, as_of=now))
    theirs = vectors.fetch_rows(run.target, keys, as_of=now)
    found = _permitting(compared(ALL_KEYS, ours, theirs), keys_left_out(run))
    return settled(run, found, Replaced(run), now)


def _permitting(found: Difference, left_out: set[str]) -> Difference:
    kept = [row for row in found.extra if str(row.key) in left_out]
    extra = [row for row in found.extra if str(row.key) not in left_out]
    return replace(found, extra=extra, left_out=kept) if kept else found


def keys_left_out(run: Run) -> set[str]:
    """As the state store writes them: of the run that is taken back, none otherwise.

    What was left out is in no pair of given keys: there it is a stranger.
    """
    taken_back, store = run.migration.reverses, run.services.store
    if taken_back is None:
        return set()
    count = store.count_failed_chunks(taken_back)
    keys = {chunk.key for chunk in store.failed_chunks(taken_back, count)}
    return keys if run.target.keyed_as is None else {str(stranger(int(key))) for key in keys}


@dataclass
class PassResult:
    """One comparison of everything, in chunks."""

    #: The source as it was read.
    source: Content = field(default_factory=Content)
    #: Ranges that were compared; together they cover all keys.
    parts: int = 0
    embedded: int = 0
    copied: int = 0
    deleted: int = 0
    #: Rows of the target once it was made equal; what is left out by permission comes on top.
    in_target: int = 0
    #: Keys of the chunks that could not be embedded, as the state store writes them.
    refused: set[str] = field(default_factory=set)

    @property
    def changes(self) -> int:
        return self.embedded + self.copied + self.deleted


#: Told of each range after it was made equal, with its number.
Recorder = Callable[[Run, int, Difference], None]


def catch_up_once(run: Run, recorder: Recorder | None = None) -> PassResult:
    """Make the target equal to the source as it is now, one range at a time."""
    result = PassResult()
    for number, difference in enumerate(differences(run)):
        make_equal(run, difference, result)
        if recorder is not None:
            recorder(run, number, difference)
        result.parts += 1
    log.info(
        "catch_up_pass_ended",
        **{**vars(result), "source": result.source.chunks, "refused": len(result.refused)},
    )
    return result


def make_equal(run: Run, difference: Difference, result: PassResult) -> None:
    """Make one range of the target equal to the source, and say in ``result`` what it took."""
    run.must_go_on()
    refused_before = len(result.refused)
    result.source += difference.source
    if difference.size:
        apply(run, difference, result)
    refused = len(result.refused) - refused_before
    result.in_target += difference.source.chunks - refused


def apply(run: Run, difference: Difference, result: PassResult) -> None:
    """Write to the target what differs; what is written is noted first, to be looked at again."""
    failpoint("catch_up.before_apply", migration_id=run.migration.id)
    run.must_go_on()  # by now another worker may have switched, and users write to the target
    run.has_stored = True
    run.services.store.note_written(run.migration.id, _to_be_written(difference))
    ours = [*difference.missing, *(chunk for chunk, _ in difference.changed)]
    note_what_is_found(run.services.store, run.source, ours)
    vectors = run.services.vectors
    gone = list(dict.fromkeys(row.key for row in difference.extra))
    if gone:
        vectors.delete(run.target, gone)
        result.deleted += len(gone)
    same_text = [a for a, b in difference.changed if run.is_same_text(a, b)]
    new_text = [a for a, b in difference.changed if not run.is_same_text(a, b)]
    result.copied += copy_vectors(run, same_text)
    size = run.migration.config.batch_size
    todo = difference.missing + new_text + [chunk for chunk, _ in difference.doubled]
    for start in range(0, len(todo), size):
        _embed_and_store(run, todo[start : start + size], result)


def _to_be_written(difference: Difference) -> list[WrittenRow]:
    """One for each key that differs."""
    gone: defaultdict[Key, set[bytes]] = defaultdict(set)
    for row in difference.extra:
        gone[row.key].add(content_hash(row))
    return [
        *(WrittenRow(c.key, now=content_hash(c)) for c in difference.missing),
        *(replacing(c, [other]) for c, other in difference.changed),
        *(replacing(c, rows) for c, rows in difference.doubled),
        *(WrittenRow(key, frozenset(was)) for key, was in gone.items()),
    ]


def replacing(chunk: Chunk, rows: Sequence[Chunk]) -> WrittenRow:
    """The note of writing ``chunk`` where these rows of its key stand, perhaps none."""
    was = frozenset(map(content_hash, rows))
    return WrittenRow(chunk.key, was, content_hash(chunk))


def copy_vectors(run: Run, chunks: Sequence[Chunk]) -> int:
    """Write chunks whose text did not change with the vector the target holds: nothing to pay."""
    if not chunks:
        return 0
    held = {
        c.key: c
        for c in run.services.vectors.fetch(run.target, [c.key for c in chunks], with_vectors=True)
    }
    kept = [c for c in chunks if c.key in held]
    if kept:
        vectors = stacked([held[c.key] for c in kept], run.target.dimension)
        run.services.vectors.upsert(run.target, kept, vectors)
    return len(kept)


def _embed_and_store(run: Run, chunks: Sequence[Chunk], result: PassResult) -> None:
    outcome = embed(run, chunks, purpose="catch_up")
    store, migration_id = run.services.store, run.migration.id
    if outcome.chunks:
        # Once: what has failed is compared anew, since the target may be its users' by then.
        run.must_go_on_to_store()
        run.services.vectors.upsert(run.target, outcome.chunks, outcome.vectors)
        store.resolve_failed_chunks(migration_id, [str(c.key) for c in outcome.chunks])
    run.must_go_on()  # a run that was paused may have been asked for some of them only
    for chunk, error in outcome.refused:
        store.record_failed_chunk(migration_id, str(chunk.key), error.code, error.message)
        result.refused.add(str(chunk.key))
    if outcome.refused:  # what the target may hold of them is an earlier text's
        keys = [chunk.key for chunk, _ in outcome.refused]
        store.note_written(migration_id, [WrittenRow(key) for key in keys])
        run.services.vectors.delete(run.target, keys)
    result.embedded += len(outcome.chunks)
