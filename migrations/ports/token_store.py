"""Tokens in the authority."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from migrations.model.access import Token
from migrations.model.bots import Caller, Role


class TokenStore(Protocol):
    def add_token(
        self, name: str, owner: str, role: Role, digest: str, lasts: timedelta | None
    ) -> Token:
        """Without ``lasts`` it never expires."""
        ...

    def caller_of(self, digest: str) -> Caller | None:
        """Whose token hashes to ``digest``; None when unknown, expired or revoked."""
        ...

    def token_of(self, digest: str) -> Token | None:
        """The one that hashes to ``digest``, also after its end; not when it was last used."""
        ...

    def tokens(self) -> list[Token]:
        """All there ever were, the oldest first, each with when it was last used."""
        ...

    def revoke_token(self, token_id: int) -> None:
        """One that was revoked stays so, since then. Raises TokenNotFound."""
        ...

    def rotate_token(
        self, token_id: int, digest: str, lasts: timedelta | None, keep_old: timedelta
    ) -> Token:
        """A new one of the same meaning; the old one ends after ``keep_old``.

        Without ``lasts`` it lasts as long as the old one was meant to.

        Raises:
            TokenNotFound, TokenRevoked.
        """
        ...

    def ping(self) -> None: ...
