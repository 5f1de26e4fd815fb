"""``python -m tests.night``: what is said of a fault within 15 s, wherever somebody may look.

Exits with 1 when something was not said. Writes docs/operations/night.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.client import ApiClient
from devstack.server import PROJECT
from devstack.stack import EmbeddedStack
from tests.harness.bots import BotHandle, Run
from tests.harness.ground import Ground, ground_on, own_stack
from tests.harness.page import PlainPage
from tests.harness.world import LARGE
from tests.night.faults import FAULTS, STUCK_INDEX, Fault, NeverIndexing
from tests.scenarios.judging import seeded

WITHIN_SECONDS = 15.0
CHUNKS, BATCH, LATENCY_SECONDS = 4000, 10, 1.0
SETTINGS = {
    "REEMBED_BATCH_CONCURRENCY": "3",
    "REEMBED_CONTROL_CONCURRENCY": "4",
    "REEMBED_RETRY_DELAY": "0.5",
    "REEMBED_WAVE_SIZE": "8",
    "REEMBED_GATES": '{"neighbourhood_overlap": 0}',
    "REEMBED_LOG_FORMAT": "json",
    "REEMBED_SECRET_KEY": "of whoever is woken at night",
}
WAITS_FOR_ITS_INDEX = {"REEMBED_UNINDEXED_ROWS": "0"}
OUT = PROJECT / "docs" / "operations" / "night.md"


@dataclass
class Said:
    """What was said first that tells of the fault, and after how many seconds."""

    text: str = "nothing of it"
    seconds: float | None = None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m tests.night", description=__doc__)
    parser.add_argument("--only", help="faults whose name holds this")
    parser.add_argument("--folder", type=Path)
    wish = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="night-", dir=wish.folder))
    wanted = [fault for fault in FAULTS if not wish.only or wish.only in fault.name]
    lines = []
    if wanted:
        with own_stack(folder / "servers") as stack, system_on(stack, folder / "world") as ground:
            lines += [said_of(ground, fault) for fault in wanted]
    if not wish.only or wish.only in STUCK_INDEX.name:
        servers = own_stack(folder / "real-servers", standalone=True, engine=NeverIndexing)
        with servers as stack, system_on(stack, folder / "real", **WAITS_FOR_ITS_INDEX) as ground:
            lines.append(said_of(ground, STUCK_INDEX))
    if not wish.only:
        OUT.write_text(page(lines))
    return 1 if any("nothing of it" in line for line in lines) else 0


def system_on(
    stack: EmbeddedStack, folder: Path, **settings: str
) -> AbstractContextManager[Ground]:
    return ground_on(
        stack,
        folder,
        workers={"batch": 1, "control": 1},
        wired=True,
        quick=False,
        settings=SETTINGS | settings,
    )


def said_of(ground: Ground, fault: Fault) -> str:
    """A line of the table."""
    bot = seeded(ground, CHUNKS)
    ground.provider.latency_seconds = LATENCY_SECONDS
    run = bot.start(LARGE, **{"batch_size": BATCH, **fault.wish})
    run.wait_for(lambda seen: seen["processed_chunks"] > 0)
    try:
        with fault.plant(ground) as instead:
            onlooker = Onlooker(ground, bot, run, instead)
            begun = time.monotonic()
            said = {name: Said() for name in onlooker.ways}
            while any(one.seconds is None for one in said.values()):
                for name, look in onlooker.ways.items():
                    if said[name].seconds is None:
                        _note(said[name], look(), fault.words, time.monotonic() - begun)
                if time.monotonic() - begun > WITHIN_SECONDS:
                    break
                time.sleep(0.5)
    finally:
        bot.ask_cancel()
        ground.settle(120)
    cells = [
        f"{one.text} ({one.seconds:.0f} s)" if one.seconds is not None else one.text
        for one in said.values()
    ]
    line = f"| {fault.name} | " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    print(line, flush=True)
    return line


def _note(said: Said, text: str, words: str, seconds: float) -> None:
    for line in text.splitlines():
        if words in line:
            said.text, said.seconds = line.strip(), seconds
            return


class Onlooker:
    """Who is woken: ``ways`` of looking give what each shows now, a thing a line."""

    def __init__(self, ground: Ground, bot: BotHandle, run: Run, instead: dict[str, str]) -> None:
        own = {
            "REEMBED_URL": ground.url,
            "REEMBED_TOKEN": ground.owner_token,
            "REEMBED_CONFIG": str(ground.folder / "login.json"),
        }
        self._environment = ground.environment | own | instead
        self._url, self._token = (self._environment[f"REEMBED_{name}"] for name in ("URL", "TOKEN"))
        self._api = ApiClient(self._url, self._token)
        self._bot, self._run = bot, run
        self._page_of = PlainPage(self._url, self._token)
        self.ways: dict[str, Callable[[], str]] = {
            "progress": self._progress,
            "status": self._status,
            "reembed status": self._command,
            "the page": self._page,
        }

    def _progress(self) -> str:
        return _lines(self._api.get(f"/embeddings/migration/{self._run.id}/progress").body)

    def _status(self) -> str:
        return _lines(self._api.get(self._bot.where("migration-status")).body, "migration")

    def _command(self) -> str:
        told = subprocess.run(
            [sys.executable, "-m", "cli", "status", self._bot.bot_id],
            env=self._environment,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
        return told.stdout + told.stderr

    def _page(self) -> str:
        return self._page_of.shows(f"migrations/{self._run.id}")


def _lines(body: Any, within: str | None = None) -> str:
    if "detail" in body:
        return f"{body['detail']} ({body['type'].rpartition('/')[2]})"
    told = [f"{one['message']} ({one['code']})" for one in body["findings"]]
    about = body[within] if within else body
    told += [f"waiting_for: {about['waiting_for']}"] if about["waiting_for"] else []
    told += [f"{one['message']} ({one['code']})" for one in about["errors"]]
    return "\n".join(told)


def page(lines: list[str]) -> str:
    return "\n".join(
        [
            "# A night's exercise",
            "",
            "`python -m tests.night` plants each of these in a system at work, with the default",
            "settings for heartbeats, in the middle of a migration, and notes what is said of it",
            f"and after how many seconds; {WITHIN_SECONDS:.0f} at most. `/healthz/deep` says the",
            "same. The clock is that of a worker's process, as no test may move a host's; the",
            "disk is one that Redis cannot save to; the password is a second API's, before a",
            "Milvus 2.3.5 with authorization; the stuck index is one of a Milvus 2.3.5 that",
            "may build no index at a time.",
            "",
            "| planted | progress says | status says | `reembed status` says | the page says |",
            "|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
