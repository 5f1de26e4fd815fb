"""``python -m tests.night``: what status, progress and command line say within 15 s of a fault.

Exits with 1 when something was not said. Writes docs/operations/night.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.client import ApiClient
from devstack.server import PROJECT
from tests.harness.bots import BotHandle, Run
from tests.harness.ground import Ground, ground_on, own_stack
from tests.harness.world import LARGE
from tests.night.faults import FAULTS, NOT_PLANTED, Fault
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
}
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
    with (
        own_stack(folder / "servers") as stack,
        ground_on(
            stack,
            folder / "world",
            workers={"batch": 1, "control": 1},
            wired=True,
            quick=False,
            settings=SETTINGS,
        ) as ground,
    ):
        for fault in wanted:
            lines.append(watched(ground, fault))
            print(lines[-1], flush=True)
    if not wish.only:
        OUT.write_text(page(lines))
    return 1 if any("nothing of it" in line for line in lines) else 0


def watched(ground: Ground, fault: Fault) -> str:
    bot = seeded(ground, CHUNKS)
    ground.provider.latency_seconds = LATENCY_SECONDS
    run = bot.start(LARGE, batch_size=BATCH)
    run.wait_for(lambda seen: seen["processed_chunks"] > 0)
    try:
        with fault.plant(ground) as instead:
            begun = time.monotonic()
            said = {"progress": Said(), "status": Said(), "reembed status": Said()}
            while any(one.seconds is None for one in said.values()):
                for name, text in looks(ground, bot, run, instead).items():
                    _note(said[name], text, fault.words, time.monotonic() - begun)
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
    return f"| {fault.name} | " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _note(said: Said, text: str, words: tuple[str, ...], seconds: float) -> None:
    if said.seconds is not None:
        return
    for line in text.splitlines():
        if any(word in line for word in words):
            said.text, said.seconds = line.strip(), seconds
            return


def looks(ground: Ground, bot: BotHandle, run: Run, instead: dict[str, str]) -> dict[str, str]:
    """What each way of looking shows now, a thing a line."""
    environment = {
        "REEMBED_URL": ground.url,
        "REEMBED_TOKEN": ground.owner_token,
        "REEMBED_CONFIG": str(ground.folder / "login.json"),
    } | instead
    api = ApiClient(environment["REEMBED_URL"], environment["REEMBED_TOKEN"])
    progress = api.get(f"/embeddings/migration/{run.id}/progress")
    status = api.get(bot.where("migration-status"))
    cli = subprocess.run(
        [sys.executable, "-m", "cli", "status", bot.bot_id],
        env=ground.environment | environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "progress": _lines(progress.body),
        "status": _lines(status.body, "migration"),
        "reembed status": cli.stdout + cli.stderr,
    }


def _lines(body: Any, within: str | None = None) -> str:
    if "detail" in body:
        return f"{body['detail']} ({body['type'].rpartition('/')[2]})"
    told = [f"{one['message']} ({one['code']})" for one in body["findings"]]
    about = body[within] if within else body
    told += [f"waiting_for: {about['waiting_for']}"] if about["waiting_for"] else []
    told += [f"{one['message']} ({one['code']})" for one in about["errors"]]
    return "\n".join(told)


def page(lines: list[str]) -> str:
    rest = [f"| {name} | not planted: {why} | | |" for name, why in NOT_PLANTED.items()]
    return "\n".join(
        [
            "# A night's exercise",
            "",
            "`python -m tests.night` plants each of these in a system at work, with the default",
            "settings for heartbeats, in the middle of a migration, and notes what is said of it",
            f"and after how many seconds; {WITHIN_SECONDS:.0f} at most. `/healthz/deep` says the",
            "same. The clock is that of a worker's process, as no test may move a host's; the",
            "disk is one that Redis cannot save to; the password is a second API's, before a",
            "Milvus 2.3.5 with authorization.",
            "",
            "| planted | progress says | status says | `reembed status` says |",
            "|---|---|---|---|",
            *lines,
            *rest,
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
