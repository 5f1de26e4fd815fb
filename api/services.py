"""What the routes call: the use cases, as this package needs them.

``migrations.bootstrap`` provides them and knows nothing of these Protocols.
"""

from __future__ import annotations

from typing import Protocol, cast
from uuid import UUID

from flask import Flask, current_app

from migrations.entities import Bot, Caller, Migration
from migrations.progress import MigrationProgress
from migrations.requests import (
    BotEstimate,
    BotRegistration,
    BotStatus,
    ChangeValidation,
    DimensionInfo,
    EstimateRequest,
    Started,
    StartRequest,
)

_EXTENSION = "reembed"


class MigrationUseCases(Protocol):
    """Every method raises BotNotFound or MigrationNotFound for what is not the caller's."""

    def register_bot(self, caller: Caller, registration: BotRegistration, /) -> Bot: ...

    def bots(self, caller: Caller, /) -> list[Bot]: ...

    def bot(self, caller: Caller, bot_id: str, /) -> Bot: ...

    def start_migration(
        self, caller: Caller, request: StartRequest, /, idempotency_key: str | None = None
    ) -> Started: ...

    def status(self, caller: Caller, bot_id: str, /) -> BotStatus: ...

    def progress(self, caller: Caller, migration_id: UUID, /) -> MigrationProgress: ...

    def cancel(self, caller: Caller, bot_id: str, /) -> Migration: ...

    def rollback(self, caller: Caller, migration_id: UUID, /) -> Started: ...

    def active(self, caller: Caller, /) -> list[MigrationProgress]:
        """Raises NotAllowed unless the caller is an admin."""
        ...


class CompatibilityUseCases(Protocol):
    """Questions that change nothing; they may ask the provider and Milvus."""

    def validate_change(
        self, caller: Caller, bot_id: str, provider: str, model: str, dimension: int | None, /
    ) -> ChangeValidation: ...

    def estimate_migration_time(
        self, caller: Caller, request: EstimateRequest, /
    ) -> BotEstimate: ...

    def dimension_info(self, caller: Caller, bot_id: str, /) -> DimensionInfo: ...


class Authentication(Protocol):
    def authenticate(self, token: str, /) -> Caller:
        """Raises NotAuthenticated for a token nobody holds."""
        ...


class ApiServices(Protocol):
    """Everything the API stands on."""

    @property
    def system(self) -> MigrationUseCases: ...

    @property
    def compatibility(self) -> CompatibilityUseCases: ...

    @property
    def access(self) -> Authentication: ...

    def readiness(self) -> dict[str, str | None]:
        """Each dependency by name: None when it answers, else the reason it cannot be used."""
        ...


def attach(app: Flask, provided: ApiServices) -> None:
    app.extensions[_EXTENSION] = provided


def services() -> ApiServices:
    """The services of the application that handles the current request."""
    return cast("ApiServices", current_app.extensions[_EXTENSION])
