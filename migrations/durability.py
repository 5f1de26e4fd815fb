"""Flushing beside other work: Milvus takes two or three seconds, most of them waiting."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from migrations.model.errors import TransientError
from migrations.process.threads import meanwhile
from migrations.run.run import Run

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
