"""``reembed`` as a process of its own, against the API over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from devstack.server import PROJECT
from tests.harness.world import LARGE, SMALL, World


def reembed(world: World, *arguments: str) -> str:
    """What it prints; it ends with 0."""
    known = {"REEMBED_URL": world.url, "REEMBED_TOKEN": world.owner_token}
    run = subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], **known},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_bot_is_moved_watched_and_brought_back_from_the_command_line(world: World) -> None:
    bot = world.seed_bot(40)
    to = ("--provider", LARGE.provider, "--model", LARGE.model, "--dimension", str(LARGE.dimension))
    started = json.loads(reembed(world, "start", bot.bot_id, *to, "--yes", "--json"))
    run = started["migration"]["migration_id"]
    assert "is completed." in reembed(world, "watch", run, "--until", "completed", "--every", "0.2")
    assert LARGE == bot.pair()[1]
    reembed(world, "rollback", run, "--mode", "now", "--yes")
    assert "is completed." in reembed(
        world, "watch", bot.bot_id, "--until", "completed", "--every", "0.2"
    )
    assert SMALL == bot.pair()[1]
    back, forth = json.loads(reembed(world, "list", "--bot", bot.bot_id, "--json"))["migrations"]
    assert (["reverse", "rolled_back"], run) == (
        [back["kind"], forth["status"]],
        forth["migration_id"],
    )
    assert f"Taken back by migration {back['migration_id']}." in reembed(world, "events", run)
    bill = json.loads(reembed(world, "spend", "--migration", run, "--json"))
    assert bill["tokens"] == forth_tokens(world, run) > 0
    world.assert_all_well(bot)


def forth_tokens(world: World, run: str) -> int:
    """As progress has them."""
    told = json.loads(reembed(world, "watch", run, "--json").splitlines()[-1])
    return int(told["tokens_used"])
