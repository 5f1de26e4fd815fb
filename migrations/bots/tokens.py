"""Tokens: who may come in. Only their SHA-256 is stored; a token has 256 random bits."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

from migrations.model.bots import Caller, Role
from migrations.model.errors import NotAuthenticated
from migrations.ports.token_store import TokenStore

PREFIX = "reembed_"  # lets secret scanners recognise a leaked token


class Access:
    def __init__(self, store: TokenStore) -> None:
        self._store = store

    def issue(
        self, name: str, owner: str, role: Role = Role.USER, expires_at: datetime | None = None
    ) -> str:
        """Make a token; it is shown once and cannot be read again."""
        token = PREFIX + secrets.token_urlsafe(32)
        self._store.add_token(name, owner, role, _digest(token), expires_at)
        return token

    def authenticate(self, token: str) -> Caller:
        """Raises NotAuthenticated for a token that is unknown, expired or revoked."""
        caller = self._store.caller_of(_digest(token))
        if caller is None:
            raise NotAuthenticated
        return caller


def _digest(token: str) -> str:
    """No salt or stretching: 256 random bits cannot be guessed, and look-ups go by the digest."""
    return hashlib.sha256(token.encode()).hexdigest()
