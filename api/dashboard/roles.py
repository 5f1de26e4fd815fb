"""Which tokens the page is for: those that may look; and which of them may change something."""

from __future__ import annotations

from migrations.model.bots import Caller
from migrations.model.errors import NotAllowed

#: Of a token inside a chatbot, which asks bots and nothing else.
_ASKS = "query"
#: Of a token that sees, and neither changes nor spends anything.
_LOOKS = "read"


def may_change(caller: Caller) -> bool:
    return caller.role not in {_ASKS, _LOOKS}


def require(caller: Caller, method: str) -> None:
    """Raises NotAllowed."""
    if caller.role == _ASKS:
        raise NotAllowed("This token is for asking bots; the page needs one that may look at them.")
    if method not in {"GET", "HEAD", "OPTIONS"} and not may_change(caller):
        raise NotAllowed("This token may look and change nothing; log in with another one.")
