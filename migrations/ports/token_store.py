"""Tokens in the authority."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from migrations.model.bots import Caller, Role


class TokenStore(Protocol):
    def add_token(
        self, name: str, owner: str, role: Role, digest: str, expires_at: datetime | None
    ) -> None: ...

    def caller_of(self, digest: str) -> Caller | None:
        """Whose token hashes to ``digest``; None when unknown, expired or revoked."""
        ...

    def ping(self) -> None: ...
