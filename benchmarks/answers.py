"""How soon those who look at a migration are answered, at full speed and when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.figures import Figure, figure, percentile
from benchmarks.runs import Bot, Run
from benchmarks.site import Site

#: By its name, a way of looking at a run.
Ways = dict[str, Callable[[], object]]
#: Milliseconds of each answer, by way.
Answers = dict[str, list[float]]


def answers(
    main: tuple[str, str, int],
    site: Site,
    ways_of: Callable[[Bot, Run], Ways],
    pause_seconds: float,
    idle: int,
) -> list[Figure]:
    """The 99th percentile and the median of each way.

    ``main`` is the benchmark's name, and the way and percentile of its headline. After each look
    are ``pause_seconds``; an ended run is looked at ``idle`` times.
    """
    name, *headline = main
    site.renew()
    rounds = [_once(site, ways_of, pause_seconds, idle) for _ in range(site.scale.repeat)]
    return [
        figure(
            name if [way, percent] == headline else f"{name}.{way}_p{percent}",
            [percentile(busy[way], percent) for busy, _ in rounds],
            "ms",
            [percentile(ended[way], percent) for _, ended in rounds],
        )
        for way in rounds[0][0]
        for percent in (99, 50)
    ]


def _once(
    site: Site, ways_of: Callable[[Bot, Run], Ways], pause_seconds: float, idle: int
) -> tuple[Answers, Answers]:
    """While it is backfilling, and after it has completed."""
    scale = site.scale
    site.clear()
    bot = site.bot(site.source(scale.chunks, scale.from_dimension))
    run = bot.start(scale.to_dimension, scale.batch_size)
    run.wait_for(lambda seen: seen["current_batch"] > 0)
    ways = ways_of(bot, run)
    busy: Answers = {way: [] for way in ways}
    while (seen := run.progress())["current_batch"] < seen["total_batches"]:
        _look(ways, busy, pause_seconds)
    run.completed()
    site.rest()
    ended: Answers = {way: [] for way in ways}
    for _ in range(idle):
        _look(ways, ended, pause_seconds)
    return busy, ended


def _look(ways: Ways, answers: Answers, pause_seconds: float) -> None:
    for way, look in ways.items():
        began = time.perf_counter()
        look()
        answers[way].append(1000 * (time.perf_counter() - began))
    time.sleep(pause_seconds)
