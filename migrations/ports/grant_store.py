"""Grants in the authority."""

from __future__ import annotations

from typing import Protocol

from migrations.model.access import Grant


class GrantStore(Protocol):
    def add_grant(self, owner: str, pattern: str, by: str) -> Grant:
        """The one that is there already, if there is."""
        ...

    def grants(self, owner: str | None = None) -> list[Grant]:
        """Of everybody, or of one owner, by owner and pattern."""
        ...

    def remove_grant(self, grant_id: int) -> None:
        """Raises GrantNotFound."""
        ...
