"""Tokens and grants of the fake state store."""

from __future__ import annotations

from datetime import datetime

from migrations.model.access import Grant
from migrations.model.bots import Caller, Role
from migrations.model.errors import GrantNotFound
from tests.fakes.state_rows import StateRows, Token


class FakeAccess(StateRows):
    # --- tokens --------------------------------------------------------------

    def add_token(
        self, name: str, owner: str, role: Role, digest: str, expires_at: datetime | None
    ) -> None:
        with self._transaction():
            self._tokens[digest] = Token(Caller(owner, role), expires_at)

    def caller_of(self, digest: str) -> Caller | None:
        with self._transaction() as now:
            token = self._tokens.get(digest)
            if token is None or (token.expires_at is not None and token.expires_at <= now):
                return None
            return token.caller

    # --- grants --------------------------------------------------------------

    def add_grant(self, owner: str, pattern: str, by: str) -> Grant:
        with self._transaction() as now:
            for grant in self._grants.values():
                if (grant.owner, grant.pattern) == (owner, pattern):
                    return grant
            self._numbered += 1
            return self._grants.setdefault(
                self._numbered, Grant(self._numbered, owner, pattern, by, now)
            )

    def grants(self, owner: str | None = None) -> list[Grant]:
        with self._transaction():
            theirs = (g for g in self._grants.values() if owner in {None, g.owner})
            return sorted(theirs, key=lambda g: (g.owner, g.pattern))

    def remove_grant(self, grant_id: int) -> None:
        with self._transaction():
            if self._grants.pop(grant_id, None) is None:
                raise GrantNotFound
