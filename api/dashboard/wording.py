"""How the page says what it shows: numbers, times, states and phases, in an operator's words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum

from migrations.model.config import EmbeddingRef
from migrations.model.states import Phase, Status

#: Where there is no value to show.
NOTHING = "\N{EN DASH}"


class Tone(StrEnum):
    """Always said in words beside the colour."""

    GOOD = "good"
    BUSY = "busy"
    HELD = "held"
    BAD = "bad"
    QUIET = "quiet"


#: What a state is called, how it is shown, and what it means for the bot.
_STATES: dict[str, tuple[str, Tone, str]] = {
    Status.PENDING: (
        "waiting for a worker",
        Tone.BUSY,
        "It is recorded; no worker has begun. The bot answers from the collection it had before.",
    ),
    Status.RUNNING: (
        "running",
        Tone.BUSY,
        "The bot answers from the collection it had before until the switch.",
    ),
    Status.WAITING: (
        "waiting for a decision",
        Tone.HELD,
        (
            "Everything before the switch is done. The bot answers from the collection it had "
            "before until somebody accepts it."
        ),
    ),
    Status.PAUSED: (
        "paused",
        Tone.HELD,
        (
            "Nothing is read, embedded or paid until it is resumed. The bot answers from the "
            "collection it had before."
        ),
    ),
    Status.SWITCHING: (
        "switching",
        Tone.BUSY,
        "The switch has begun and will complete; it cannot be interrupted.",
    ),
    Status.SWITCHED: (
        "switched, cleaning up",
        Tone.BUSY,
        "The bot answers from the new collection; only cleaning up is left.",
    ),
    Status.COMPLETED: (
        "completed",
        Tone.GOOD,
        "The bot answers from the new collection.",
    ),
    Status.ROLLING_BACK: (
        "being undone",
        Tone.HELD,
        (
            "What it has done so far is being undone. The bot answers from the collection it had "
            "before."
        ),
    ),
    Status.ROLLED_BACK: (
        "rolled back",
        Tone.QUIET,
        "The bot is as it was before this migration.",
    ),
    Status.FAILED: (
        "failed",
        Tone.BAD,
        (
            "It failed and, as asked at its start, nothing was undone. The bot answers from the "
            "collection it had before."
        ),
    ),
    Status.NEEDS_OPERATOR: (
        "needs an operator",
        Tone.BAD,
        (
            "Undoing it has failed. The bot answers from the collection it had before, and cannot "
            "be migrated again before this is repaired."
        ),
    ),
}

PHASES: dict[Phase, tuple[str, str]] = {
    Phase.VALIDATION: ("Validation", "both models and the source are tried; nothing is touched"),
    Phase.BACKUP_CREATION: ("Backup", "what is needed to go back is written down"),
    Phase.NEW_COLLECTION_CREATION: ("New collection", "the target is made"),
    Phase.DATA_MIGRATION: ("Data", "chunks are embedded into the target, then caught up"),
    Phase.VERIFICATION: ("Verification", "source and target are compared"),
    Phase.FINALIZATION: ("Switch", "the last changes are caught up and the bot is switched"),
    Phase.CLEANUP: ("Cleanup", "temporary keys go and the retention clock starts"),
}


def state(status: str) -> str:
    """A state that is not known here is said by its own name."""
    return _STATES[status][0] if status in _STATES else str(status).replace("_", " ")


def tone(status: str) -> str:
    return (_STATES[status][1] if status in _STATES else Tone.QUIET).value


def meaning(status: str) -> str:
    return _STATES[status][2] if status in _STATES else ""


def phase_name(phase: str | None) -> str:
    if phase is None:
        return ""
    return PHASES[Phase(phase)][0] if phase in set(Phase) else str(phase).replace("_", " ")


def moment(at: datetime | None) -> str:
    """To the second, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else NOTHING


def number(value: float | None, places: int = 0) -> str:
    return NOTHING if value is None else f"{value:,.{places}f}"


def rate(value: float) -> str:
    return number(value, 0 if value >= 100 else 1)


def money(value: float | None) -> str:
    """Dollars; fractions of a cent where it is less than one."""
    if value is None:
        return "not known"
    return f"${value:,.4f}" if 0 < value < 0.01 else f"${value:,.2f}"


def duration(length: float | timedelta | None) -> str:
    """In the two largest units: ``3 h 12 min``."""
    if length is None:
        return NOTHING
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    for unit, size, lower, part in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {lower}" if rest else "")
    return f"{whole} s"


def embedding(ref: EmbeddingRef) -> str:
    return f"{ref.provider}/{ref.model}, {ref.dimension} dimensions"


def sentence(text: str) -> str:
    """With a capital at its beginning and a full stop at its end."""
    return text and text[0].upper() + text[1:] + ("" if text[-1] in ".!?…" else ".")


FILTERS = {
    one.__name__: one
    for one in (
        state,
        tone,
        meaning,
        phase_name,
        moment,
        number,
        rate,
        money,
        duration,
        embedding,
        sentence,
    )
}
