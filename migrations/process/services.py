"""Everything outside the domain, gathered for those who need it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from migrations.ports.checkpoints import Checkpoints
from migrations.ports.clock import Clock
from migrations.ports.courier import Courier, NoCourier
from migrations.ports.dispatcher import Dispatcher
from migrations.ports.embedders import Embedders
from migrations.ports.limiter import RateLimiter
from migrations.ports.state_store import MigrationStore
from migrations.ports.vector_store import VectorStore
from migrations.process.briefly import Briefly
from migrations.process.call_slots import CallSlots
from migrations.process.database_clock import DatabaseClock
from migrations.process.pulse import Pulse
from migrations.process.standings import Standings
from migrations.settings import Settings


@dataclass(frozen=True)
class Services:
    store: MigrationStore
    vectors: VectorStore
    embedders: Embedders
    checkpoints: Checkpoints
    limiter: RateLimiter
    dispatcher: Dispatcher
    clock: Clock
    settings: Settings
    pulse: Pulse
    calls: CallSlots
    courier: Courier = field(default_factory=NoCourier)
    #: For callers who only look, beside what the work asks.
    postgresql_briefly: Briefly = field(default_factory=Briefly)
    redis_briefly: Briefly = field(default_factory=Briefly)
    milvus_briefly: Briefly = field(default_factory=Briefly)
    standings: Standings = field(default_factory=Standings)
    #: Set once this process has been asked to end.
    ending: threading.Event = field(default_factory=threading.Event)

    @cached_property
    def database_clock(self) -> DatabaseClock:
        return DatabaseClock(self.store, self.clock)

    def exists_briefly(self, collection: str) -> bool:
        """Whether Milvus has it, for a caller who only looks. Raises as :meth:`Briefly.ask`."""
        return self.milvus_briefly.ask(lambda: self.vectors.exists(collection))

    def now(self) -> datetime:
        """By PostgreSQL's clock; as :meth:`DatabaseClock.now`."""
        return self.database_clock.now()
