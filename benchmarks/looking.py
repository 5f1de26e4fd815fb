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
from collections.abc import Callable
from pathlib import Path

import requests

from benchmarks.answers import Ways, answers
from benchmarks.figures import Figure
from benchmarks.lab import Lab
from benchmarks.runs import Bot, Run
from benchmarks.site import Site

#: Between two looks: somebody who watches.
_PAUSE_SECONDS = 0.4
_IDLE_LOOKS = 50
_WITHIN_SECONDS = 30.0


def looking(lab: Lab) -> list[Figure]:
    site = lab.site()

    def looked_at(bot: Bot, run: Run) -> Ways:
        return {"page": _page(site, run), "command": _command(site, bot)}

    return answers(("looking", "page", 50), site, looked_at, _PAUSE_SECONDS, _IDLE_LOOKS)


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
