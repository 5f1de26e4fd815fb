"""What the routes call: the use cases, as ``migrations.bootstrap`` provides them."""

from __future__ import annotations

from typing import Protocol, cast

from flask import Flask, current_app

from migrations.bots.grants import Grants
from migrations.bots.tokens import Access
from migrations.bots.trail import Trail
from migrations.compatibility import EmbeddingCompatibilityManager
from migrations.diagnosis.monitored import Monitored
from migrations.embedding.spend import Spend
from migrations.ports.vocabulary import Vocabulary
from migrations.process.turns import Turns
from migrations.readers.by_alias import AliasReaders
from migrations.readers.question import Spending
from migrations.readers.search import Searching
from migrations.run.history import History
from migrations.settings import Settings
from migrations.system import EmbeddingMigrationSystem
from migrations.way_back.left_behind import LeftBehind
from migrations.writers.journal import Writers

_EXTENSION = "reembed"


class ApiServices(Protocol):
    """Everything the API stands on."""

    @property
    def system(self) -> EmbeddingMigrationSystem: ...

    @property
    def compatibility(self) -> EmbeddingCompatibilityManager: ...

    @property
    def access(self) -> Access: ...

    @property
    def grants(self) -> Grants: ...

    @property
    def trail(self) -> Trail: ...

    @property
    def alias_readers(self) -> AliasReaders: ...

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def writers(self) -> Writers: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def turns(self) -> Turns: ...

    @property
    def searching(self) -> Searching: ...

    @property
    def history(self) -> History: ...

    @property
    def left_behind(self) -> LeftBehind: ...

    @property
    def spend(self) -> Spend: ...

    @property
    def spending(self) -> Spending: ...

    @property
    def monitored(self) -> Monitored: ...


def attach(app: Flask, provided: ApiServices) -> None:
    app.extensions[_EXTENSION] = provided


def services() -> ApiServices:
    """The services of the application that handles the current request."""
    return services_of(current_app)


def services_of(app: Flask) -> ApiServices:
    return cast("ApiServices", app.extensions[_EXTENSION])
