"""The turn a request needs that asks Milvus or a provider."""

from __future__ import annotations

from contextlib import AbstractContextManager

from api.auth import current_caller
from api.services import services


def turn() -> AbstractContextManager[None]:
    """Hold it meanwhile. Raises TooManyAtOnce."""
    return services().turns.one(current_caller().owner)
