"""api_latency: how soon status and progress answer while a migration runs at full speed.

Against the same questions about a migration that has ended, with idle workers.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.figures import Figure, figure, percentile
from benchmarks.lab import Lab
from benchmarks.runs import Bot, Progress, Run
from benchmarks.site import Site

#: Between two questions: somebody who watches, not a load.
_PAUSE_SECONDS = 0.02
_IDLE_QUESTIONS = 300

#: Milliseconds of each answer, by what was asked.
Answers = dict[str, list[float]]


def api_latency(lab: Lab) -> list[Figure]:
    site = lab.site()
    site.renew()
    rounds = [_once(site) for _ in range(lab.scale.repeat)]
    return [
        figure(
            "api_latency"
            if (what, percent) == ("progress", 99)
            else f"api_latency.{what}_p{percent}",
            [percentile(busy[what], percent) for busy, _ in rounds],
            "ms",
            [percentile(idle[what], percent) for _, idle in rounds],
        )
        for what in ("progress", "status")
        for percent in (99, 50)
    ]


def _once(site: Site) -> tuple[Answers, Answers]:
    """While it is backfilling, and after it has completed."""
    scale = site.scale
    site.clear()
    bot = site.bot(site.source(scale.chunks, scale.from_dimension))
    run = bot.start(scale.to_dimension, scale.batch_size)
    run.wait_for(lambda seen: seen["current_batch"] > 0)
    busy: Answers = {"progress": [], "status": []}
    while (seen := _ask(bot, run, busy))["current_batch"] < seen["total_batches"]:
        time.sleep(_PAUSE_SECONDS)
    run.completed()
    site.rest()
    idle: Answers = {"progress": [], "status": []}
    for _ in range(_IDLE_QUESTIONS):
        _ask(bot, run, idle)
        time.sleep(_PAUSE_SECONDS)
    return busy, idle


def _ask(bot: Bot, run: Run, answers: Answers) -> Progress:
    _timed(bot.status, answers["status"])
    return _timed(run.progress, answers["progress"])


def _timed(question: Callable[[], Progress], milliseconds: list[float]) -> Progress:
    began = time.perf_counter()
    answer = question()
    milliseconds.append(1000 * (time.perf_counter() - began))
    return answer
