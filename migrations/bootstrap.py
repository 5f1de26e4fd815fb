"""The composition root: the one place where ports meet their adapters.

Adapters and use cases are imported where they are first made, because their vendors'
packages take seconds to import: a command that only asks PostgreSQL never loads them, and a
worker does once it is up (:meth:`Assembly.load`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

import structlog
from celery import Celery

from migrations.adapters.clock import SystemClock
from migrations.bots.grants import Grants
from migrations.bots.tokens import Access
from migrations.bots.trail import Trail
from migrations.model.bots import Role
from migrations.ports.checkpoints import Checkpoints
from migrations.ports.courier import Courier
from migrations.ports.dispatcher import Dispatcher
from migrations.ports.embedders import Embedders
from migrations.ports.limiter import RateLimiter
from migrations.ports.state_store import MigrationStore
from migrations.ports.vector_store import VectorStore
from migrations.ports.vocabulary import Vocabulary
from migrations.process import tracing
from migrations.process.call_slots import CallSlots
from migrations.process.pulse import Pulse
from migrations.process.services import Services
from migrations.process.turns import Turns
from migrations.process.waking import Waker
from migrations.settings import Settings, get_settings

if TYPE_CHECKING:
    from migrations.compatibility import EmbeddingCompatibilityManager
    from migrations.conductor import Conductor
    from migrations.diagnosis.monitored import Monitored
    from migrations.embedding.spend import Spend
    from migrations.readers.by_alias import AliasReaders
    from migrations.readers.question import Spending
    from migrations.readers.search import Searching
    from migrations.run.history import History
    from migrations.system import EmbeddingMigrationSystem
    from migrations.watchdog import Watchdog
    from migrations.way_back.left_behind import LeftBehind
    from migrations.writers.journal import Writers

T = TypeVar("T")
log = structlog.get_logger(__name__)

#: Of OpenTelemetry: one of them switches spans on.
TRACING_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

#: Held by whoever makes a service. Big packages import each other in circles, and two threads
#: that enter a circle at different points may see halves of modules.
_making = threading.RLock()


class Late:
    """Stands for a service until it is first used, and hands everything on to it then."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.made(), name)

    def made(self) -> Any:
        """The service itself. Threads that ask at the same time get the same one."""
        if self._made is None:
            with _making:
                if self._made is None:
                    self._made = self._make()
        return self._made


def late(make: Callable[[], T]) -> T:
    """What ``make`` will return, made when it is first used."""
    return cast("T", Late(make))


@dataclass(frozen=True)
class Assembly:
    """Everything a process may need, made when first asked for."""

    services: Services

    @cached_property
    def system(self) -> EmbeddingMigrationSystem:
        from migrations.system import EmbeddingMigrationSystem

        return EmbeddingMigrationSystem(self.services)

    @cached_property
    def compatibility(self) -> EmbeddingCompatibilityManager:
        from migrations.compatibility import EmbeddingCompatibilityManager

        return EmbeddingCompatibilityManager(self.services, self.system)

    @cached_property
    def access(self) -> Access:
        return Access(self.services.store)

    @cached_property
    def grants(self) -> Grants:
        return Grants(self.services.store)

    @cached_property
    def trail(self) -> Trail:
        return Trail(self.services)

    @cached_property
    def alias_readers(self) -> AliasReaders:
        from migrations.readers.by_alias import AliasReaders

        return AliasReaders(self.services, self.spending)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        from migrations.adapters.vocabulary import OpenAIVocabulary

        return OpenAIVocabulary()

    @cached_property
    def writers(self) -> Writers:
        from migrations.writers.journal import Writers

        return Writers(self.services, Waker(self.services.dispatcher.wake_applier).wake)

    @property
    def settings(self) -> Settings:
        return self.services.settings

    @cached_property
    def turns(self) -> Turns:
        settings = self.services.settings
        return Turns(settings.api_slow_requests, settings.api_slow_requests_per_owner)

    @cached_property
    def spending(self) -> Spending:
        from migrations.readers.question import Spending

        return Spending(self.services)

    @cached_property
    def searching(self) -> Searching:
        from migrations.readers.search import Searching

        return Searching(self.services, self.spending)

    @cached_property
    def history(self) -> History:
        from migrations.run.history import History

        return History(self.services)

    @cached_property
    def left_behind(self) -> LeftBehind:
        from migrations.way_back.left_behind import LeftBehind

        return LeftBehind(self.services)

    @cached_property
    def spend(self) -> Spend:
        from migrations.embedding.spend import Spend

        return Spend(self.services)

    @cached_property
    def conductor(self) -> Conductor:
        """For work that has everything loaded, and imports nothing in the middle of a switch."""
        from migrations.conductor import Conductor

        self.load()
        return Conductor(self.services)

    @cached_property
    def watchdog(self) -> Watchdog:
        from migrations.watchdog import Watchdog

        return Watchdog(self.services)

    def load(self) -> None:
        """Import and make everything now. Nothing is connected."""
        _ = self.system, self.compatibility, self.access, self.grants, self.trail
        _ = self.alias_readers, self.searching, self.vocabulary
        _ = self.writers, self.history, self.left_behind, self.spend, self.monitored
        # A copy: what services make of themselves is kept among them, by whichever thread.
        for service in list(vars(self.services).values()):
            if isinstance(service, Late):
                service.made()

    @cached_property
    def monitored(self) -> Monitored:
        from migrations.diagnosis.monitored import Monitored

        return Monitored(self.services, self.system.lookout)


def build_services(settings: Settings, app: Celery) -> Services:
    limiter = late(lambda: _limiter(settings))
    store = late(lambda: _store(settings))
    return Services(
        store=store,
        vectors=late(lambda: _vectors(settings, store)),
        embedders=late(lambda: _embedders(settings, limiter)),
        checkpoints=late(lambda: _checkpoints(settings)),
        limiter=limiter,
        dispatcher=late(lambda: _dispatcher(app)),
        clock=SystemClock(),
        settings=settings,
        pulse=Pulse(settings.heartbeat_seconds),
        calls=CallSlots(settings.provider_concurrency),
        courier=late(lambda: _courier(settings)),
    )


def _store(settings: Settings) -> MigrationStore:
    from migrations.store import SqlMigrationStore

    return SqlMigrationStore(settings.database_url.get_secret_value())


def _vectors(settings: Settings, store: MigrationStore) -> VectorStore:
    from migrations.adapters.milvus import MilvusVectorStore
    from migrations.adapters.text_tables import SqlTextTables
    from migrations.copying.keyed import KeyedVectors
    from migrations.copying.looked_up import LookedUpTexts

    milvus = MilvusVectorStore(
        settings.milvus_uri,
        token=settings.milvus_token.get_secret_value() if settings.milvus_token else "",
        database=settings.milvus_db,
        timeout_seconds=settings.milvus_timeout_seconds,
    )
    keyed = cast("VectorStore", KeyedVectors(milvus, store))
    return cast("VectorStore", LookedUpTexts(keyed, SqlTextTables(), store))


def _embedders(settings: Settings, limiter: RateLimiter) -> Embedders:
    from migrations.adapters.providers import ConfiguredEmbedders

    return ConfiguredEmbedders(settings, on_headers=limiter.learn)


def _checkpoints(settings: Settings) -> Checkpoints:
    from migrations.adapters.checkpoints.checkpoints import RedisCheckpoints

    return RedisCheckpoints(settings.redis_url.get_secret_value())


def _limiter(settings: Settings) -> RateLimiter:
    from migrations.adapters.limiter.accounts import accounts
    from migrations.adapters.limiter.limiter import RedisRateLimiter

    return RedisRateLimiter(settings.redis_url.get_secret_value(), accounts(settings))


def _dispatcher(app: Celery) -> Dispatcher:
    from migrations.adapters.broker.dispatch import CeleryDispatcher

    return CeleryDispatcher(app)


def _courier(settings: Settings) -> Courier:
    from migrations.adapters.notifying.couriers import Couriers

    return Couriers(settings)


def build_system(settings: Settings | None = None, app: Celery | None = None) -> Assembly:
    """Assemble a process; without ``app`` a client that only sends is made."""
    return Assembly(build_services(settings or get_settings(), app or sending_app()))


def sending_app() -> Celery:
    """Celery as the API needs it: configured, with no task registered."""
    app = Celery("reembed")
    app.config_from_object("celeryconfig")
    return app


def start_tracing(service: str) -> None:
    """Send spans to where OpenTelemetry's variables say; without them nothing is imported."""
    if not any(os.environ.get(name) for name in TRACING_ENDPOINTS):
        return
    try:
        from migrations.adapters.tracing import exporting
    except ImportError:
        log.warning("tracing_not_installed", remedy="install reembed-milvus[telemetry]")
        return
    tracing.use(exporting(service))


def upgrade_schema(settings: Settings) -> None:
    """Bring the database to the newest schema revision."""
    from migrations.store.revisions import upgrade

    upgrade(settings.database_url.get_secret_value())


def issue_token(settings: Settings, name: str, owner: str, role: Role = Role.USER) -> str:
    """Make a token; it is shown once."""
    return Access(_store(settings)).issue(name, owner, role)[0]
