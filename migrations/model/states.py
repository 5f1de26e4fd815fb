"""The states of a migration and the one table of allowed transitions."""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """The seven steps of a run, in the words the operator sees."""

    #: Nothing has been touched; both models and the source are being tried.
    VALIDATION = "validation"
    #: What is needed to go back is being written down.
    BACKUP_CREATION = "backup_creation"
    #: The target collection is being made.
    NEW_COLLECTION_CREATION = "new_collection_creation"
    #: Chunks are being embedded into the target, then caught up.
    DATA_MIGRATION = "data_migration"
    #: Source and target are being compared.
    VERIFICATION = "verification"
    #: The last changes are caught up and the bot is switched.
    FINALIZATION = "finalization"
    #: Temporary keys go and the retention clock starts.
    CLEANUP = "cleanup"


class Status(StrEnum):
    """Where a migration stands as a whole."""

    #: Recorded and enqueued; no worker has begun.
    PENDING = "pending"
    #: A phase before the switch is at work; it can be cancelled.
    RUNNING = "running"
    #: Verified, and nobody's work: it waits until somebody accepts it or takes it back.
    WAITING = "waiting"
    #: Stopped by somebody, and nobody's work: it goes on from where it stands when it is resumed.
    PAUSED = "paused"
    #: The switch has begun and will complete; it cannot be interrupted.
    SWITCHING = "switching"
    #: The bot answers from the new collection; only cleaning up is left.
    SWITCHED = "switched"
    #: Done; within the retention window it can be rolled back.
    COMPLETED = "completed"
    #: The phases done so far are being undone.
    ROLLING_BACK = "rolling_back"
    #: The bot is as it was before.
    ROLLED_BACK = "rolled_back"
    #: It failed and, as asked with enable_rollback=false, nothing was undone.
    FAILED = "failed"
    #: An undo failed; the diagnosis names the command that repairs it.
    NEEDS_OPERATOR = "needs_operator"


class Kind(StrEnum):
    """Which way a run goes."""

    #: From the bot's live embedding to another one.
    FORWARD = "forward"
    #: Back to the previous collection, keeping what was written since.
    REVERSE = "reverse"


#: Who may follow whom. The store refuses anything else, whatever the caller thinks.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.RUNNING, Status.PAUSED, Status.ROLLING_BACK, Status.FAILED}),
    Status.RUNNING: frozenset(
        {Status.WAITING, Status.PAUSED, Status.SWITCHING, Status.ROLLING_BACK, Status.FAILED}
    ),
    Status.WAITING: frozenset({Status.RUNNING, Status.ROLLING_BACK}),
    Status.PAUSED: frozenset({Status.RUNNING, Status.ROLLING_BACK}),
    # Back to rolling back only when the switch transaction itself refused.
    Status.SWITCHING: frozenset({Status.SWITCHED, Status.ROLLING_BACK, Status.FAILED}),
    Status.SWITCHED: frozenset({Status.COMPLETED}),
    # A completed run becomes rolled back when the reverse run that undid it completes.
    Status.COMPLETED: frozenset({Status.ROLLED_BACK}),
    Status.ROLLING_BACK: frozenset({Status.ROLLED_BACK, Status.NEEDS_OPERATOR}),
    Status.NEEDS_OPERATOR: frozenset({Status.ROLLING_BACK}),
    Status.FAILED: frozenset({Status.ROLLING_BACK}),
    Status.ROLLED_BACK: frozenset(),
}

#: A bot has at most one migration in these (a partial unique index sees to it).
LIVE = frozenset(
    {
        Status.PENDING,
        Status.RUNNING,
        Status.WAITING,
        Status.PAUSED,
        Status.SWITCHING,
        Status.SWITCHED,
        Status.ROLLING_BACK,
        Status.NEEDS_OPERATOR,
    }
)

#: Before the switch: cancelling, failing and timing out compensate.
COMPENSABLE = frozenset({Status.PENDING, Status.RUNNING, Status.WAITING, Status.PAUSED})

#: A worker should be at it: these count against the system-wide limit, and the
#: watchdog drives them again when nobody is.
DRIVEN = frozenset(
    {
        Status.PENDING,
        Status.RUNNING,
        Status.SWITCHING,
        Status.SWITCHED,
        Status.ROLLING_BACK,
    }
)

#: A worker is at it and the switch is to come; these alone have a deadline.
BEFORE_SWITCH = COMPENSABLE & DRIVEN


def sources_of(target: Status) -> frozenset[Status]:
    """All states from which ``target`` may be entered."""
    return frozenset(state for state, nexts in TRANSITIONS.items() if target in nexts)
