"""steering: what a run asks of its provider while it is paused, slowed down, and left alone.

The stub enforces and announces a limit and counts what it is asked for, in windows of the same
length: as it goes, paused, at a tenth of the limit, and as it goes again. Then the run is given
more time and switched by hand. What comes between a request of ours and the next window (a worker
hears of a pause with its next heartbeat) is counted apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.figures import Figure, figure
from benchmarks.lab import Lab
from benchmarks.runs import Run
from benchmarks.site import Site
from benchmarks.source import texts
from devstack.provider import tokens_of

_BATCH = 5
#: Longer than a heartbeat: until then work may go on that has not heard.
_SETTLING_SECONDS = 6.0
_SHARE = 0.1
_TIMEOUT_SECONDS = 24 * 3600


@dataclass
class _Seen:
    """Requests by window, and those between being told and the window."""

    limit: float
    seconds: float
    windows: dict[str, int]
    settling: dict[str, int]
    #: Tokens of the batches, and of all texts once.
    paid: int
    once: int

    def per_minute(self, name: str) -> float:
        return 60 * self.windows[name] / self.seconds


def steering(lab: Lab) -> list[Figure]:
    seen = _measured(lab.site(), lab.scale.requests_per_minute, lab.scale.steering_seconds)
    limit = seen.limit
    return [
        figure("steering", [seen.per_minute("as it goes")], "requests/min", [limit]),
        figure("steering.paused", [seen.per_minute("paused")], "requests/min", [limit]),
        figure("steering.until_paused", [seen.settling["paused"]], "requests", [limit / 10]),
        figure("steering.a_tenth", [seen.per_minute("a tenth")], "requests/min", [_SHARE * limit]),
        figure("steering.as_before", [seen.per_minute("as before")], "requests/min", [limit]),
        figure("steering.paid", [seen.paid], "tokens", [seen.once]),
    ]


def _measured(site: Site, limit: float, seconds: float) -> _Seen:
    site.renew()
    whole = 2.6 * (seconds + _SETTLING_SECONDS) * limit / 60
    source = site.source(_BATCH * round(whole), site.scale.small_from, 0)
    site.provider.control(limit={"requests_per_minute": limit, "burst_seconds": 1.0}, reset=True)
    bot = site.bot(source)
    run = bot.start(site.scale.small_to, _BATCH, postpone=True, timeout_seconds=_TIMEOUT_SECONDS)
    run.wait_for(lambda progress: progress["current_batch"] > 0)
    once = sum(map(tokens_of, texts(0, source.chunks)))
    seen = _Seen(limit, seconds, {}, {}, 0, once)
    for name, tell in (
        ("as it goes", lambda: None),
        ("paused", lambda: run.steer("pause")),
        ("a tenth", lambda: _slowly(run)),
        ("as before", run.free),
    ):
        _watch(site, seen, name, tell)
    run.steer("extend", timeout_seconds=2 * _TIMEOUT_SECONDS)
    site.provider.control(limit={})
    run.wait_for(lambda progress: progress["status"] == "waiting")
    run.steer("switch")
    run.completed()
    seen.paid = run.report()["tokens"]["data_migration"]
    return seen


def _slowly(run: Run) -> None:
    run.steer("throttle", share=_SHARE)
    run.steer("resume")


def _watch(site: Site, seen: _Seen, name: str, tell: Callable[[], object]) -> None:
    before = _requests(site)
    tell()
    time.sleep(_SETTLING_SECONDS)
    settled = _requests(site)
    time.sleep(seen.seconds)
    seen.settling[name] = settled - before
    seen.windows[name] = _requests(site) - settled
    print(f"{name}: {seen.settling[name]} requests, then {seen.windows[name]}", flush=True)


def _requests(site: Site) -> int:
    return int(site.provider.statistics()["requests"])
