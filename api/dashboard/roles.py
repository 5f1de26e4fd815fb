"""Which tokens the page is for: those that may look; and which of them may change something."""

from __future__ import annotations

from migrations.model.bots import Caller, Role
from migrations.model.errors import NotAllowed


def may_change(caller: Caller) -> bool:
    return caller.role not in {Role.QUERY, Role.READ}


def require(caller: Caller, method: str) -> None:
    """Raises NotAllowed."""
    if caller.role is Role.QUERY:
        raise NotAllowed("This token is for asking bots; the page needs one that may look at them.")
    if method not in {"GET", "HEAD", "OPTIONS"} and not may_change(caller):
        raise NotAllowed("This token may look and change nothing; log in with another one.")
