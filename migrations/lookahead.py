"""Work on several items at a time, in threads, and give the results in the items' order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
