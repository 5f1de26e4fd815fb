"""A provider's limit in the domain's words: whose call it is, what it takes, what was set by hand.

The rules (how fast, whose turn, how much is kept for queries) are written once,
as scripts in ``adapters/limiter_scripts.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from uuid import uuid4

Purpose = Literal["migration", "query"]
Kind = Literal["requests", "tokens"]
KINDS: tuple[Kind, Kind] = ("requests", "tokens")


@dataclass(frozen=True)
class Ticket:
    """One call that somebody wants to make; keep it until the call is made."""

    provider: str
    #: Whose turn it is counted as: a migration's id, anything for a query.
    flow: str
    #: What is reserved, and the estimate it was made from.
    tokens: int
    estimated: int
    purpose: Purpose = "migration"
    id: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True)
class Rules:
    """What is set by hand. Limits are per minute; None where they are to be learned."""

    requests: float | None = None
    tokens: float | None = None
    burst_seconds: float = 0.5
    #: Share of the limit that migrations leave alone while queries come.
    query_share: float = 0.1
