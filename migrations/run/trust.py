"""What may be believed without another look, and what is flushed before it is believed.

Looking costs a reading of a collection, and a flush costs seconds in which writers go on. So
each look that is left out, and each flush, stands here with its reason. A fault row or a test
forbids what a look left out could hide: whoever adds one adds that, too.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import partial

import structlog

from migrations.model.chunks import Content
from migrations.model.errors import CheckpointsLost, CheckpointsUnavailable, TransientError
from migrations.model.report import Report
from migrations.model.states import Kind
from migrations.process.threads import meanwhile
from migrations.run.content import content_of_collection
from migrations.run.run import Run

log = structlog.get_logger(__name__)

# --- which looks may be left out ----------------------------------------------------


def target_may_hold_chunks(run: Run) -> bool:
    """Otherwise it is not looked into before paying: nobody has written to it yet."""
    return run.migration.epoch > 1 or run.migration.target_adopted or run.has_stored


def as_validated(run: Run) -> Content | None:
    """The source as validation has read it, if it still counts as many; else it is read again.

    None where an older version has validated, or chunks came or went since. What came in
    the last two seconds may not be counted yet: the record is as of validation then.
    """
    report = Report.model_validate(run.migration.validation or {})
    texts = next((check.details for check in report.checks if check.name == "texts"), {})
    if "content_digest" not in texts:
        return None
    vectors = run.services.vectors
    if vectors.count(run.source.name, as_of=vectors.lately()) != texts["chunks"]:
        return None
    return Content.of(texts["chunks"], texts["content_digest"])


def as_batches_read(run: Run) -> Content | None:
    """What the source holds, when that is what the batches have read and stored.

    Then nobody has written to it since, and comparing would find nothing unless Milvus has
    lost something; verification compares and flushes at the same time, and sees that, and
    what was written in the last two seconds. None when somebody has written, when a chunk
    was refused, or when it cannot be told: the target held something before the batches,
    or got something from a worker of an earlier epoch.
    """
    migration, store = run.migration, run.services.store
    if migration.kind is Kind.REVERSE or target_may_hold_chunks(run):
        return None
    if not migration.config.verify_migration or store.count_failed_chunks(migration.id):
        return None
    try:
        read = run.services.checkpoints.content_read(migration.id)
    except (CheckpointsLost, CheckpointsUnavailable):
        return None
    vectors = run.services.vectors
    lately = run.patiently(
        lambda: content_of_collection(vectors, run.source, run.must_go_on, vectors.lately())
    )
    return read if lately == read else None


def lacks_rows(run: Run, at_least: int) -> bool:
    """Whether a crash of Milvus took some between being stored and being flushed."""
    return run.patiently(lambda: run.services.vectors.count(run.target.name)) < at_least


def is_written_to(run: Run, source: Content) -> bool:
    """Whether the source is another than catching up has left; then a difference is no fault."""
    return source.digest != run.migration.handover.source_digest


def is_snapshot_of_this_epoch(run: Run) -> bool:
    """Whether the last catching up may leave out parts of the target that verification saw.

    Under another epoch a stopped worker's late write to the target may have come since.
    What the target has lost since is found by :mod:`migrations.copying.lasting`.
    """
    return run.migration.handover.snapshot_in_epoch == run.migration.epoch


# --- what is flushed, and why -------------------------------------------------------


class Because(Enum):
    """Why a collection is flushed: a crash of Milvus may lose what it has only acknowledged."""

    #: The index is built of flushed rows only.
    ITS_INDEX_IS_WAITED_FOR = auto()
    #: On milvus-lite every query turns rows that are not flushed into lists.
    IT_IS_SLOW_TO_READ_OTHERWISE = auto()
    #: Counting a collection that is not loaded counts flushed rows.
    IT_IS_COUNTED_UNLOADED = auto()
    #: What is found equal from here on must stay equal.
    IT_IS_ABOUT_TO_BE_COMPARED = auto()
    #: What was caught up is looked at again, and what goes live would survive.
    IT_WAS_CAUGHT_UP = auto()
    #: What a crash took of the source after its snapshot would look like deletions.
    ITS_SNAPSHOT_IS_TAKEN = auto()
    #: A snapshot may lag what late writes have brought over, never lead it.
    LATE_WRITES_WERE_FORWARDED = auto()


def flush(run: Run, collection: str, why: Because) -> None:
    """Return when everything acknowledged so far would survive a crash."""
    run.services.vectors.flush(collection)
    log.debug("flushed", collection=collection, why=why.name.lower())


def flush_meanwhile(run: Run, why: Because, *collections: str) -> Callable[[], None]:
    """Begin to flush; the answer waits until it is done. It takes seconds, most of them waiting.

    Waiting raises Superseded, TimedOut, and the lasting errors of a flush.
    """
    threads = run.services.settings.compare_concurrency
    begun = {name: meanwhile(threads, partial(_tried, run, name, why)) for name in collections}

    def wait() -> None:
        for name, outcome in begun.items():
            if outcome() is not None:  # from now on as patiently as anything else
                run.patiently(partial(flush, run, name, why))

    return wait


def _tried(run: Run, collection: str, why: Because) -> TransientError | None:
    try:
        flush(run, collection, why)
    except TransientError as error:
        return error
    return None
