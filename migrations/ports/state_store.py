"""The authority as the domain sees it: PostgreSQL behind one Protocol.

Every change of a migration is a guarded update: it names the states and the
epoch it starts from, and when no row matches it raises Superseded (work of an
older epoch) or a TransitionRefused that says what stands in the way. The event
row and, where a worker must be woken, the outbox row are written in the same
transaction. All methods raise StateStoreUnavailable when PostgreSQL does not answer.
"""

from __future__ import annotations

from typing import Protocol

from migrations.ports.bot_store import BotStore
from migrations.ports.decision_store import DecisionStore
from migrations.ports.due_store import DueStore
from migrations.ports.figure_store import FigureStore
from migrations.ports.golden_store import GoldenStore
from migrations.ports.grant_store import GrantStore
from migrations.ports.history_store import HistoryStore
from migrations.ports.journal_store import JournalStore
from migrations.ports.kept_store import KeptStore
from migrations.ports.key_store import KeyStore
from migrations.ports.late_write_store import LateWriteStore
from migrations.ports.lease_store import LeaseStore
from migrations.ports.ledger import Ledger
from migrations.ports.notification_store import NotificationStore
from migrations.ports.rollback_store import RollbackStore
from migrations.ports.run_store import RunStore
from migrations.ports.steering_store import SteeringStore
from migrations.ports.switch_store import SwitchStore
from migrations.ports.text_store import TextStore
from migrations.ports.token_store import TokenStore
from migrations.ports.trail_store import TrailStore
from migrations.ports.watch_store import WatchStore
from migrations.ports.worker_store import WorkerStore


class MigrationStore(
    BotStore,
    RunStore,
    HistoryStore,
    LeaseStore,
    SwitchStore,
    RollbackStore,
    DecisionStore,
    SteeringStore,
    WatchStore,
    Ledger,
    TokenStore,
    GrantStore,
    GoldenStore,
    TrailStore,
    LateWriteStore,
    KeptStore,
    KeyStore,
    TextStore,
    DueStore,
    JournalStore,
    WorkerStore,
    FigureStore,
    NotificationStore,
    Protocol,
):
    """All of it."""
