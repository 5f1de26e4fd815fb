"""Work that one at a time does for a migration: who does it holds its lease meanwhile.

PostgreSQL says who that is and until when, by its own clock, and the pulse keeps the
lease alive. Whoever dies leaves it to end by itself.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import structlog

from migrations.model.errors import ReembedError, StateStoreUnavailable, Superseded, TransientError
from migrations.model.runs import Lease
from migrations.process.pulse import Beat
from migrations.process.services import Services

log = structlog.get_logger(__name__)

#: How often a lease is asked for that another one holds.
LOOK_SECONDS = 0.1


@contextmanager
def holding(
    services: Services,
    lease: Lease,
    *,
    patience_seconds: float = 0.0,
    look_seconds: float = LOOK_SECONDS,
    taken: ReembedError | None = None,
) -> Iterator[tuple[str, Beat]]:
    """Hold ``lease`` for the block: the holder's name, and the beat that hears of its end.

    While another one holds it, it is asked for every ``look_seconds``.

    Raises:
        ``taken``, or Superseded: another one still holds it after ``patience_seconds``.
        Superseded: nobody is to do this work now.
    """
    holder = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"
    seconds = int(services.settings.stalled_after_seconds) + 1
    take = partial(services.store.take_lease, lease, holder, seconds)
    with suppress(StateStoreUnavailable):  # then the beat asks
        if not _take_in_time(services, lease, take, patience_seconds, look_seconds):
            raise taken or Superseded
    try:
        with services.pulse.keep_alive((lease, holder), take) as beat:
            yield holder, beat
    finally:  # no earlier: a beat in between would take it again
        _release(services, lease, holder)


def _take_in_time(
    services: Services,
    lease: Lease,
    take: Callable[[], bool],
    patience_seconds: float,
    look_seconds: float,
) -> bool:
    """False when another one has it for longer. Raises Superseded when nobody may have it."""
    until = services.clock.monotonic() + patience_seconds
    while not take():
        if not services.store.allows(lease):
            raise Superseded
        if services.clock.monotonic() >= until:
            return False
        services.clock.sleep(look_seconds)
    return True


def _release(services: Services, lease: Lease, holder: str) -> None:
    """Only tidiness: the lease also ends by itself."""
    try:
        services.store.release_lease(lease, holder)
    except TransientError as error:
        log.warning("tidying_failed", reason=error.message)
