"""What is logged again and again for the same reason is logged now and then."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import structlog

from migrations.process.logs import AGAIN_SECONDS, MOST_REASONS, Thinning
from tests.fakes.clock import FakeClock


class Log:
    """Lines that were let through."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.lines: list[dict[str, Any]] = []
        self.thinning = Thinning(self.clock.monotonic)

    def say(self, event: str, **fields: Any) -> None:
        with suppress(structlog.DropEvent):
            self.lines.append(dict(self.thinning(None, "warning", {"event": event, **fields})))


def test_the_first_is_said_and_then_one_a_minute_with_how_many_were_not() -> None:
    log = Log()
    for _ in range(150):
        log.say("waiting", reason="It is away.")
        log.clock.sleep(AGAIN_SECONDS / 60)
    assert [None, 59, 59] == [line.get("left_out") for line in log.lines]


@pytest.mark.parametrize(
    "other",
    [
        {"event": "duty_failed", "reason": "It is away."},
        {"event": "waiting", "reason": "It is full."},
        {"event": "waiting", "reason": "It is away.", "migration_id": "another"},
    ],
)
def test_another_event_reason_or_migration_is_said(other: dict[str, Any]) -> None:
    log = Log()
    log.say("waiting", reason="It is away.")
    log.say(**other)
    assert 2 == len(log.lines)


def test_what_gives_no_reason_is_always_said() -> None:
    log = Log()
    for _ in range(3):
        log.say("switched")
    assert 3 == len(log.lines)


def test_not_more_reasons_are_remembered_than_there_is_room_for() -> None:
    log = Log()
    for number in range(3 * MOST_REASONS):
        log.say("waiting", reason=f"The key {number} is odd.")
    assert len(log.thinning._lately._known) <= MOST_REASONS
