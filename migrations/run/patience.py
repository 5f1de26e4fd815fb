"""Trying again: the two loops that do, and how long they pause.

:func:`until_done` waits passing faults out, for as long as whoever pauses allows it;
:func:`at_most` tries a few times what may be wrong for good. Nobody else of
ours retries; Redis' client does once, so that a restart of Redis goes unnoticed, and Celery
twice when it publishes (``celeryconfig.py``).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from migrations.model.errors import TransientError

T = TypeVar("T")

#: A pause between tries never grows beyond this.
LONGEST_PAUSE_SECONDS = 30.0
#: The first pause before something is waited out, also with retry_delay 0: no busy loop.
SHORTEST_PAUSE_SECONDS = 0.1


def backoff_seconds(first: float, attempt: int) -> float:
    """``first`` x 2^attempt, capped, with up to a quarter of jitter so that workers spread out."""
    pause = min(LONGEST_PAUSE_SECONDS, first * 2.0 ** min(attempt, 30))  # 2.0**1024 is no float
    return pause * random.uniform(0.75, 1.0)  # noqa: S311 # jitter, not a secret


def pause_seconds(error: TransientError, first: float, attempt: int) -> float:
    """As long as the fault asks for, else a backoff that begins with ``first``."""
    if error.retry_after_seconds:
        return error.retry_after_seconds
    return backoff_seconds(max(first, SHORTEST_PAUSE_SECONDS), attempt)


def until_done(action: Callable[[], T], pause: Callable[[TransientError, int], None]) -> T:
    """Do it until no passing fault is in its way.

    ``pause`` is given the fault and the number of those before it; it waits, or raises what
    ends the work. Raises that, and every other error of ``action``.
    """
    for attempt in count():
        try:
            return action()
        except TransientError as error:
            pause(error, attempt)
    raise AssertionError("it returns or raises")


def at_most(
    tries: int,
    action: Callable[[], T],
    errors: type[Exception],
    pause: Callable[[Exception, int], None],
) -> T:
    """Do it until it raises none of ``errors``, ``tries`` times at the most.

    Raises the last one, and every other error at once.
    """
    for attempt in range(tries - 1):
        try:
            return action()
        except errors as error:
            pause(error, attempt)
    return action()
