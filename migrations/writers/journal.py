"""Taking what applications write: judged, kept in the journal, and somebody is woken to apply it.

Nothing here waits for Milvus, a provider or Redis once the collection's schema is known: a
write is acknowledged when PostgreSQL has it, also in the middle of a switch.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from migrations.model.bots import Bot, Caller
from migrations.model.chunks import CollectionSchema
from migrations.model.errors import BotNotFound, TransientError
from migrations.model.writes import Appended, FailedWrite, Journal, OnceOnly, Write
from migrations.process.services import Services
from migrations.writers.checking import check

#: How long what Milvus has said of a collection is believed.
FRESH_SECONDS = 60.0
#: Bots whose collections a process remembers.
REMEMBERED = 1000
#: While somebody waits for his writes to be applied, it is looked so often.
LOOK_SECONDS = 0.03
#: Of what was passed over, so much is told at once.
MOST_FAILED = 100


@dataclass(frozen=True)
class Written:
    """What became of a request's writes so far."""

    bot_id: str
    appended: Appended
    is_applied: bool = False
    #: Those of them that were passed over.
    failed: tuple[FailedWrite, ...] = ()


@dataclass(frozen=True)
class _Known:
    """What Milvus has said of a bot's live collection."""

    collection: str
    schema: CollectionSchema
    at: float


class Writers:
    """What the callers may do. Safe for threads.

    ``wake`` has somebody apply a bot's journal, and takes no time of the caller's.
    """

    def __init__(self, services: Services, wake: Callable[[str], None]) -> None:
        self._services, self._wake = services, wake
        self._schemas: OrderedDict[str, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def write(
        self,
        caller: Caller,
        bot_id: str,
        writes: Sequence[Write],
        idempotency_key: str | None = None,
    ) -> Written:
        """Keep them, in this order, as one; sent again with its key it is not done again.

        Raises:
            BotNotFound, WritesUnsupported, ChunksInvalid, IdempotencyConflict, JournalFull;
            CollectionNotFound, VectorStoreUnavailable, NoAnswer: nobody knows the collection yet.
        """
        bot = self._bot(caller, bot_id)
        check(self._schema_of(bot), bot.recipe, writes)
        request = None
        if idempotency_key is not None:
            request = OnceOnly(idempotency_key, _digest(writes))
        most = self._services.settings.journal_most_waiting
        appended = self._services.store.append(bot_id, writes, most, request)
        if appended.wake:
            self._wake(bot_id)
        return Written(bot_id, appended)

    def applied(self, written: Written, wait_seconds: float) -> Written:
        """The same once it is applied, or after so long."""
        clock, store = self._services.clock, self._services.store
        until = clock.monotonic() + wait_seconds
        while store.journal(written.bot_id).applied < written.appended.upto:
            left = until - clock.monotonic()
            if left <= 0:
                return written
            clock.sleep(min(left, LOOK_SECONDS))
        after, upto = written.appended.after, written.appended.upto
        failed = store.failed_writes(written.bot_id, after=after, upto=upto, limit=MOST_FAILED)
        return replace(written, is_applied=True, failed=tuple(failed))

    def journal(
        self, caller: Caller, bot_id: str, *, after: int = 0, limit: int = MOST_FAILED
    ) -> tuple[Journal, list[FailedWrite]]:
        """How far it is, and what was passed over after a place. Raises BotNotFound."""
        store = self._services.store
        self._bot(caller, bot_id)
        return store.journal(bot_id), store.failed_writes(bot_id, after=after, limit=limit)

    def _bot(self, caller: Caller, bot_id: str) -> Bot:
        bot = self._services.store.bot(bot_id)
        if not caller.may_touch(bot.owner):
            raise BotNotFound
        return bot

    def _schema_of(self, bot: Bot) -> CollectionSchema:
        """Of the live collection. While Milvus is away what it said last, of whichever it was:

        collections of a bot differ in nothing that an application writes.
        """
        now, known = self._services.clock.monotonic(), self._schemas.get(bot.bot_id)
        is_fresh = known is not None and now - known.at < FRESH_SECONDS
        if known is not None and is_fresh and known.collection == bot.live.collection:
            return known.schema
        try:
            schema = self._services.milvus_briefly.ask(
                lambda: self._services.vectors.describe(bot.live.collection, bot.vector_field)
            )
        except TransientError:
            if known is None:
                raise
            return known.schema
        self._remember(bot, schema, now)
        return schema

    def _remember(self, bot: Bot, schema: CollectionSchema, now: float) -> None:
        with self._lock:
            self._schemas[bot.bot_id] = _Known(bot.live.collection, schema, now)
            self._schemas.move_to_end(bot.bot_id)
            while len(self._schemas) > REMEMBERED:
                self._schemas.popitem(last=False)


def _digest(writes: Sequence[Write]) -> str:
    said = [[write.kind.value, write.key, dict(write.fields)] for write in writes]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
