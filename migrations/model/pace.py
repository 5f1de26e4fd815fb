"""How much of a provider one run may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pace:
    """Less than the provider's limit, for one run alone; None where nothing is said."""

    #: Of each limit that is known of the provider, above 0 and at most 1.
    share: float | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    @classmethod
    def of(cls, controls: dict[str, Any]) -> Pace | None:
        """What is set for a run; None where nothing is."""
        told = controls.get(PACE)
        return told and cls(**{name: told[name] for name in cls.__dataclass_fields__})


#: In a run's ``controls``: its pace, who has set it, and when.
PACE = "pace"
