"""Is the target ready to answer: loaded, flushed, its index built as far as that matters?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from migrations.model.chunks import IndexState
from migrations.model.errors import TransientError, VectorStoreUnavailable
from migrations.model.report import Report
from migrations.process.threads import meanwhile
from migrations.run.run import Run


def waits_for_its_index(run: Run) -> bool:
    """Whether the target has too many rows to be read before its index is built.

    Then it is not loaded before: Milvus indexes rows that arrive in a loaded collection for
    the time being, and once more for good (docs/decisions.md).
    """
    return run.migration.totals["total_chunks"] > run.services.settings.unindexed_rows


def make_readable(run: Run, collection: str) -> None:
    """Wait until it is loaded: a new one is on its way to be, a restarted Milvus may forget."""
    vectors = run.services.vectors
    if not vectors.is_loaded(collection):
        vectors.load(collection)


def make_target_readable(run: Run) -> None:
    """Load the target, a large one when its index is built.

    Raises Superseded, TimedOut, PutDown, and the lasting errors of Milvus.
    """
    vectors, name = run.services.vectors, run.target.name
    if run.patiently(lambda: vectors.is_loaded(name)):
        return
    if waits_for_its_index(run):
        run.patiently(lambda: vectors.flush(name))  # the index is of what is flushed
        run.patiently(lambda: _await_index(run))
    run.patiently(lambda: vectors.load(name))


def make_ready(run: Run) -> IndexState:
    """Load the target and see to its index, which is built of the flushed rows only.

    Raises:
        VectorStoreUnavailable: too many are still to be indexed; wait and ask again.
    """
    make_readable(run, run.target.name)
    return _await_index(run)


def _await_index(run: Run) -> IndexState:
    """How far the target's index is, once that is far enough.

    Up to ``unindexed_rows`` may lack their index: Milvus searches those exactly, as fast
    (docs/decisions.md), and building it for them takes longer than moving them did.

    Raises:
        VectorStoreUnavailable: more are still to be indexed; wait and ask again.
    """
    most = run.services.settings.unindexed_rows
    state = run.services.vectors.index_state(run.target.name)
    if state.unindexed_rows > most:
        raise VectorStoreUnavailable(
            f"The target's index is being built: {state.unindexed_rows} rows to go.",
            retry_after_seconds=_pause_seconds(state.unindexed_rows),
        )
    return state


def _pause_seconds(unindexed_rows: int) -> float:
    """Long enough that the next look can find something else: building takes minutes."""
    return min(30.0, max(1.0, unindexed_rows / 25_000))


def check_target_ready(run: Run, report: Report) -> None:
    """Raises VectorStoreUnavailable as :func:`make_ready`."""
    state = make_ready(run)
    loaded = run.services.vectors.is_loaded(run.target.name)
    report.add(
        "target_ready",
        loaded,
        f"The target is loaded; {state.indexed_rows} rows are in its index."
        if loaded
        else "The target is not loaded.",
        indexed_rows=state.indexed_rows,
        total_rows=state.total_rows,
    )


#: In a migration's totals: 1 when the target may lack rows that Milvus had acknowledged
#: and not flushed before a crash, for verification to see to.
MAY_LACK_ROWS = "may_lack_rows"


def flush_meanwhile(run: Run, *collections: str) -> Callable[[], None]:
    """Begin to flush; the answer waits until it is done.

    What was acknowledged before the call then survives a crash of Milvus. Waiting raises
    Superseded, TimedOut, and the lasting errors of a flush.
    """
    threads = run.services.settings.compare_concurrency
    begun = {name: meanwhile(threads, partial(_flush, run, name)) for name in collections}

    def wait() -> None:
        for name, outcome in begun.items():
            if outcome() is not None:  # from now on as patiently as anything else
                run.patiently(partial(run.services.vectors.flush, name))

    return wait


def _flush(run: Run, collection: str) -> TransientError | None:
    try:
        run.services.vectors.flush(collection)
    except TransientError as error:
        return error
    return None
