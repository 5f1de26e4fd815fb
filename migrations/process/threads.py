"""Work that is begun before its result is wanted: some items ahead, or one thing meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    threads: int, work: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """What ``work`` makes of each item; never more than ``threads`` ahead of the consumer.

    ``items`` are drawn in the consumer's thread, and so is all the work of a single
    thread: then everything happens in one order. Raises what ``work`` raises, in its turn.
    """
    if threads == 1:
        yield from map(work, items)
        return
    begun: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="reembed-lookahead") as pool:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def meanwhile(threads: int, work: Callable[[], Result]) -> Callable[[], Result]:
    """Begin ``work``; the answer waits for it, and returns or raises what it did.

    A single thread does it at once, so that everything happens in one order.
    """
    begun: Future[Result] = Future()
    if threads == 1:
        _settle(begun, work)
    else:
        Thread(target=_settle, args=(begun, work), name="reembed-meanwhile", daemon=True).start()
    return begun.result


def _settle(future: Future[Result], work: Callable[[], Result]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)  # for whoever waits
