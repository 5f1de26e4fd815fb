"""Is somebody there to do the work?"""

from __future__ import annotations

from migrations.model.findings import Finding, roughly, warning
from migrations.model.task_names import BATCH_QUEUES, CONTROL_QUEUE
from migrations.model.workers import Crew

#: Hosts that run a time service are apart by milliseconds.
CLOCKS_MAY_DIFFER_SECONDS = 10.0
_START = (
    "Start it as the Procfile does (docs/operations/what-if.md), and look at the end of its log"
)


def missing_workers(crew: Crew) -> list[Finding]:
    """What stands still because nobody alive takes it."""
    if not crew.alive:
        return [_nobody(crew)]
    if crew.unread(BATCH_QUEUES) == BATCH_QUEUES:
        batch = Finding(
            "no-batch-worker",
            "No worker that is alive takes batches, so nothing is embedded.",
            f"{_START}: celery -A worker worker --exclude-queues {CONTROL_QUEUE} …",
        )
        return [batch]
    found = []
    if not crew.reading(CONTROL_QUEUE):
        found.append(
            Finding(
                "no-control-worker",
                "No worker that is alive takes control messages, so no phase begins or ends and "
                "nothing is rolled back.",
                f"{_START}: celery -A worker worker --queues {CONTROL_QUEUE} …",
            )
        )
    if unread := crew.unread(BATCH_QUEUES):
        found.append(
            Finding(
                "queue-unread",
                f"Nobody reads {', '.join(unread)}: batches that are sent there stand still.",
                "Let batch workers read every queue but the control queue, with "
                f"--exclude-queues {CONTROL_QUEUE}.",
            )
        )
    return found


def _nobody(crew: Crew) -> Finding:
    silent = [one.silent_seconds for one in crew.workers]
    last = f" The last one has been silent for {roughly(min(silent))}." if silent else ""
    return Finding(
        "no-worker",
        f"No worker is alive, so no migration moves.{last}",
        "Start a batch worker and a control worker as the Procfile does, and look at the ends of "
        "their logs: without PostgreSQL and Redis none comes up.",
    )


def clocks_apart(crew: Crew, here_ahead_seconds: float) -> list[Finding]:
    """``here_ahead_seconds``: how far this process' host is ahead of PostgreSQL's."""
    found = []
    if abs(here_ahead_seconds) > CLOCKS_MAY_DIFFER_SECONDS:
        found.append(_apart("The clock of the API's host", here_ahead_seconds))
    off = [one.clock_ahead_seconds for one in crew.alive]
    off = [seconds for seconds in off if abs(seconds) > CLOCKS_MAY_DIFFER_SECONDS]
    if off:
        found.append(_apart("The clock of a worker's host", max(off, key=abs)))
    return found


def _apart(whose: str, ahead_seconds: float) -> Finding:
    direction = "ahead of" if ahead_seconds > 0 else "behind"
    return warning(
        "clock-off",
        f"{whose} is {abs(ahead_seconds):.0f} s {direction} PostgreSQL's.",
        "Run a time service (chrony, systemd-timesyncd) on both hosts. Deadlines and windows go "
        "by PostgreSQL's clock alone; logs and what others sign by time do not agree meanwhile.",
    )
