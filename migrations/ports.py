"""The outside world as the domain sees it: one Protocol per thing.

Adapters implement these and translate every vendor exception into one of
``migrations.model.errors``. Each Protocol has a fake in ``tests/fakes`` and a
contract suite that runs on the fake and on the real thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from migrations.limits import Purpose, Ticket
from migrations.model.chunks import (
    ALL_KEYS,
    Chunk,
    CollectionSchema,
    Content,
    Embedded,
    Hit,
    IndexState,
    Key,
    KeyRange,
    Vectors,
)
from migrations.model.config import EmbeddingRef

#: A point in time as the vector store understands it; nobody else looks inside.
Moment = Mapping[str, Any]


class VectorStore(Protocol):
    """Milvus. Every call has a timeout; reads that must see all writes say ``strong``.

    All methods raise VectorStoreUnavailable for what passes and
    VectorStoreRefused for what does not; those that take a collection raise
    CollectionNotFound when it is gone.
    """

    def ping(self) -> str:
        """The server's version."""
        ...

    def exists(self, collection: str) -> bool: ...

    def describe(self, collection: str) -> CollectionSchema:
        """The schema behind a collection or alias; ``name`` is the physical name."""
        ...

    def create_like(
        self, source: CollectionSchema, name: str, dimension: int, owner_tag: str
    ) -> CollectionSchema:
        """Create ``name`` with the source's schema, another dimension and its indexes.

        It can be written to at once and need not be loaded. ``owner_tag`` is kept by the
        server with the collection, see :meth:`owner_tag`.
        A collection that exists already with the same tag is adopted.

        Raises:
            ForeignCollection: ``name`` exists with another tag or none.
        """
        ...

    def owner_tag(self, collection: str) -> str | None:
        """The tag given to :meth:`create_like`, None for a collection not made by it."""
        ...

    def drop(self, collection: str) -> None:
        """Drop a physical collection; one that is gone already is no error."""
        ...

    def is_loaded(self, collection: str) -> bool: ...

    def begin_loading(self, collection: str) -> None:
        """Ask for it to be loaded and do not wait; it can be written to meanwhile."""
        ...

    def load(self, collection: str) -> None:
        """Return once it can be read."""
        ...

    def release(self, collection: str) -> None:
        """Take it out of memory; it can be loaded again and cannot be read until then."""
        ...

    def flush(self, collection: str) -> None:
        """Return when everything acknowledged so far would survive a crash of the server."""
        ...

    def is_flushed_before_read(self) -> bool:
        """Whether rows that are not flushed are so slow to read that flushing them comes first."""
        ...

    def index_state(self, collection: str) -> IndexState:
        """Of the vector index, whether loaded or not; only flushed rows are certain to count."""
        ...

    def resolve_alias(self, alias: str) -> str | None:
        """The physical collection an alias points to, None when there is no such alias."""
        ...

    def point_alias(self, alias: str, collection: str) -> None:
        """Make the alias, or move it."""
        ...

    def aliases_of(self, collection: str) -> list[str]: ...

    def count(
        self, collection: str, within: KeyRange = ALL_KEYS, *, as_of: Moment | None = None
    ) -> int:
        """Live rows in the range, strongly consistent."""
        ...

    def moment(self) -> Moment:
        """Now. Reads as of it see every write acknowledged before it, perhaps later ones too.

        A read that brings none sees every write acknowledged before its own beginning;
        on some engines it waits for that, so many short reads had better share one.
        """
        ...

    def lately(self) -> Moment:
        """Two seconds ago: reads as of it hardly ever wait, and may miss what came since.

        Only for those whose later looks find what they have missed.
        """
        ...

    def scan_keys(
        self,
        schema: CollectionSchema,
        within: KeyRange = ALL_KEYS,
        *,
        page_size: int = 10_000,
        as_of: Moment | None = None,
    ) -> Iterator[list[Key]]:
        """Every key of the range in ascending order, in pages, strongly consistent.

        Raises:
            ScanInconsistent: the engine's pages and its own count disagree.
        """
        ...

    def scan(
        self,
        schema: CollectionSchema,
        within: KeyRange = ALL_KEYS,
        *,
        page_size: int = 4000,
        with_vectors: bool = False,
        repeated: bool = False,
        as_of: Moment | None = None,
    ) -> Iterator[list[Chunk]]:
        """Every chunk of the range in ascending key order; otherwise as :meth:`scan_keys`.

        ``repeated``: a key that stands more than once is no error, all its rows come.
        """
        ...

    def read(
        self,
        schema: CollectionSchema,
        within: KeyRange,
        *,
        with_vectors: bool = False,
        strong: bool = False,
    ) -> list[Chunk]:
        """The chunks of one batch-sized range, in key order."""
        ...

    def fetch(
        self,
        schema: CollectionSchema,
        keys: Sequence[Key],
        *,
        with_vectors: bool = False,
        as_of: Moment | None = None,
    ) -> list[Chunk]:
        """The chunks of these keys that exist, in key order, strongly consistent.

        Of a key that stands more than once all rows come.
        """
        ...

    def upsert(self, schema: CollectionSchema, chunks: Sequence[Chunk], vectors: Vectors) -> None:
        """Write each chunk's fields with the vector of the same position.

        Keys are distinct within one call; ``vectors`` has shape (len(chunks), dimension).
        """
        ...

    def delete(self, schema: CollectionSchema, keys: Sequence[Key]) -> None: ...

    def search(
        self,
        schema: CollectionSchema,
        vectors: Vectors,
        *,
        limit: int,
        output_fields: Sequence[str],
        as_of: Moment | None = None,
    ) -> list[list[Hit]]:
        """The nearest chunks of each vector, best first, strongly consistent."""
        ...


class Embedder(Protocol):
    """One model of one provider at one dimension."""

    @property
    def ref(self) -> EmbeddingRef: ...

    def requests(self, texts: Sequence[str]) -> Sequence[slice]:
        """How :meth:`embed` would cut these texts into requests the provider takes."""
        ...

    def embed(self, texts: Sequence[str]) -> Embedded:
        """One request (or a few) for these texts; float32, finite, non-zero, in order.

        Raises:
            TextRefused: the provider answers 400 for this input.
            ProviderAuthenticationFailed, ProviderQuotaExhausted, UnknownModel.
            DimensionMismatch, InvalidVectors.
            ProviderRateLimited, ProviderUnavailable: try again.
        """
        ...

    def ask(self, texts: Sequence[str]) -> Callable[[], Embedded]:
        """As :meth:`embed`, in two steps: return with the answer, unread, and read it when called.

        Reading takes nothing of the provider, so the next may ask meanwhile. Each step
        raises what :meth:`embed` raises.
        """
        ...


@dataclass(frozen=True)
class ModelInfo:
    """A known model. ``price_per_million_tokens_usd`` is 0 for a local model."""

    provider: str
    model: str
    default_dimension: int
    #: Dimensions it can be asked for; None means any from 1 to the default.
    dimensions: tuple[int, ...] | None
    max_input_tokens: int
    price_per_million_tokens_usd: float | None

    def supports(self, dimension: int) -> bool:
        if self.dimensions is None:
            return 1 <= dimension <= self.default_dimension
        return dimension in self.dimensions


class Embedders(Protocol):
    """All configured providers."""

    def get(self, ref: EmbeddingRef) -> Embedder:
        """The embedder of a model, one per process.

        Raises:
            UnknownProvider, ProviderKeyMissing, InvalidConfiguration (a dimension
            the catalogue knows the model cannot give).
        """
        ...

    def providers(self) -> Mapping[str, bool]:
        """Names of all providers, and whether each has its key."""
        ...

    def known(self, provider: str, model: str) -> ModelInfo | None:
        """The catalogue's entry, None for a model it does not list."""
        ...

    def catalogue(self) -> tuple[ModelInfo, ...]:
        """Every known model of the configured providers."""
        ...

    def find_dimension(self, provider: str, model: str) -> int:
        """The model's own dimension: from the catalogue, else by asking the model.

        Raises:
            UnknownProvider, UnknownModel, ProviderKeyMissing and what ``embed`` raises.
        """
        ...

    def count_tokens(self, provider: str, model: str, text: str) -> int:
        """Tokens of a text, an estimate where the model's tokenizer is not at hand."""
        ...


@dataclass(frozen=True)
class Plan:
    """The header of a migration's checkpoint: how the key space was cut into batches."""

    batch_size: int
    total_chunks: int
    total_batches: int
    #: False while the planning scan is still appending borders.
    complete: bool


@dataclass(frozen=True)
class Counters:
    """Sums over finished slices of batches, in chunks (tokens in tokens)."""

    processed: int = 0
    failed: int = 0
    skipped: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint at one moment; ``done`` counts batches."""

    plan: Plan
    counters: Counters
    done: int


#: What a batch has read that does not say.
NOTHING = Content()


class Checkpoints(Protocol):
    """Redis: what a run needs to go on, and nothing that cannot be found out again.

    Methods raise CheckpointsUnavailable when Redis does not answer and
    CheckpointsLost when the plan they need is gone.
    """

    def ping(self) -> None: ...

    def start_plan(self, migration_id: UUID, batch_size: int) -> None:
        """Forget any earlier plan and begin an empty one."""
        ...

    def append_borders(self, migration_id: UUID, borders: Sequence[Key], chunks: int) -> None:
        """Add batches by the last key of each; ``chunks`` is the number they hold together."""
        ...

    def seal_plan(self, migration_id: UUID) -> Plan: ...

    def plan(self, migration_id: UUID) -> Plan | None: ...

    def batch_ranges(self, migration_id: UUID, first: int, count: int) -> list[KeyRange]:
        """The key ranges of ``count`` neighbouring batches; of fewer where the plan ends."""
        ...

    def undone(self, migration_id: UUID, start: int, limit: int) -> list[int]:
        """The first ``limit`` batches from index ``start`` on that are not done."""
        ...

    def done_count(self, migration_id: UUID) -> int: ...

    def note_slice(self, migration_id: UUID, batch: int, counters: Counters) -> None:
        """Progress within a batch that is not finished (replaces the batch's earlier note)."""
        ...

    def mark_done(
        self,
        migration_id: UUID,
        batch: int,
        counters: Counters,
        *,
        worked: KeyRange | None = None,
        read: Content = NOTHING,
    ) -> bool:
        """Mark the batch; False, and nothing counted, when it was marked before.

        ``read`` is what the batch found in the source, see :meth:`content_read`.

        ``worked`` is the range that is in the target now. When it is given and
        the plan has another range for this batch, the batch was planned anew
        meanwhile and is not marked.

        Raises:
            CheckpointsLost: the plan is gone or is not the one that was worked.
        """
        ...

    def counters(self, migration_id: UUID) -> Counters: ...

    def snapshot(self, migration_id: UUID) -> Snapshot:
        """The plan, the counters and the number of batches done, of one moment."""
        ...

    def content_read(self, migration_id: UUID) -> Content:
        """What all batches that are done have read from the source, added up."""
        ...

    def claim(self, migration_id: UUID, what: str) -> bool:
        """True for exactly one caller per name."""
        ...

    def lease(
        self, migration_id: UUID, epoch: int, batch: int, seconds: int
    ) -> AbstractContextManager[bool]:
        """Hold a batch; yields False when somebody else holds it, or its epoch is closed.

        Released on exit.
        """
        ...

    def close_epochs(self, migration_id: UUID, below: int) -> None:
        """From now on no batch of an epoch below this one gets a lease."""
        ...

    def in_flight(self, migration_id: UUID) -> int:
        """Batches of any epoch that hold a lease now."""
        ...

    def forget(self, migration_id: UUID) -> None:
        """Remove every key of the migration."""
        ...


class RateLimiter(Protocol):
    """Spreads calls over a provider's limit, one limit per provider and key for all workers.

    For each real request: a ticket, ``acquire`` until it answers 0, the request,
    ``settle``. Nothing here raises; while the shared state is away each process
    keeps to a part of the limit that is its own. The rules: ``adapters/limiter_scripts.py``.
    """

    def ticket(
        self,
        provider: str,
        estimated_tokens: int,
        *,
        migration_id: UUID | None = None,
        purpose: Purpose = "migration",
    ) -> Ticket:
        """A call to be made; the estimate is corrected by what such estimates came to."""
        ...

    def acquire(self, ticket: Ticket) -> float:
        """Seconds to wait before showing the same ticket again; 0: make the call now.

        A ticket that is not shown again within a second of its time is given up.
        """
        ...

    def settle(self, ticket: Ticket, tokens: int) -> None:
        """The call was made and took ``tokens`` (the provider's usage)."""
        ...

    def learn(self, provider: str, headers: Mapping[str, str]) -> None:
        """Limits and what is left of them, from the headers of an answer."""
        ...

    def refused(self, provider: str) -> None:
        """The provider answered that its limit is reached."""
        ...

    def pause(self, provider: str, seconds: float) -> None:
        """The provider asked everybody to wait; a longer pause in force stays."""
        ...


class Dispatcher(Protocol):
    """Celery, by task name. Sending twice is harmless; the watchdog makes up for a lost message."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Publish one outbox message, see :mod:`migrations.model.messages`."""
        ...

    def waiting(self) -> int:
        """Batches that no worker has taken yet. Raises CheckpointsUnavailable."""
        ...


class Clock(Protocol):
    """Time, so that tests need not wait."""

    def now(self) -> datetime:
        """Aware, UTC."""
        ...

    def sleep(self, seconds: float) -> None: ...

    def monotonic(self) -> float: ...
