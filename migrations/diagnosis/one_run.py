"""What is wrong with one migration, beside that which all stand on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from migrations.model.findings import Finding, roughly, warning
from migrations.model.runs import PROCESSED_WHEN_REDRIVEN, Event, Migration

#: Driven again so often in a row, and no further: not one worker's death, but what kills them.
TIMES = 3
LATELY = timedelta(minutes=30)


def has_cause_to_look(migration: Migration) -> bool:
    """Whether :func:`in_circles` could find anything; its events need not be read otherwise."""
    return migration.epoch > TIMES


def in_circles(migration: Migration, events: Sequence[Event], now: datetime) -> list[Finding]:
    """It is driven again and again lately, and each time as far as before."""
    last = [event for event in events if event.name == "redriven"][-TIMES:]
    if len(last) < TIMES or now - last[0].at > LATELY:
        return []
    if any(event.name in _PROGRESS for event in events[events.index(last[0]) :]):
        return []
    seen = {(event.phase, event.detail.get(PROCESSED_WHEN_REDRIVEN)) for event in last}
    if len(seen) > 1 or last[-1].phase is not migration.phase:
        return []
    seconds = (last[-1].at - last[0].at).total_seconds()
    return [
        Finding(
            "in-circles",
            f"It was driven again {TIMES} times within {roughly(seconds)}, in {migration.phase}, "
            "and has come no further: whoever takes it up dies, falls silent or takes nothing.",
            f"Look for {migration.id} in the workers' logs, and whether their hosts run out of "
            "memory; restart workers that are alive and at nothing (reembed workers); cancel it if "
            "that cannot be mended now.",
        )
    ]


#: A step within data migration is taken anew by each who takes it up, and is none.
_PROGRESS = frozenset({"phase_begun", "phase_completed", "undone", "switch_begun", "switched"})


def nobody_at_it(silent_seconds: float, patience_seconds: float) -> list[Finding]:
    """Workers are alive, and none has spoken of it."""
    if silent_seconds <= 2 * patience_seconds:
        return []
    return [
        warning(
            "nobody-at-it",
            f"No worker has spoken of this migration for {roughly(silent_seconds)}.",
            "It is driven again by itself once its turn has come; if it is not within a minute, "
            "look for 'duty_failed' in the workers' logs.",
        )
    ]
