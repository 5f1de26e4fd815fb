"""Applying a bot's journal to its live collection, in order, by one at a time.

Of several writes to a key in one portion only the last counts. The portion is written to
Milvus first and counts as applied afterwards: who dies in between has it written again by the
next one, to the same effect. The place is moved on only under the lease and while the bot is
still at the generation whose collection was written to, so nothing counts as applied that
stands in a collection which nobody reads.

A write that cannot be done is passed over with its reason, and those after it go on. What is
nobody's fault, a provider that does not answer or a key it refuses, is waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from migrations.embedding.embed import embed_texts
from migrations.embedding.work import Errand
from migrations.model.bots import Bot
from migrations.model.chunks import Chunk, CollectionSchema, Vectors
from migrations.model.config import OverLong
from migrations.model.errors import (
    PermanentError,
    PutDown,
    ReembedError,
    RequestError,
    Superseded,
    TransientError,
    VectorStoreRefused,
)
from migrations.model.runs import ApplierLease
from migrations.model.writes import PORTION, Entry, FailedWrite, WriteKind
from migrations.process import leases
from migrations.process.failpoints import failpoint
from migrations.process.pulse import Beat
from migrations.process.services import Services
from migrations.run.shared_reads import SharedSchemas

log = structlog.get_logger(__name__)

#: After this somebody else has a turn: of this worker's thread, or to write late writes over what
#: is live (:mod:`migrations.writers.alone`).
TURN_SECONDS = 1.0
#: When it is tried again after what passes, and after what does not pass by itself.
SOON_SECONDS, LATER_SECONDS = 1.0, 15.0
#: What the ledger says it was for.
PURPOSE = "write"


def apply_journal(services: Services, bot_id: str) -> None:
    """Apply what is there, for a while; somebody is woken for what is left."""
    lease = ApplierLease(bot_id)
    with suppress(Superseded, PutDown), leases.holding(services, lease) as (holder, beat):
        _Turn(services, bot_id, holder, beat).take()
    wake_appliers(services, bot_id)


def wake_appliers(services: Services, bot_id: str | None = None) -> None:
    """Of all bots that need one, or of this one if it does."""
    for woken in services.store.claim_journals(bot_id):
        services.dispatcher.wake_applier(woken)


@dataclass
class _Writing(Errand):
    """An errand whose work one at a time may do: it ends with the lease, and with the worker."""

    beat: Beat | None = None

    def must_go_on(self) -> None:
        if self.beat is not None:
            self.beat.must_go_on()
        if self.services.ending.is_set():
            raise PutDown
        super().must_go_on()


class _Turn:
    """Some portions of one bot's journal."""

    def __init__(self, services: Services, bot_id: str, holder: str, beat: Beat) -> None:
        self._services, self._store = services, services.store
        self._bot_id, self._holder, self._beat = bot_id, holder, beat
        self._schemas = SharedSchemas()

    def take(self) -> None:
        """Raises Superseded, PutDown, StateStoreUnavailable."""
        until = self._services.clock.monotonic() + TURN_SECONDS
        try:
            while self._apply_portion() and self._services.clock.monotonic() < until:
                if self._services.ending.is_set():
                    return
        except TransientError as error:
            self._put_off(error, error.retry_after_seconds or SOON_SECONDS)
        except (PermanentError, RequestError) as error:
            self._put_off(error, LATER_SECONDS)

    def _put_off(self, error: ReembedError, seconds: float) -> None:
        log.warning("journal_put_off", bot_id=self._bot_id, code=error.code, reason=error.message)
        self._store.put_off(self._bot_id, self._holder, error.message, seconds)

    def _apply_portion(self) -> bool:
        """False when there was nothing, or a switch is near."""
        if not self._store.allows(ApplierLease(self._bot_id)):
            return False
        after, entries = self._store.unapplied(self._bot_id, PORTION)
        if not entries:
            return False
        bot = self._store.bot(self._bot_id)
        failpoint("journal.before_apply", bot_id=self._bot_id)
        failed = self._write(bot, list({entry.write.key: entry for entry in entries}.values()))
        failpoint("journal.before_advance", bot_id=self._bot_id)
        self._advance(bot, after, entries, failed)
        return True

    def _advance(
        self, bot: Bot, after: int, entries: Sequence[Entry], failed: Sequence[FailedWrite]
    ) -> None:
        upto, over = entries[-1].position, {one.key for one in failed}
        done = {entry.write.key for entry in entries} - over
        generation = bot.live.generation
        if not self._store.advance(
            self._bot_id, self._holder, generation, after, upto, done=done, failed=failed
        ):
            # Another one may have written newer things before what was written here just now.
            self._store.apply_again(self._bot_id, after)
            raise Superseded

    def _write(self, bot: Bot, entries: Sequence[Entry]) -> list[FailedWrite]:
        """Write what is last of each key; what cannot be written, with its reason."""
        schema = self._schemas.of(self._services.vectors, bot.live.collection, bot.vector_field)
        gone = [e.write.key for e in entries if e.write.kind is WriteKind.DELETE]
        told = [entry for entry in entries if entry.write.kind is WriteKind.UPSERT]
        vectors, kept, failed = self._embedded(bot, told)
        self._beat.must_go_on()
        if gone:
            self._services.vectors.delete(schema, gone)
        return failed + self._upsert(schema, kept, vectors)

    def _embedded(
        self, bot: Bot, entries: Sequence[Entry]
    ) -> tuple[Vectors | None, list[Entry], list[FailedWrite]]:
        """Vectors as the live collection's are, and the entries they belong to."""
        if not entries:
            return None, [], []
        import numpy as np

        ref, recipe = bot.live.embedding, bot.recipe
        work = _Writing(self._services, bot.owner, bot.bot_id, beat=self._beat)
        texts = [recipe.text_of(entry.write.fields) for entry in entries]
        over_long = self._over_long(bot)
        answers = embed_texts(work, ref, texts, PURPOSE, over_long=over_long)
        pairs = list(zip(entries, texts, strict=True))
        kept = [(entry, answers.vectors[t]) for entry, t in pairs if t in answers.vectors]
        failed = [_failed(e, answers.refused[t]) for e, t in pairs if t in answers.refused]
        vectors = np.empty((len(kept), ref.dimension), dtype=np.float32)
        for row, (_, vector) in enumerate(kept):
            vectors[row] = vector
        return vectors, [entry for entry, _ in kept], failed

    def _over_long(self, bot: Bot) -> OverLong:
        """As the run did it that has made what is live; before any, as the application does."""
        latest = self._store.latest(bot.bot_id)
        if latest is not None and latest.target_collection == bot.live.collection:
            return latest.config.over_long
        if bot.recipe.split_tokens:
            return OverLong.SPLIT
        return OverLong.TRUNCATE if bot.recipe.first_tokens else OverLong.REFUSE

    def _upsert(
        self, schema: CollectionSchema, entries: Sequence[Entry], vectors: Vectors | None
    ) -> list[FailedWrite]:
        """What Milvus refuses is looked for in halves, so that its neighbours are written."""
        if vectors is None or not entries:
            return []
        chunks = [
            Chunk(e.write.key, {**e.write.fields, schema.key_field: e.write.key}) for e in entries
        ]
        try:
            self._services.vectors.upsert(schema, chunks, vectors)
        except (VectorStoreRefused, TypeError, ValueError, OverflowError) as error:
            if len(entries) == 1:
                return [_failed(entries[0], error)]
            middle = len(entries) // 2
            return [
                *self._upsert(schema, entries[:middle], vectors[:middle]),
                *self._upsert(schema, entries[middle:], vectors[middle:]),
            ]
        return []


def _failed(entry: Entry, error: Exception) -> FailedWrite:
    known = error if isinstance(error, ReembedError) else VectorStoreRefused(str(error))
    return FailedWrite(entry.position, entry.write.key, known.code, known.message)
