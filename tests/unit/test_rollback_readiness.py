"""What the status says of the way back while it is open, and when it is not any more."""

from __future__ import annotations

import pytest

from migrations.model.states import Phase
from tests.fakes.world import OWNER, World


@pytest.mark.parametrize(("phase", "times"), [("validation", 1), ("verification", 3)])
def test_the_estimate_is_made_of_what_the_last_run_took(phase: str, times: int) -> None:
    world = World()
    world.start()
    with world.at(f"{phase}.after_run", lambda: world.clock.sleep(10)):
        world.deliver()
    back = world.system.status(OWNER, "bot").rollback
    assert times * 10.0 == back.estimate_seconds
    assert back.estimate_basis is not None
    assert "12 chunks" in back.estimate_basis
    assert "on top" in back.estimate_basis


def test_a_later_run_that_was_cancelled_does_not_change_the_estimate() -> None:
    world = World()
    world.start()
    with world.at("verification.after_run", lambda: world.clock.sleep(10)):
        world.deliver()
    before = world.system.status(OWNER, "bot").rollback
    world.start(model="small", dimension=4)
    world.deliver(before=f"migrations.phase.{Phase.DATA_MIGRATION}")
    world.system.cancel(OWNER, "bot")
    world.deliver()
    assert before == world.system.status(OWNER, "bot").rollback


def test_without_a_switch_there_is_nothing_to_estimate() -> None:
    back = World().system.status(OWNER, "bot").rollback
    assert (False, None, None) == (back.ready, back.estimate_seconds, back.estimate_basis)
