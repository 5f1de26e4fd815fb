"""Tokens, grants and the trail of the fake state store."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from migrations.model.access import (
    Deed,
    Grant,
    Token,
    TokenState,
    TrailEntry,
    TrailSearch,
    token_state,
)
from migrations.model.bots import Caller, Role
from migrations.model.errors import GrantNotFound, TokenNotFound, TokenRevoked
from tests.fakes.state_rows import StateRows, TokenRow


class FakeAccess(StateRows):
    # --- tokens --------------------------------------------------------------

    def add_token(
        self, name: str, owner: str, role: Role, digest: str, lasts: timedelta | None
    ) -> Token:
        with self._transaction() as now:
            known = self._tokens.get(digest)
            number = known.caller.token_id if known else self._next()
            row = TokenRow(
                name=name,
                caller=Caller(owner, role, number),
                created_at=known.created_at if known else now,
                expires_at=None if lasts is None else now + lasts,
                revoked_at=known.revoked_at if known else None,
            )
            self._tokens[digest] = row
            return _token(row, now)

    def caller_of(self, digest: str) -> Caller | None:
        with self._transaction() as now:
            row = self._tokens.get(digest)
            active = row is not None and _token(row, now).state is TokenState.ACTIVE
            return row.caller if row is not None and active else None

    def token_of(self, digest: str) -> Token | None:
        with self._transaction() as now:
            row = self._tokens.get(digest)
            return None if row is None else _token(row, now)

    def tokens(self) -> list[Token]:
        with self._transaction() as now:
            used = {entry.deed.token_id: entry.at for entry in self._trail}
            found = (_token(row, now) for row in self._tokens.values())
            told = (replace(token, last_used_at=used.get(token.id)) for token in found)
            return sorted(told, key=lambda token: token.id)

    def revoke_token(self, token_id: int) -> None:
        with self._transaction() as now:
            digest, row = self._token_row(token_id)
            self._tokens[digest] = replace(row, revoked_at=row.revoked_at or now)

    def rotate_token(
        self, token_id: int, digest: str, lasts: timedelta | None, keep_old: timedelta
    ) -> Token:
        with self._transaction() as now:
            old_digest, old = self._token_row(token_id)
            if old.revoked_at is not None:
                raise TokenRevoked
            if lasts is None and old.expires_at is not None:
                lasts = old.expires_at - old.created_at
            end = now + keep_old
            self._tokens[old_digest] = (
                replace(old, expires_at=min(old.expires_at or end, end))
                if keep_old
                else replace(old, revoked_at=now)
            )
            return self.add_token(old.name, old.caller.owner, old.caller.role, digest, lasts)

    def _token_row(self, token_id: int) -> tuple[str, TokenRow]:
        for digest, row in self._tokens.items():
            if row.caller.token_id == token_id:
                return digest, row
        raise TokenNotFound

    # --- the trail -----------------------------------------------------------

    def record_deed(self, deed: Deed) -> None:
        with self._transaction() as now:
            _, row = self._token_row(deed.token_id)
            entry = TrailEntry(self._next(), now, row.name, row.caller.owner, deed)
            self._trail.append(entry)

    def trail(self, kept: timedelta, search: TrailSearch) -> list[TrailEntry]:
        with self._transaction() as now:
            found = [
                entry
                for entry in reversed(self._trail)
                if entry.at > now - kept
                and (search.before is None or entry.id < search.before)
                and search.token_id in {None, entry.deed.token_id}
                and search.owner in {None, entry.owner}
                and search.subject in {None, entry.deed.subject}
            ]
            return found[: search.limit]

    def trim_trail(self, token_id: int, kept: timedelta, most: int) -> None:
        with self._transaction() as now:
            theirs = [e.id for e in self._trail if e.deed.token_id == token_id]
            gone = set(theirs[: max(0, len(theirs) - most)])
            self._trail = [e for e in self._trail if e.at > now - kept and e.id not in gone]

    # --- grants --------------------------------------------------------------

    def add_grant(self, owner: str, pattern: str, by: str) -> Grant:
        with self._transaction() as now:
            for grant in self._grants.values():
                if (grant.owner, grant.pattern) == (owner, pattern):
                    return grant
            number = self._next()
            return self._grants.setdefault(number, Grant(number, owner, pattern, by, now))

    def grants(self, owner: str | None = None) -> list[Grant]:
        with self._transaction():
            theirs = (g for g in self._grants.values() if owner in {None, g.owner})
            return sorted(theirs, key=lambda g: (g.owner, g.pattern))

    def remove_grant(self, grant_id: int) -> None:
        with self._transaction():
            if self._grants.pop(grant_id, None) is None:
                raise GrantNotFound

    def _next(self) -> int:
        self._numbered += 1
        return self._numbered


def _token(row: TokenRow, at: datetime) -> Token:
    assert row.caller.token_id is not None
    return Token(
        id=row.caller.token_id,
        name=row.name,
        owner=row.caller.owner,
        role=row.caller.role,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        state=token_state(row.expires_at, row.revoked_at, at),
    )
