"""The composition root: the one place where ports meet their adapters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from celery import Celery

from migrations.access import Access
from migrations.adapters.checkpoints import RedisCheckpoints
from migrations.adapters.clock import SystemClock
from migrations.adapters.dispatch import CeleryDispatcher
from migrations.adapters.embedders import ConfiguredEmbedders
from migrations.adapters.limiter import RedisRateLimiter
from migrations.adapters.limiter_accounts import accounts
from migrations.adapters.milvus import MilvusVectorStore
from migrations.call_slots import CallSlots
from migrations.compatibility import EmbeddingCompatibilityManager
from migrations.conductor import Conductor
from migrations.entities import Role
from migrations.errors import ReembedError
from migrations.pulse import Pulse
from migrations.services import Services
from migrations.settings import Settings, get_settings
from migrations.store import SqlMigrationStore
from migrations.store.revisions import upgrade
from migrations.system import EmbeddingMigrationSystem
from migrations.watchdog import Watchdog


@dataclass(frozen=True)
class Assembly:
    """Everything a process may need, made when first asked for."""

    services: Services

    @cached_property
    def system(self) -> EmbeddingMigrationSystem:
        return EmbeddingMigrationSystem(self.services)

    @cached_property
    def compatibility(self) -> EmbeddingCompatibilityManager:
        return EmbeddingCompatibilityManager(self.services, self.system)

    @cached_property
    def access(self) -> Access:
        return Access(self.services.store)

    @cached_property
    def conductor(self) -> Conductor:
        return Conductor(self.services)

    @cached_property
    def watchdog(self) -> Watchdog:
        return Watchdog(self.services)

    def readiness(self) -> dict[str, str | None]:
        """Each dependency, and None or why it does not answer."""
        probes = {
            "postgresql": self.services.store.ping,
            "redis": self.services.checkpoints.ping,
            "milvus": self.services.vectors.ping,
        }
        found: dict[str, str | None] = {}
        for name, probe in probes.items():
            try:
                probe()
                found[name] = None
            except ReembedError as error:
                found[name] = error.message
        return found


def build_services(settings: Settings, app: Celery) -> Services:
    redis_url = settings.redis_url.get_secret_value()
    token = settings.milvus_token
    limiter = RedisRateLimiter(redis_url, accounts(settings))
    return Services(
        store=SqlMigrationStore(settings.database_url.get_secret_value()),
        vectors=MilvusVectorStore(
            settings.milvus_uri,
            token=token.get_secret_value() if token else "",
            database=settings.milvus_db,
            timeout_seconds=settings.milvus_timeout_seconds,
        ),
        embedders=ConfiguredEmbedders(settings, on_headers=limiter.learn),
        checkpoints=RedisCheckpoints(redis_url),
        limiter=limiter,
        dispatcher=CeleryDispatcher(app),
        clock=SystemClock(),
        settings=settings,
        pulse=Pulse(settings.heartbeat_seconds),
        calls=CallSlots(settings.provider_concurrency),
    )


def build_system(settings: Settings | None = None, app: Celery | None = None) -> Assembly:
    """Assemble a process; without ``app`` a client that only sends is made."""
    return Assembly(build_services(settings or get_settings(), app or sending_app()))


def sending_app() -> Celery:
    """Celery as the API needs it: configured, with no task registered."""
    app = Celery("reembed")
    app.config_from_object("celeryconfig")
    return app


def upgrade_schema(settings: Settings) -> None:
    """Bring the database to the newest schema revision."""
    upgrade(settings.database_url.get_secret_value())


def issue_token(settings: Settings, name: str, owner: str, role: Role = Role.USER) -> str:
    """Make a token; it is shown once."""
    store = SqlMigrationStore(settings.database_url.get_secret_value())
    return Access(store).issue(name, owner, role)
