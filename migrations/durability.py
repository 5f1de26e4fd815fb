"""Flushing beside other work: Milvus takes two or three seconds, most of them waiting."""

from __future__ import annotations

from collections.abc import Callable

from migrations.errors import TransientError
from migrations.lookahead import meanwhile
from migrations.run import Run

#: In a migration's totals: 1 when the target was left with rows that a crash of Milvus
#: could still take, for verification to see to.
LEFT_UNFLUSHED = "left_unflushed"


def flush_meanwhile(run: Run, collection: str) -> Callable[[], None]:
    """Begin to flush; the answer waits until it is done.

    What was acknowledged before the call then survives a crash of Milvus. Waiting raises
    Superseded, TimedOut, and the lasting errors of a flush.
    """
    vectors = run.services.vectors

    def flush() -> TransientError | None:
        try:
            vectors.flush(collection)
        except TransientError as error:
            return error
        return None

    begun = meanwhile(run.services.settings.compare_concurrency, flush)

    def wait() -> None:
        if begun() is not None:  # from now on as patiently as anything else
            run.patiently(lambda: vectors.flush(collection))

    return wait
