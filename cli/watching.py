"""Looking at a run again and again until it has come to where somebody waits for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cli.client import Answer
from cli.endings import Away, Ended, Exit
from cli.plain import plain
from cli.refusals import Refused

#: The rate is that of so many seconds.
LATELY_SECONDS = 60.0
#: An answer that takes longer is none, to somebody who looks every second.
LOOK_SECONDS = 15.0
_LONGEST_PAUSE_SECONDS = 10.0

#: What ``--until`` may name, and in which statuses that has come.
UNTIL = {
    "completed": {"completed"},
    "switched": {"switched", "completed"},
    "waiting": {"waiting"},
    "paused": {"paused"},
    "rolled_back": {"rolled_back"},
}


class Pace:
    """How fast chunks have moved in the last minute, by what was seen of it."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, seconds: float, chunks: int) -> None:
        if self._seen and chunks < self._seen[-1][1]:
            self._seen.clear()  # counted anew
        self._seen.append((seconds, chunks))
        while len(self._seen) > 2 and self._seen[1][0] <= seconds - LATELY_SECONDS:
            self._seen.popleft()

    @property
    def rate(self) -> float | None:
        """Chunks per second; None while there is nothing to tell it by."""
        if len(self._seen) < 2:
            return None
        (began, before), (ended, after) = self._seen[0], self._seen[-1]
        return (after - before) / (ended - began) if ended > began else None


@dataclass(frozen=True)
class Sight:
    """A look at a run, and what can be said with the looks before it."""

    progress: dict[str, Any]
    rate: float | None

    @property
    def moves(self) -> bool:
        """Whether chunks are being moved forward just now."""
        return (
            moves_chunks(self.progress) and self.progress["waiting_for"] is None and bool(self.rate)
        )

    @property
    def seconds_left(self) -> float | None:
        """Until all chunks are there; None when nothing moves, or towards another end."""
        left = self.progress["total_chunks"] - self.progress["processed_chunks"]
        return left / self.rate if self.rate and self.moves and left > 0 else None

    @property
    def why_nothing_moves(self) -> str | None:
        if self.progress["waiting_for"]:
            return plain(self.progress["waiting_for"])
        decision = self.progress["decision"]
        if self.progress["status"] == "waiting" and decision:
            return f"A decision before the switch: {', '.join(decision['waits_for'])}."
        if self.progress["status"] == "pending":
            return "A worker that begins."
        return None


class View(Protocol):
    def show(self, answer: Answer, sight: Sight) -> None: ...

    def show_away(self, error: Ended, seconds: float) -> None:
        """The API has not answered for so long."""
        ...


@dataclass(frozen=True)
class Watch:
    """``look`` asks for the progress, and may raise Away or Refused."""

    look: Callable[[], Answer]
    sleep: Callable[[float], None]
    seconds: Callable[[], float]
    every: float
    #: How long the API may be away.
    patience: float

    def follow(self, view: View, until: str | None) -> dict[str, Any]:
        """The progress when it has come there, or when nothing more happens by itself.

        Raises Away when the API was away for too long, Refused when it does not show the run.
        """
        pace = Pace()
        while True:
            answer = self._patiently(view)
            progress: dict[str, Any] = answer.value
            if moves_chunks(progress):
                pace.note(self.seconds(), progress["processed_chunks"])
            else:
                pace = Pace()
            view.show(answer, Sight(progress, _rate(progress, pace)))
            if progress["finished"] or has_come(progress, until):
                return progress
            self.sleep(self.every)

    def _patiently(self, view: View) -> Answer:
        return patiently(
            self.look, view.show_away, self.sleep, self.seconds, self.every, self.patience
        )


def patiently(
    look: Callable[[], Answer],
    show_away: Callable[[Ended, float], None],
    sleep: Callable[[float], None],
    seconds: Callable[[], float],
    every: float,
    patience: float,
) -> Answer:
    """What ``look`` gives, as soon as the API is there.

    Raises Away when it was away for longer than ``patience`` seconds, Refused for what does not
    pass.
    """
    began, pause = seconds(), every
    while True:
        try:
            answer = look()
            _ = answer.value  # one that is cut off is none
            return answer
        except (Away, Refused) as error:
            wished = error.retry_after if isinstance(error, Refused) else None
            if isinstance(error, Refused) and not error.passes:
                raise
            gone = seconds() - began
            if gone >= patience:
                raise
            show_away(error, gone)
        sleep(max(pause, wished or 0))
        pause = min(pause * 2, max(_LONGEST_PAUSE_SECONDS, every))


def _rate(progress: dict[str, Any], pace: Pace) -> float | None:
    """As the API tells it; as it was seen, of an API of before, which tells that of all the run."""
    if "average_chunks_per_second" not in progress:
        return pace.rate
    rate: float = progress["chunks_per_second"]
    return rate


def moves_chunks(progress: dict[str, Any]) -> bool:
    """Whether it is in the phase whose rate is worth telling."""
    return (progress["status"], progress["phase"]) == ("running", "data_migration")


def has_come(progress: dict[str, Any], until: str | None) -> bool:
    return until is not None and progress["status"] in UNTIL[until]


def otherwise(progress: dict[str, Any], until: str) -> Ended:
    """What a script is told that has waited for something else."""
    run, status = progress["migration_id"], progress["status"]
    lines = [f"It is {status}, not {until}."]
    lines += [error["message"] for error in progress["errors"]]
    if status == "waiting":
        decision = progress["decision"] or {"waits_for": []}
        lines.append(f"It waits for a decision: {', '.join(decision['waits_for'])}.")
        lines.append(f"Read 'reembed report {run}', then 'reembed switch {run}' or 'cancel'.")
    if status == "paused":
        lines.append(f"Somebody has paused it; 'reembed resume {run}' lets it go on.")
    elif progress.get("what_now"):
        lines.append(progress["what_now"])
    return Ended(plain("\n".join(lines)), Exit.OTHERWISE)
