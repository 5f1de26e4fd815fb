"""Spans of what is done, as the domain sees them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal, Protocol

Kind = Literal["server", "consumer", "client", "internal"]
Value = str | int | float | bool


class Span(Protocol):
    def name(self, name: str) -> None:
        """Call it otherwise, now that more is known."""
        ...

    def note(self, **attributes: Value) -> None: ...

    def fails(self, code: str) -> None: ...


class Tracing(Protocol):
    def span(
        self, name: str, parent: str | None, kind: Kind, attributes: dict[str, Value]
    ) -> AbstractContextManager[Span]:
        """Within the span that this thread is in; else within ``parent``; else the first of its
        trace. An exception ends it as failed, by its class, and comes through."""
        ...

    def here(self) -> str | None:
        """The ``traceparent`` of the span that this thread is in."""
        ...
