"""looking: how soon the page and the command line show a migration that runs at full speed.

A page is asked for with a login's cookie, all of it and not only what moves; ``reembed status`` is
a process of its own each time, so its time has Python's start in it. Against the same of a
migration that has ended, with idle workers.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import requests

from benchmarks.figures import Figure, figure, percentile
from benchmarks.lab import Lab
from benchmarks.runs import Bot, Run
from benchmarks.site import Site

#: Between two looks: somebody who watches.
_PAUSE_SECONDS = 0.2
_IDLE_LOOKS = 50
_WITHIN_SECONDS = 30.0

#: Milliseconds of each look, by how it was looked.
Looks = dict[str, list[float]]


def looking(lab: Lab) -> list[Figure]:
    site = lab.site()
    site.renew()
    rounds = [_once(site) for _ in range(lab.scale.repeat)]
    return [
        figure(
            "looking" if (way, percent) == ("page", 50) else f"looking.{way}_p{percent}",
            [percentile(busy[way], percent) for busy, _ in rounds],
            "ms",
            [percentile(idle[way], percent) for _, idle in rounds],
        )
        for way in ("page", "command")
        for percent in (50, 99)
    ]


def _once(site: Site) -> tuple[Looks, Looks]:
    """While it is backfilling, and after it has completed."""
    scale = site.scale
    site.clear()
    bot = site.bot(site.source(scale.chunks, scale.from_dimension))
    run = bot.start(scale.to_dimension, scale.batch_size)
    run.wait_for(lambda seen: seen["current_batch"] > 0)
    ways = {"page": _page(site, run), "command": _command(site, bot)}
    busy: Looks = {way: [] for way in ways}
    while (seen := run.progress())["current_batch"] < seen["total_batches"]:
        _look(ways, busy)
    run.completed()
    site.rest()
    idle: Looks = {way: [] for way in ways}
    for _ in range(_IDLE_LOOKS):
        _look(ways, idle)
    return busy, idle


def _look(ways: dict[str, Callable[[], None]], looks: Looks) -> None:
    for way, look in ways.items():
        began = time.perf_counter()
        look()
        looks[way].append(1000 * (time.perf_counter() - began))
        time.sleep(_PAUSE_SECONDS)


def _page(site: Site, run: Run) -> Callable[[], None]:
    browser = requests.Session()
    login = f"{site.url}/dashboard/login"
    form = re.search('name="csrf_token" value="([^"]*)"', browser.get(login, timeout=30).text)
    assert form is not None
    given = {"csrf_token": form[1], "token": site.token}
    assert browser.post(login, data=given, timeout=_WITHIN_SECONDS).ok

    def look() -> None:
        where = f"{site.url}/dashboard/migrations/{run.id}"
        shown = browser.get(where, timeout=_WITHIN_SECONDS)
        assert "% of the chunks" in shown.text, shown.url

    return look


def _command(site: Site, bot: Bot) -> Callable[[], None]:
    program = Path(sys.executable).with_name("reembed")
    own = {"REEMBED_URL": site.url, "REEMBED_TOKEN": site.token}

    def look() -> None:
        told = subprocess.run(
            [program, "status", bot.bot_id],
            env=os.environ | own,
            capture_output=True,
            text=True,
            check=True,
        )
        assert bot.alias in told.stdout, told.stdout

    return look
