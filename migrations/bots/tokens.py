"""Tokens: who may come in. Only their SHA-256 is stored; a token has 256 random bits."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from migrations.model.access import Token, TokenState, check_name
from migrations.model.bots import Caller, Role
from migrations.model.errors import NotAuthenticated, TokenEnded
from migrations.ports.token_store import TokenStore

PREFIX = "reembed_"  # lets secret scanners recognise a leaked token


class Access:
    """Whoever calls more than :meth:`authenticate` and :meth:`recognise` has asked for an admin."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store

    def issue(
        self, name: str, owner: str, role: Role = Role.USER, lasts: timedelta | None = None
    ) -> tuple[str, Token]:
        """Make a token; its text is shown once and cannot be read again. Raises NameInvalid."""
        check_name("token's name", name)
        check_name("owner", owner)
        text = _new_text()
        return text, self._store.add_token(name, owner, role, digest(text), lasts)

    def authenticate(self, token: str) -> Caller:
        """Raises NotAuthenticated for a token that is unknown, expired or revoked."""
        return self.recognise(digest(token))

    def recognise(self, token_digest: str) -> Caller:
        """Whose token has this digest now. Raises NotAuthenticated."""
        caller = self._store.caller_of(token_digest)
        if caller is None:
            raise self._refusal(token_digest)
        return caller

    def _refusal(self, token_digest: str) -> NotAuthenticated:
        """Whoever holds a token that has ended is told so, not left to look for a typing error."""
        ended = self._store.token_of(token_digest)
        if ended is None or ended.state is TokenState.ACTIVE:
            return NotAuthenticated()
        since = ended.expires_at if ended.state is TokenState.EXPIRED else ended.revoked_at
        return TokenEnded(
            f"The token {ended.name!r} is {ended.state} since {since:%Y-%m-%d %H:%M} UTC; an admin "
            "can issue another (reembed tokens issue)."
        )

    def all(self) -> list[Token]:
        return self._store.tokens()

    def revoke(self, token_id: int) -> None:
        """From the next request on. Raises TokenNotFound."""
        self._store.revoke_token(token_id)

    def rotate(
        self,
        token_id: int,
        lasts: timedelta | None = None,
        keep_old: timedelta = timedelta(0),
    ) -> tuple[str, Token]:
        """A new token for the same holder; the old one is good for ``keep_old`` yet.

        Without ``lasts`` it lasts as long as the old one was meant to.

        Raises:
            TokenNotFound, TokenRevoked.
        """
        text = _new_text()
        return text, self._store.rotate_token(token_id, digest(text), lasts, keep_old)


def _new_text() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """No salt or stretching: 256 random bits cannot be guessed, and look-ups go by the digest."""
    return hashlib.sha256(token.encode()).hexdigest()
