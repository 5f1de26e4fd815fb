"""The turn a request needs that asks Milvus or a provider."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from flask import request

from api.auth import current_caller
from api.services import services
from migrations.model.errors import TooManyAtOnce

#: Where the server says since when a request has waited for one of the readers' threads.
QUEUED_KEY = "reembed.queued_since"
#: Where the server wants to be told whose request it is.
OWNER_KEY = "reembed.belongs_to"
#: Who has waited longer is refused: by answering late and later nobody is helped.
LONGEST_IN_QUEUE_SECONDS = 5.0


def turn() -> AbstractContextManager[None]:
    """Hold it meanwhile. Raises TooManyAtOnce."""
    return services().turns.one(current_caller().owner)


def readers_turn() -> None:
    """Of a request for which there are threads of its kind, and a queue before them.

    Raises TooManyAtOnce.
    """
    tell: Callable[[str], None] = request.environ.get(OWNER_KEY, _nobody_asks)
    tell(current_caller().owner)
    since: float = request.environ.get(QUEUED_KEY, float("inf"))
    if time.monotonic() - since > LONGEST_IN_QUEUE_SECONDS:
        raise TooManyAtOnce(
            "More is searched for than can be answered at once; try again in a while."
        )


def _nobody_asks(_owner: str) -> None:
    """There is no server, in a test client."""
