"""Spans of what is done, for those who switch them on; nothing is imported for it otherwise.

A migration is one trace, whoever works on it: the request that has started it is kept with it as
its parent (a ``traceparent`` as W3C says). Where that is not known, its id serves as the trace's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID

from migrations.ports.tracing import Kind, Span, Tracing, Value


class _NoSpan:
    def name(self, name: str) -> None: ...

    def note(self, **attributes: Value) -> None: ...

    def fails(self, code: str) -> None: ...


class _Off:
    _span = _NoSpan()

    @contextmanager
    def span(
        self, name: str, parent: str | None, kind: Kind, attributes: dict[str, Value]
    ) -> Iterator[Span]:
        yield self._span

    def here(self) -> str | None:
        return None


_tracing: Tracing = _Off()


def use(tracing: Tracing | None) -> None:
    """From now on, in this process; None switches it off."""
    global _tracing  # one for a process, as logging is
    _tracing = tracing or _Off()


def span(
    name: str, *, parent: str | None = None, kind: Kind = "internal", **attributes: Value
) -> AbstractContextManager[Span]:
    return _tracing.span(name, parent, kind, attributes)


def here() -> str | None:
    return _tracing.here()


def parent_of(migration_id: UUID, trace: str | None) -> str:
    return trace or f"00-{migration_id.hex}-{migration_id.hex[16:]}-01"
