"""Whose limit it is: a provider under one key, with what was set for it by hand."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from migrations.adapters.providers.catalogue import LOCAL_PROVIDER, OPENAI_PROVIDER
from migrations.ports.limiter import Rules
from migrations.settings import ProviderSettings


class LimiterSettings(Protocol):
    """The part of :class:`migrations.settings.Settings` that is read here."""

    @property
    def providers(self) -> dict[str, ProviderSettings]: ...
    @property
    def openai_api_key_env(self) -> str: ...
    @property
    def openai_requests_per_minute(self) -> float | None: ...
    @property
    def openai_tokens_per_minute(self) -> float | None: ...
    @property
    def limit_burst_seconds(self) -> float: ...
    @property
    def reserved_query_share(self) -> float: ...


@dataclass(frozen=True)
class Account:
    """``key_variable`` names the environment variable, "" where no key is needed."""

    provider: str
    key_variable: str = ""
    rules: Rules = field(default_factory=Rules)

    def name(self) -> str:
        """The provider and a fingerprint of its key, which tells nothing of the key."""
        key = os.environ.get(self.key_variable, "").strip() if self.key_variable else ""
        digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=6)
        return f"{self.provider}:{digest.hexdigest()}"


def accounts(settings: LimiterSettings) -> Mapping[str, Account]:
    """By provider. ``local`` runs in the worker and has no limit, so it is not among them."""

    def rules(requests: float | None, tokens: float | None) -> Rules:
        return Rules(requests, tokens, settings.limit_burst_seconds, settings.reserved_query_share)

    openai = Account(
        OPENAI_PROVIDER,
        settings.openai_api_key_env,
        rules(settings.openai_requests_per_minute, settings.openai_tokens_per_minute),
    )
    named = {
        name: Account(name, own.api_key_env, rules(own.requests_per_minute, own.tokens_per_minute))
        for name, own in settings.providers.items()
        if name != LOCAL_PROVIDER
    }
    return {OPENAI_PROVIDER: openai, **named}
