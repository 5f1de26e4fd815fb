"""On whose behalf a reader's questions are embedded, and what becomes of their cost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import ClassVar

import structlog

from migrations.embedding.work import Errand
from migrations.model.config import EmbeddingRef
from migrations.model.errors import StateStoreUnavailable
from migrations.process.call_slots import CallSlots
from migrations.process.services import Services

log = structlog.get_logger(__name__)

#: How long a provider that fails in passing is asked again, its last call not counted: somebody
#: waits for the answer, and asks again by himself.
PATIENCE_SECONDS = 3.0
#: Before the first try again.
RETRY_SECONDS = 0.2
#: How often is written down what was paid; a process that is killed loses so much of it.
LEDGER_SECONDS = 1.0


@dataclass(frozen=True)
class _Purse:
    owner: str
    bot_id: str
    provider: str
    model: str
    purpose: str


def with_calls_of_readers(services: Services) -> Services:
    """The same, with as many calls to a provider as there are threads that may want one.

    Workers' limit is for work that need not be answered at once.
    """
    return replace(services, calls=CallSlots(services.settings.api_reader_threads_of_all))


class Spending:
    """What the questions to this process have cost, written into the ledger now and then.

    Each by itself would cost a transaction, which is more than all else that a search asks of
    PostgreSQL. Safe for threads.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tokens: Counter[_Purse] = Counter()
        self._lock = threading.Lock()
        self._is_due = threading.Event()
        self._writer: threading.Thread | None = None

    def pay(self, owner: str, bot_id: str, ref: EmbeddingRef, purpose: str, tokens: int) -> None:
        with self._lock:
            self._tokens[_Purse(owner, bot_id, ref.provider, ref.model, purpose)] += tokens
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="spending", daemon=True)
                self._writer.start()
        self._is_due.set()

    def flush(self) -> None:
        """Write down what has not been. What cannot be written now is kept for the next time."""
        with self._lock:
            due, self._tokens = self._tokens, Counter()
        for purse, tokens in due.items():
            try:
                self._services.store.record_errand(**vars(purse), tokens=tokens)
            except StateStoreUnavailable as error:
                log.warning("spending_not_written", reason=error.message)
                with self._lock:
                    self._tokens[purse] += tokens
            except Exception:
                log.exception("spending_lost", tokens=tokens, **vars(purse))

    def _write(self) -> None:
        while True:
            self._is_due.wait()
            self._is_due.clear()
            time.sleep(LEDGER_SECONDS)
            self.flush()
            if self._tokens:
                self._is_due.set()


@dataclass
class Question(Errand):
    """An errand of a reader's: it is told sooner that it fails, and paid for a little later."""

    patience_seconds: ClassVar[float] = PATIENCE_SECONDS
    spending: Spending = field(kw_only=True)

    @property
    def retry_delay(self) -> float:
        return RETRY_SECONDS

    def pay(self, ref: EmbeddingRef, purpose: str, tokens: int) -> None:
        self.spending.pay(self.owner, self.bot_id, ref, purpose, tokens)
