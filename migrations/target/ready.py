"""Is the target ready to answer: loaded, its index built as far as that matters?"""

from __future__ import annotations

from migrations.model.chunks import IndexState
from migrations.model.errors import VectorStoreUnavailable
from migrations.model.report import Report
from migrations.run.run import Run
from migrations.run.trust import Because, flush


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
        run.patiently(lambda: flush(run, name, Because.ITS_INDEX_IS_WAITED_FOR))
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


def judge_ready(run: Run, report: Report) -> None:
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
