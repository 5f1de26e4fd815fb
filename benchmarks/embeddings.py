"""embeddings: how much later an answer of ``/v1/embeddings`` comes than the provider's own.

The same client asks the stub provider and, by a bot's alias, reembed, in turns, one text and 64
texts at a time. The texts are never the same twice. What reembed's processes hold in memory is
looked at before and after, and after as many requests again by as many clients as a chatbot's
processes may be.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import openai
import psutil

from benchmarks.figures import Figure, figure, percentile
from benchmarks.lab import Lab
from benchmarks.site import Site
from benchmarks.source import FROM_MODEL

#: Requests of each kind to each of both, and those before that are not counted.
_REQUESTS, _WARMING = 1_000, 50
_MANY = 64
_CHUNKS = 200
#: Clients that ask at the same time while memory is watched.
_CLIENTS = 4

#: Milliseconds of each answer.
Milliseconds = list[float]


def embeddings(lab: Lab) -> list[Figure]:
    site = lab.site()
    site.renew()
    rounds = [_once(site) for _ in range(lab.scale.repeat)]
    figures = [
        figure(
            "embeddings" if (texts, percent) == (1, 99) else f"embeddings.{texts}_p{percent}",
            [percentile(round_[texts][0], percent) for round_, _ in rounds],
            "ms",
            [percentile(round_[texts][1], percent) for round_, _ in rounds],
        )
        for texts in (1, _MANY)
        for percent in (99, 50)
    ]
    memory = [held for _, held in rounds]
    figures.append(
        figure("embeddings.memory", [after for _, after in memory], "MiB", [b for b, _ in memory])
    )
    before, after = _held_over(site, lab.scale.embeddings_requests)
    return [*figures, figure("embeddings.memory_lasting", [after], "MiB", [before])]


def _held_over(site: Site, requests: int) -> tuple[float, float]:
    """What the API holds in memory after a tenth of the requests, and after all."""
    site.clear()
    bot = site.bot(site.source(_CHUNKS, site.scale.from_dimension))

    def ask(numbers: range) -> None:
        client = openai.OpenAI(base_url=f"{site.url}/v1", api_key=site.token, max_retries=0)
        for number in numbers:
            client.embeddings.create(model=bot.alias, input=f"What of line {number}?")

    def ask_all(numbers: range) -> float:
        with ThreadPoolExecutor(_CLIENTS) as clients:
            shares = [numbers[start::_CLIENTS] for start in range(_CLIENTS)]
            list(clients.map(ask, shares))
        return _held_by_the_api(site)

    return ask_all(range(requests // 10)), ask_all(range(requests // 10, requests))


def _once(
    site: Site,
) -> tuple[dict[int, tuple[Milliseconds, Milliseconds]], tuple[float, float]]:
    site.clear()
    bot = site.bot(site.source(_CHUNKS, site.scale.from_dimension))
    ours = openai.OpenAI(base_url=f"{site.url}/v1", api_key=site.token, max_retries=0)
    theirs = openai.OpenAI(base_url=site.provider.url, api_key="sk-of-the-stub", max_retries=0)
    named = {ours: (bot.alias, None), theirs: (FROM_MODEL, site.scale.from_dimension)}
    numbers = count()
    found: dict[int, tuple[Milliseconds, Milliseconds]] = {1: ([], []), _MANY: ([], [])}
    before = 0.0
    for texts, (by_us, directly) in found.items():
        for request in range(_WARMING + _REQUESTS // (1 if texts == 1 else 5)):
            for client, answers in ((ours, by_us), (theirs, directly)):
                model, dimensions = named[client]
                wish = [f"What does line {next(numbers)} say of it?" for _ in range(texts)]
                began = time.perf_counter()
                given = client.embeddings.create(
                    model=model,
                    input=wish,
                    dimensions=openai.omit if dimensions is None else dimensions,
                )
                took = 1000 * (time.perf_counter() - began)
                assert len(given.data) == texts
                if request >= _WARMING:
                    answers.append(took)
            if not before and request == _WARMING:
                before = _held_by_the_api(site)
    return found, (before, _held_by_the_api(site))


def _held_by_the_api(site: Site) -> float:
    """Resident memory in MiB."""
    return sum(psutil.Process(pid).memory_info().rss for pid in site.worker_pids("api")) / 2**20
