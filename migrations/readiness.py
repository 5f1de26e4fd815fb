"""Is the target ready to answer: loaded, its index built?"""

from __future__ import annotations

from migrations.errors import VectorStoreUnavailable
from migrations.results import Report
from migrations.run import Run


def make_ready(run: Run) -> None:
    """Load the target and seal what was written, so that its index gets built."""
    vectors, name = run.services.vectors, run.target.name
    vectors.flush(name)
    if not vectors.is_loaded(name):
        vectors.load(name)


def check_target_ready(run: Run, report: Report) -> None:
    """Raises VectorStoreUnavailable while the index is still being built: wait and ask again."""
    make_ready(run)
    state = run.services.vectors.index_state(run.target.name)
    if not state.built:
        raise VectorStoreUnavailable(
            f"The target's index is being built: {state.pending_rows} rows to go.",
            retry_after_seconds=1.0,
        )
    loaded = run.services.vectors.is_loaded(run.target.name)
    report.add(
        "target_ready",
        loaded,
        "The target is loaded and its index is built." if loaded else "The target is not loaded.",
        indexed_rows=state.indexed_rows,
        total_rows=state.total_rows,
    )
