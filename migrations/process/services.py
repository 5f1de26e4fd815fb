"""Everything outside the domain, gathered for those who need it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from migrations.ports.checkpoints import Checkpoints
from migrations.ports.clock import Clock
from migrations.ports.dispatcher import Dispatcher
from migrations.ports.embedders import Embedders
from migrations.ports.limiter import RateLimiter
from migrations.ports.state_store import MigrationStore
from migrations.ports.vector_store import VectorStore
from migrations.process.call_slots import CallSlots
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
    standings: Standings = field(default_factory=Standings)
    #: Set once this process has been asked to end.
    ending: threading.Event = field(default_factory=threading.Event)
