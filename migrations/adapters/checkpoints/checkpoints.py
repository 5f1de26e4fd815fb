"""Checkpoints in Redis: how a run goes on where another worker left it.

**Order of writes: the target first, then the mark.** A batch's vectors are
upserted and acknowledged by the vector store before its bit is set here. A
death between the two leaves a batch that is done and not marked; it is looked
at again, its chunks are found in the target, and nothing is embedded twice. The
other order would leave a batch marked and not done: chunks silently missing. So
a checkpoint may lag reality and must never lead it. Three things guard the
second half of that sentence:

* a mark names the key range that was worked, and is refused when the plan has
  another range under that number now (a worker that outlived its plan);
* borders are appended only by the instance that started the plan, in ascending
  order, each page once, whatever replies get lost;
* the parts of a plan are checked against each other in the same atomic step
  that uses them. A plan that has lost a part is no plan.

Everything here can be found out again from PostgreSQL and the target, so losing
it costs a planning scan. Nothing may be stored here of which that is not true.

**Size.** A batch costs one list entry (its last key; Redis packs an INT64 into 9
bytes) and one bit. Measured with MEMORY USAGE over all keys of a migration, Redis
6.2.14, 20,000 batches of 50: 0.45 bytes per chunk with 20-character keys, 0.21 with
INT64 keys. The contract tests hold it below 4.

**Keys** are ``reembed:{<migration id>}:<part>``; the braces put all parts of one
migration on one node of a Redis Cluster, so the scripts may touch them together.
The plan's keys expire two weeks after the last border or mark, the others two weeks after
their last use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import structlog
from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.retry import Retry

from migrations.adapters.checkpoints import scripts
from migrations.model.chunks import CONTENT_DIGESTS, Content, Key, KeyRange
from migrations.model.errors import CheckpointsLost, CheckpointsUnavailable
from migrations.ports.checkpoints import NOTHING, Condition, Counters, Lately, Plan, Snapshot

log = structlog.get_logger(__name__)

KEEP_SECONDS = 14 * 24 * 3600

PLAN_PARTS = ("plan", "borders", "done", "tally")
#: Chunks by the time they were moved at; goes by itself, and a plan is one without it.
PACE_PART = "pace"
OTHER_PARTS = ("claims", "leases", "holders")

#: Bytes of the bitmap fetched at once when looking for undone batches: 32,768 of them.
WINDOW_BYTES = 4096

#: Redis adds up signed 64-bit numbers: two sums of 31 bits a batch leave room for 2^32 batches.
HALF_A_DIGEST = 2**31
NO_EVICTION = "noeviction"

#: Written to see whether writes are taken.
PROBE, PROBE_SECONDS = "reembed:probe", 60


@dataclass
class _Planning:
    """A plan that this instance is building."""

    token: str
    batches: int = 0
    last: Key | None = None


class RedisCheckpoints:
    """Checkpoints of all migrations in one Redis.

    The connection is made at the first call and belongs to the process that
    made it; a fork gets its own. A call takes at most about twice
    ``timeout_seconds`` (one retry, so that a restarted Redis goes unnoticed).

    A call that raises CheckpointsUnavailable may or may not have taken effect.
    Repeating it is harmless, except that a ``claim`` may then be won by nobody;
    the watchdog drives such a migration again under a new epoch.
    """

    def __init__(self, redis_url: str, *, timeout_seconds: float = 5.0) -> None:
        self._redis: Redis = Redis.from_url(
            redis_url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 1),
            health_check_interval=30,
        )
        self._planning: dict[UUID, _Planning] = {}
        self._scripts: dict[str, Any] = {}

    def ping(self) -> None:
        with _translated():
            self._redis.ping()

    def eviction_policy(self) -> str | None:
        with _translated():
            memory = self._redis.info("memory")  # a hosted Redis does not answer CONFIG
        return _evicts_by(memory)

    def condition(self) -> Condition:
        with _translated():
            told = self._redis.info()
        return Condition(
            version=str(told["redis_version"]),
            evicts_by=_evicts_by(told),
            refusal=self._refusal(),
            memory_share=told["used_memory"] / told["maxmemory"] if told["maxmemory"] else 0.0,
            keeps_on_disk=bool(told["aof_enabled"]) or self._saves(),
        )

    def _refusal(self) -> str | None:
        try:
            self._redis.set(PROBE, 1, ex=PROBE_SECONDS)
        except (ResponseError, OutOfMemoryError, ReadOnlyError) as error:
            return _words(error)
        except RedisError as error:
            raise CheckpointsUnavailable(f"Redis does not answer: {error}") from error
        return None

    def _saves(self) -> bool:
        """Whether snapshots are made by rules; a hosted Redis does not answer CONFIG."""
        try:
            return bool(self._redis.config_get("save").get("save"))
        except ResponseError:
            return True  # nobody says that it does not

    # --- the plan ---------------------------------------------------------------

    def start_plan(self, migration_id: UUID, batch_size: int) -> None:
        """Forget any earlier plan and begin an empty one, built by this instance only."""
        planning = _Planning(token=uuid4().hex)
        self._on_plan(scripts.START_PLAN, migration_id, planning.token, batch_size, KEEP_SECONDS)
        self._planning[migration_id] = planning

    def append_borders(self, migration_id: UUID, borders: Sequence[Key], chunks: int) -> None:
        """Add batches by the last key of each; ``chunks`` is the number they hold together.

        Raises:
            CheckpointsLost: another instance has begun the plan anew, or it is sealed.
            ValueError: the borders do not ascend.
            TypeError: str and int are mixed.
        """
        planning = self._planning_of(migration_id)
        if not borders:
            return
        _check_ascending(planning.last, borders)
        self._on_plan(
            scripts.APPEND_BORDERS,
            migration_id,
            planning.token,
            planning.batches,
            chunks,
            "int" if isinstance(borders[0], int) else "str",
            KEEP_SECONDS,
            *borders,
        )
        planning.batches += len(borders)
        planning.last = borders[-1]

    def seal_plan(self, migration_id: UUID) -> Plan:
        planning = self._planning.get(migration_id)
        token = planning.token if planning else ""
        header = self._on_plan(scripts.SEAL_PLAN, migration_id, token)
        self._planning.pop(migration_id, None)
        return _plan_of(header)

    def plan(self, migration_id: UUID) -> Plan | None:
        """The plan, None when there is none or a part of it is lost."""
        try:
            return _plan_of(self._on_plan(scripts.READ_PLAN, migration_id))
        except CheckpointsLost:
            return None

    def batch_ranges(self, migration_id: UUID, first: int, count: int) -> list[KeyRange]:
        """The key ranges of ``count`` neighbouring batches; of fewer where the plan ends.

        Raises:
            CheckpointsLost: the plan does not even have the first.
        """
        key_type, found = self._on_plan(scripts.BATCH_RANGES, migration_id, first, count)
        borders: list[Key | None] = [_key_of(key_type, border) for border in found]
        if first == 0:
            borders.insert(0, None)
        return [KeyRange(after, upto) for after, upto in pairwise(borders)]

    def _planning_of(self, migration_id: UUID) -> _Planning:
        planning = self._planning.get(migration_id)
        if planning is None:
            raise CheckpointsLost("The plan was not begun here; begin it again.")
        return planning

    # --- what is done -----------------------------------------------------------

    def undone(self, migration_id: UUID, start: int, limit: int) -> list[int]:
        """The first ``limit`` batches from index ``start`` on that are not done."""
        found: list[int] = []
        bit = max(0, start) + 1
        total = bit  # known after the first look
        while len(found) < limit and bit <= total:
            total, byte, done = self._on_plan(
                scripts.UNDONE_WINDOW, migration_id, bit, WINDOW_BYTES
            )
            window_start = max(bit, byte * 8)
            bit = min((byte + WINDOW_BYTES) * 8, total + 1)
            if window_start >= bit:
                break
            found += _clear_bits(done, byte * 8, window_start, bit, limit - len(found))
        return found

    def done_count(self, migration_id: UUID) -> int:
        return int(self._on_plan(scripts.DONE_COUNT, migration_id))

    def note_slice(self, migration_id: UUID, batch: int, counters: Counters) -> None:
        """Progress within a batch that is not finished (replaces the batch's earlier note)."""
        self._on_plan(scripts.NOTE_SLICE, migration_id, batch, *astuple(counters))

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

        Raises:
            CheckpointsLost: the plan is gone, or is another one in which this
                batch is not the range that was ``worked``.
        """
        marked = self._on_plan(
            scripts.MARK_DONE,
            migration_id,
            batch,
            *astuple(counters),
            *_range_arguments(worked),
            KEEP_SECONDS,
            read.chunks,
            *divmod(read.digest, HALF_A_DIGEST),
        )
        return bool(marked)

    def counters(self, migration_id: UUID) -> Counters:
        """Sums over finished batches and the notes of unfinished ones."""
        return _counters_of(self._on_plan(scripts.READ_TALLY, migration_id))

    def snapshot(self, migration_id: UUID) -> Snapshot:
        """All that a watcher asks for, in one step."""
        header, tally, done, moved, now = self._on_plan(scripts.SNAPSHOT, migration_id)
        return Snapshot(_plan_of(header), _counters_of(tally), int(done), _lately(moved, int(now)))

    def content_read(self, migration_id: UUID) -> Content:
        """What all batches that are done have read from the source, added up."""
        found = self._on_plan(scripts.READ_CONTENT, migration_id)
        # A plan that an older version began has none.
        chunks, high, low = (int(number or 0) for number in found)
        return Content(chunks, (high * HALF_A_DIGEST + low) % CONTENT_DIGESTS)

    # --- who is at work ---------------------------------------------------------

    def claim(self, migration_id: UUID, what: str) -> bool:
        """True for exactly one caller per name. Claims outlive a new plan."""
        keys = [_key(migration_id, "claims")]
        return bool(self._run(scripts.CLAIM, keys, what, uuid4().hex, KEEP_SECONDS))

    @contextmanager
    def lease(self, migration_id: UUID, epoch: int, batch: int, seconds: int) -> Iterator[bool]:
        """Hold a batch; yields False when somebody else holds it, or its epoch is closed.

        Released on exit.
        """
        keys = [_key(migration_id, "leases"), _key(migration_id, "holders")]
        name, token = f"{epoch}:{batch}", uuid4().hex
        held = self._run(scripts.TAKE_LEASE, keys, name, token, seconds * 1000, KEEP_SECONDS, epoch)
        try:
            yield bool(held)
        finally:
            if held:
                self._release(keys, name, token)

    def _release(self, keys: list[str], name: str, token: str) -> None:
        try:
            self._run(scripts.DROP_LEASE, keys, name, token)
        except CheckpointsUnavailable as error:
            # It expires by itself; what the body returned or raised matters more.
            log.warning("lease_not_released", lease=name, error=str(error))

    def close_epochs(self, migration_id: UUID, below: int) -> None:
        """From now on no batch of an epoch below this one gets a lease."""
        self._run(scripts.CLOSE_EPOCHS, [_key(migration_id, "holders")], below, KEEP_SECONDS)

    def in_flight(self, migration_id: UUID) -> int:
        """Batches of any epoch that hold a lease now."""
        return int(self._run(scripts.COUNT_LEASES, [_key(migration_id, "leases")]))

    def forget(self, migration_id: UUID) -> None:
        """Remove every key of the migration."""
        self._planning.pop(migration_id, None)
        with _translated():
            parts = (*PLAN_PARTS, PACE_PART, *OTHER_PARTS)
            self._redis.unlink(*(_key(migration_id, part) for part in parts))

    # --- Redis ------------------------------------------------------------------

    def _on_plan(self, script: str, migration_id: UUID, *arguments: Any) -> Any:
        keys = [_key(migration_id, part) for part in (*PLAN_PARTS, PACE_PART)]
        return self._run(script, keys, *arguments)

    def _run(self, script: str, keys: Sequence[str], *arguments: Any) -> Any:
        registered = self._scripts.get(script)
        if registered is None:
            registered = self._scripts[script] = self._redis.register_script(script)
        with _translated():
            return registered(keys=keys, args=arguments)


def _evicts_by(told: Mapping[str, Any]) -> str | None:
    policy = str(told["maxmemory_policy"])
    return policy if told["maxmemory"] and policy != NO_EVICTION else None


def _words(error: RedisError) -> str:
    """With the word before them by which Redis names its errors, which redis-py takes away."""
    said = str(error)
    if isinstance(error, OutOfMemoryError) and not said.startswith("OOM"):
        return f"OOM {said}"
    if isinstance(error, ReadOnlyError) and not said.startswith("READONLY"):
        return f"READONLY {said}"
    return said


def _key(migration_id: UUID, part: str) -> str:
    return f"reembed:{{{migration_id}}}:{part}"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ResponseError as error:
        if str(error).startswith("LOST "):
            raise CheckpointsLost(part=str(error)[5:]) from error
        raise CheckpointsUnavailable(f"Redis refuses: {error}") from error
    except RedisError as error:
        raise CheckpointsUnavailable(f"Redis does not answer: {error}") from error


def _check_ascending(last: Key | None, borders: Sequence[Key]) -> None:
    previous = last
    for border in borders:
        if previous is not None and not border > previous:  # type: ignore[operator]  # mixed types raise TypeError
            raise ValueError("Borders must ascend; the scan that yields them does not.")
        previous = border


def _plan_of(header: Sequence[bytes]) -> Plan:
    batch_size, total_chunks, total_batches, complete = (int(field) for field in header[:4])
    return Plan(batch_size, total_chunks, total_batches, bool(complete))


def _counters_of(flat: Sequence[bytes]) -> Counters:
    """From the tally's fields and values in turn."""
    tally = dict(zip(flat[::2], flat[1::2], strict=True))
    done = [int(tally[field.name.encode()]) for field in fields(Counters)]
    notes = [
        [int(number) for number in note.split()]
        for name, note in tally.items()
        if name.startswith(b"slice:")
    ]
    return Counters(*(sum(column) for column in zip(done, *notes, strict=True)))


def _lately(flat: Sequence[bytes], now: int) -> Lately:
    """From the steps and what was moved in them in turn."""
    first = now // scripts.PACE_STEP - scripts.PACE_STEPS + 1
    steps = zip(map(int, flat[::2]), map(int, flat[1::2]), strict=True)
    chunks = sum(moved for step, moved in steps if step >= first)
    return Lately(chunks, now - first * scripts.PACE_STEP)


def _key_of(key_type: bytes, border: bytes) -> Key:
    return int(border) if key_type == b"int" else border.decode()


def _range_arguments(worked: KeyRange | None) -> tuple[Key, ...]:
    if worked is None or worked.upto is None:
        return (0, 0, "", "")
    if worked.after is None:
        return (1, 0, "", worked.upto)
    return (1, 1, worked.after, worked.upto)


def _clear_bits(done: bytes, offset: int, start: int, stop: int, limit: int) -> list[int]:
    """Batches whose bit in [start, stop) is clear; ``done`` begins at bit ``offset``.

    Bits beyond the end of the bitmap were never set.
    """
    bits = np.zeros(stop - offset, dtype=np.uint8)
    known = np.unpackbits(np.frombuffer(done, dtype=np.uint8))[: stop - offset]
    bits[: len(known)] = known
    clear = np.flatnonzero(bits[start - offset :] == 0)[:limit]
    return [int(bit) for bit in clear + (start - 1)]
