"""One sweep: what it works with, and what it has done."""

from __future__ import annotations

from dataclasses import dataclass

from migrations.model.errors import SweepPostponed
from migrations.run.run import Run

#: A sweep that gets nowhere for so long gives up; the next one is due anyway.
PATIENCE_SECONDS = 60.0


@dataclass
class SweepResult:
    """What one sweep did, in chunks."""

    applied: int = 0
    deleted: int = 0
    conflicts: int = 0
    #: Differences between the old collection and its snapshot, whatever became of them.
    found: int = 0
    #: False when there was no snapshot, so that what came before it cannot be told.
    compared: bool = True

    @property
    def quiet(self) -> bool:
        """Nobody has written to the old collection since the last sweep."""
        return self.compared and self.found == 0


@dataclass
class SweepRun(Run):
    """A run whose work is allowed by the sweeper's lease and bounded by patience.

    ``source`` is the old collection and ``target`` the one that is live since.
    """

    #: Under which name it holds the lease.
    sweeper: str = ""
    patient_until: float = 0.0

    def must_go_on(self) -> None:
        """Raises Superseded when the bot has moved on, SweepPostponed when nothing moves."""
        self.beat.must_go_on()
        if self.is_phase:
            self._put_down_if_ending()
        if self.services.clock.monotonic() > self.patient_until:
            raise SweepPostponed

    def got_on(self) -> None:
        self.patient_until = self.services.clock.monotonic() + PATIENCE_SECONDS
