"""One system for all recovery tests, on servers that are theirs to break."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.ground import Ground, ground_on, own_stack
from tests.services.shared import closed_after

SETTINGS = {
    # Few slots, so that what a kill may cost is little.
    "REEMBED_BATCH_CONCURRENCY": "3",
    "REEMBED_STALLED_AFTER_SECONDS": "3",
}


@pytest.fixture(scope="session")
def recovery_ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Two workers of each kind, failpoints, and a wire in front of every server."""
    folder = tmp_path_factory.mktemp("recovery")
    with ExitStack() as opened:
        stack = opened.enter_context(own_stack(folder / "servers"))
        world = ground_on(stack, folder / "world", settings=SETTINGS, wired=True)
        ground = opened.enter_context(world)
        ground.wait_for_workers()
        closed_after(Path(__file__).parent, opened.close)
        yield ground


@pytest.fixture
def ground(recovery_ground: Ground) -> Iterator[Ground]:
    """Whole again before and after each test; a test brings a bot of its own."""
    yield recovery_ground
    recovery_ground.driver.clear()
    recovery_ground.revive()
    recovery_ground.settle(60)
