"""One system for all recovery tests, on servers that are theirs to break."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.ground import Ground, ground_on, own_stack

SETTINGS = {
    # Few slots, so that what a kill may cost is little.
    "REEMBED_BATCH_CONCURRENCY": "3",
    "REEMBED_STALLED_AFTER_SECONDS": "3",
}


@pytest.fixture(scope="session")
def recovery_ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Two workers of each kind, failpoints, and a wire in front of every server."""
    folder = tmp_path_factory.mktemp("recovery")
    with (
        own_stack(folder / "servers") as stack,
        ground_on(stack, folder / "world", settings=SETTINGS, wired=True) as ground,
    ):
        yield ground


@pytest.fixture
def ground(recovery_ground: Ground) -> Iterator[Ground]:
    """Whole again before and after each test; a test brings a bot of its own."""
    yield recovery_ground
    recovery_ground.driver.clear()
    recovery_ground.revive()
    recovery_ground.settle(60)
