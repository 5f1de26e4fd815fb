"""One migration at one epoch, as the phases and batches see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import structlog

from migrations.lifecycle.pausing import was_paused_at
from migrations.model.bots import Bot
from migrations.model.chunks import Chunk, CollectionSchema
from migrations.model.config import EmbeddingRef
from migrations.model.errors import (
    CollectionNotLoaded,
    Postponed,
    PutDown,
    StateStoreUnavailable,
    Superseded,
    TimedOut,
    TransientError,
)
from migrations.model.looked_up import read_with_texts
from migrations.model.runs import Migration
from migrations.model.states import BEFORE_SWITCH
from migrations.ports.limiter import Ticket
from migrations.process.pulse import Beat
from migrations.process.services import Services
from migrations.run.patience import pause_seconds, until_done
from migrations.run.shared_reads import SharedReads, SharedSchemas

log = structlog.get_logger(__name__)
T = TypeVar("T")

#: A batch that has waited so long for its turns at the provider is put off. Well below
#: the broker's visibility timeout, after which its message would be given out again.
LONGEST_WAIT_SECONDS = 600.0
#: The purpose of what batches embed.
BATCHES = "data_migration"


@dataclass
class Run:
    """What a phase or batch works with. ``beat`` stops it when its epoch is gone.

    When the worker is asked to end, work is put down where it would wait, and a phase,
    which may take an hour, wherever it looks. A batch that need not wait is done in a
    second, and what it has paid for is kept.
    """

    services: Services
    migration: Migration
    bot: Bot
    beat: Beat
    #: By collection; shared by the batches of an epoch, which would each ask again.
    schemas: SharedSchemas = field(default_factory=SharedSchemas)
    #: Of the source, shared likewise.
    reads: SharedReads = field(default_factory=SharedReads)
    #: Whether it is put down wherever it looks, not only where it would wait.
    is_phase: bool = False
    #: How long this work has waited for its turn at the provider.
    waited_for_limit_seconds: float = 0.0
    #: Whether this work has begun to store, so that it finds its own rows when it is repeated.
    has_stored: bool = False

    @property
    def source(self) -> CollectionSchema:
        """Texts that stand elsewhere are as they stand there now."""
        schema = self._schema_of(self.migration.source_collection)
        return read_with_texts(schema, self.bot.recipe)

    @property
    def target(self) -> CollectionSchema:
        """Where Milvus gives the keys, its rows are told by those of the source.

        Texts that stand elsewhere are those that its vectors are of.
        """
        schema = self._schema_of(self.migration.target_collection)
        if schema.key_is_given:
            schema = replace(schema, keyed_as=self.migration.source_collection)
        schema = read_with_texts(schema, self.bot.recipe, as_embedded=True)
        index = self.migration.config.index
        return schema if index is None else replace(schema, search_params=index.search)

    @property
    def wanted(self) -> CollectionSchema:
        """What the target's schema has to be, its dimension aside."""
        return self.source.with_index(self.migration.config.index)

    def _schema_of(self, collection: str) -> CollectionSchema:
        return self.schemas.of(self.services.vectors, collection, self.bot.vector_field)

    def text_of(self, chunk: Chunk) -> str:
        return self.bot.recipe.text_of(chunk.fields)

    def is_same_text(self, chunk: Chunk, other: Chunk | None) -> bool:
        return other is not None and self.bot.recipe.is_same_text(chunk.fields, other.fields)

    def must_go_on(self) -> None:
        """Raises Superseded when this epoch is gone, TimedOut when the time is up.

        Raises PutDown in a phase whose worker is ending.
        """
        self.beat.must_go_on()
        if self.is_phase:
            self._put_down_if_ending()
        migration = self.migration
        if migration.status in BEFORE_SWITCH and self._is_late():
            seconds = self.migration.config.timeout_seconds
            raise TimedOut(f"The migration did not switch within {seconds} seconds.")

    def _is_late(self) -> bool:
        """Whether it still is when the row is looked at: somebody may have given it more time."""
        try:
            if self.services.now() <= self.migration.deadline_at:
                return False
            now = self.services.store.migration(self.migration.id)
            if now.epoch == self.migration.epoch:
                self.migration = replace(
                    self.migration, config=now.config, deadline_at=now.deadline_at
                )
            return self.services.now() > self.migration.deadline_at
        except StateStoreUnavailable:  # it alone knows
            return False

    def patiently(self, action: Callable[[], T]) -> T:
        """Do it until it works: passing faults are waited out, up to the migration's timeout.

        Raises:
            Superseded, TimedOut, PutDown and whatever lasting error ``action`` raises.
        """
        told: list[str] = []

        def tried() -> T:
            self.must_go_on()
            return action()

        def pause(error: TransientError, attempt: int) -> None:
            self._load_again(error)
            if attempt >= 1:  # a single hiccup is not news
                self._tell(error.message)
                told.append(error.message)
            seconds = pause_seconds(error, self.retry_delay, attempt)
            log.warning("waiting", code=error.code, reason=error.message, seconds=round(seconds, 2))
            self.wait(seconds)

        result = until_done(tried, pause)
        if told:
            self._tell(None)
        return result

    def keep_what_is_paid(self, store: Callable[[], T]) -> T:
        """As :meth:`patiently`; also when the run was paused meanwhile, else it is paid again.

        Once then, because a paused run is not to wait. Raises as that, and a TransientError.
        """
        try:
            return self.patiently(store)
        except Superseded:
            self.must_go_on_to_store()
        return store()

    def must_go_on_to_store(self) -> None:
        """As :meth:`must_go_on`; of a run that was paused, what is paid for may be stored."""
        try:
            self.must_go_on()
        except Superseded:
            if not self.was_paused():
                raise

    def was_paused(self) -> bool:
        """Whether a pause is what has ended this epoch, and nobody works on the same yet."""
        try:
            now = self.services.store.migration(self.migration.id)
        except StateStoreUnavailable:
            return False
        return was_paused_at(now, self.migration.epoch)

    def _load_again(self, error: TransientError) -> None:
        """A restarted Milvus forgets what was loaded, and a large target is not loaded at first."""
        if not isinstance(error, CollectionNotLoaded):
            return
        try:
            self.services.vectors.load(error.details["collection"])
        except TransientError as failure:
            log.warning("loading_failed", reason=failure.message)

    def _tell(self, waiting_for: str | None) -> None:
        try:
            self.services.store.wait_for(self.migration.id, self.migration.epoch, waiting_for)
        except TransientError as error:  # PostgreSQL itself may be what is waited for
            log.warning("note_failed", reason=error.message)

    def wait(self, seconds: float) -> None:
        """Sleep in slices short enough to notice a cancel, and the worker's end, in a second.

        Raises:
            Superseded, TimedOut, PutDown.
        """
        clock = self.services.clock
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > 0:
            self.must_go_on()
            self._put_down_if_ending()
            clock.sleep(min(left, 0.5))

    def _put_down_if_ending(self) -> None:
        if self.services.ending.is_set():
            raise PutDown

    # --- calling a provider: see migrations.embedding.work --------------------------

    @property
    def max_retries(self) -> int:
        return self.migration.config.max_retries

    @property
    def retry_delay(self) -> float:
        return self.migration.config.retry_delay

    def ticket(self, provider: str, estimated_tokens: int) -> Ticket:
        limiter = self.services.limiter
        return limiter.ticket(provider, estimated_tokens, migration_id=self.migration.id)

    def pay(self, ref: EmbeddingRef, purpose: str, tokens: int) -> None:
        """Waits for PostgreSQL; tries once also when the run has ended meanwhile: it is billed."""
        store, paid_by = self.services.store, self.migration.id

        def record() -> None:
            store.record_spend(paid_by, ref.provider, ref.model, purpose, tokens)

        try:
            record()
        except TransientError:
            self.patiently(record)

    def wait_for_turn(self, seconds: float, purpose: str) -> None:
        """Raises Postponed: a batch is put off in the end; phases are waited for."""
        if purpose == BATCHES:
            left = LONGEST_WAIT_SECONDS - self.waited_for_limit_seconds
            if left <= 0:
                raise Postponed
            seconds = min(seconds, left)
        self.waited_for_limit_seconds += seconds
        self.wait(seconds)

    def put_off(self, seconds: float, purpose: str) -> None:
        """Raises Postponed for a batch that would have to wait too long."""
        if purpose == BATCHES and seconds > LONGEST_WAIT_SECONDS - self.waited_for_limit_seconds:
            raise Postponed
