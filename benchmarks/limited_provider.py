"""limited_provider: a provider that enforces its limits; how much of them is used, and refused.

The stub holds one second's worth of each limit at most, so it is stricter than
a provider that counts by the minute, and announces its limits in the usual
headers, from which they are learned: nothing is set by hand. The share is of
the limit that binds, in the steady state; refused calls are counted from the
first one on. Vectors are small, because it is the limit that is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.figures import Figure, figure
from benchmarks.lab import Lab
from benchmarks.runs import Bot, Run
from benchmarks.site import Site
from benchmarks.steady import Window, watch

#: Average of ``source.texts`` by the stub's count, in tokens.
_TOKENS_PER_CHUNK = 100
_BURST_SECONDS = 1.0
#: A source must outlast what is watched of it, also when one begins before the others.
_SLACK = 1.5
_STARTING_SECONDS = 15.0


@dataclass(frozen=True)
class _Seen:
    window: Window
    calls: int
    refused: int


def limited_provider(lab: Lab) -> list[Figure]:
    scale, site = lab.scale, lab.site()
    requests = float(scale.requests_per_minute)
    tokens = requests * scale.batch_size * _TOKENS_PER_CHUNK
    found: list[Figure] = []
    by_requests = _measured(site, 1, requests, 2 * tokens)
    found.append(_use("limited_provider", by_requests, "requests", requests))
    found.append(_refusals("limited_provider.refused", by_requests))
    by_tokens = _measured(site, 1, 2 * requests, tokens)
    found.append(_use("limited_provider.tokens", by_tokens, "tokens", tokens))
    found.append(_refusals("limited_provider.tokens.refused", by_tokens))
    three = _measured(site, 3, requests, 2 * tokens)
    found.append(_use("limited_provider.three_migrations", three, "requests", requests))
    found.append(_refusals("limited_provider.three_migrations.refused", three))
    found.append(_unevenness("limited_provider.three_migrations.unevenness", three))
    return found


def _use(name: str, all_seen: list[_Seen], what: str, limit: float) -> Figure:
    windows = [seen.window for seen in all_seen]
    rates = [60 * getattr(window, what) / window.seconds for window in windows]
    return figure(name, rates, f"{what}/min", [limit])


def _refusals(name: str, all_seen: list[_Seen]) -> Figure:
    refused, calls = [s.refused for s in all_seen], [s.calls for s in all_seen]
    return figure(name, refused, "calls", calls)


def _unevenness(name: str, all_seen: list[_Seen]) -> Figure:
    """The migration farthest from an even share, in chunks per second, against that share."""
    even = [sum(seen.window.rates) / len(seen.window.rates) for seen in all_seen]
    farthest = [
        max(abs(rate - share) for rate in seen.window.rates)
        for seen, share in zip(all_seen, even, strict=True)
    ]
    return figure(name, farthest, "chunks/s", even)


def _measured(site: Site, migrations: int, requests: float, tokens: float) -> list[_Seen]:
    return [_once(site, migrations, requests, tokens) for _ in range(site.scale.repeat)]


def _once(site: Site, migrations: int, requests: float, tokens: float) -> _Seen:
    scale = site.scale
    per_second = min(requests, tokens / (scale.batch_size * _TOKENS_PER_CHUNK)) / 60
    seconds = _SLACK * (scale.warm_up_seconds + scale.window_seconds) / migrations
    batches = per_second * (seconds + _STARTING_SECONDS)
    chunks = scale.batch_size * max(1, round(batches))
    site.renew()
    sources = [site.source(chunks, scale.small_from, copy) for copy in range(migrations)]
    site.provider.control(
        limit={
            "requests_per_minute": requests,
            "tokens_per_minute": tokens,
            "burst_seconds": _BURST_SECONDS,
        },
        reset=True,
    )
    bots = [site.bot(source) for source in sources]
    runs = [bot.start(scale.small_to, scale.batch_size) for bot in bots]
    window = watch(site.provider, runs, scale.warm_up_seconds, scale.window_seconds)
    statuses = site.provider.statistics()["statuses"]
    _end(site, bots, runs)
    return _Seen(window, sum(statuses.values()), statuses.get("429", 0))


def _end(site: Site, bots: list[Bot], runs: list[Run]) -> None:
    site.provider.reset()
    for bot, run in zip(bots, runs, strict=True):
        bot.cancel(run)
