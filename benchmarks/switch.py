"""switch: how long reads and writes are affected when the bot is switched.

A reader and a writer take (collection, model, dimension) from the bot's row for
every question and every write, as our own clients do, and note what failed. The
collection is moved once and then back and forth by rollbacks, which embed
nothing, so that the switch is seen often enough.

* switch: from its recorded intent until the alias has followed.
* reads_affected, writes_affected: around each failed call, from the last good
  one before it to the first good one after it; 0 when none failed.
* slowest_read, slowest_write: the longest call that began within a second of
  the switch, against the median of all calls.
* last_catch_up: from the beginning of the finalization phase to that intent. What
  a foreign writer writes to the old collection in this time, and until it has
  heard of the switch, is found by the sweeps afterwards.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import psycopg2
from pymilvus import MilvusClient

from benchmarks.figures import Figure, figure, median
from benchmarks.lab import Lab
from benchmarks.runs import Bot, Run, seconds_between
from benchmarks.site import Site
from benchmarks.source import TIMEOUT_SECONDS, key_of, texts
from devstack.provider import vectors_for
from migrations.adapters.milvus.client import CHANNEL_OPTIONS

PAUSE_SECONDS = 0.01
#: The chunk that is asked for and written again as it is, so that nothing has to be caught up.
_CHUNK = 7
_AROUND_SECONDS = 1.0


@dataclass(frozen=True)
class Call:
    """One read or write, in seconds of the clock on the wall."""

    began: float
    ended: float
    error: str | None

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True)
class _Seen:
    """Milliseconds, but for ``last_catch_up`` in seconds."""

    switch: float
    reads_affected: float
    writes_affected: float
    slowest_read: float
    slowest_write: float
    median_read: float
    median_write: float
    last_catch_up: float


def switch(lab: Lab) -> list[Figure]:
    site, scale = lab.site(), lab.scale
    by_size = {chunks: _measured(site, chunks) for chunks in scale.switch}
    smallest, *larger = by_size
    found: list[Figure] = []
    for chunks in larger:
        name = "switch" if chunks == max(by_size) else f"switch.{chunks}"
        found += _figures(name, by_size[chunks], by_size[smallest])
    return found


def _figures(name: str, seen: list[_Seen], small: list[_Seen]) -> list[Figure]:
    def against(what: str, unit: str, baseline: str, of: list[_Seen]) -> Figure:
        values = [getattr(one, what) for one in seen]
        full = name if what == "switch" else f"{name}.{what}"
        return figure(full, values, unit, [getattr(one, baseline) for one in of])

    return [
        against("switch", "ms", "switch", small),
        against("reads_affected", "ms", "reads_affected", small),
        against("writes_affected", "ms", "writes_affected", small),
        against("slowest_read", "ms", "median_read", seen),
        against("slowest_write", "ms", "median_write", seen),
        against("last_catch_up", "s", "last_catch_up", small),
    ]


def _measured(site: Site, chunks: int) -> list[_Seen]:
    """Forward once, then back and forth again."""
    site.renew()
    source = site.source(chunks, site.scale.small_from)
    bot = site.bot(source)
    run = bot.start(site.scale.small_to, site.scale.batch_size)
    # The fewer chunks, the sooner verification is over, and the switch must not be missed.
    run.wait_for(lambda progress: progress["phase"] == "verification", min(0.2, chunks / 100_000))
    found = [_watched(site, bot, run)]
    while len(found) < site.scale.repeat:
        run = run.roll_back()
        found.append(_watched(site, bot, run))
    return found


def _watched(site: Site, bot: Bot, run: Run) -> _Seen:
    with ExitStack() as stack:
        reader, writer, alias = (
            stack.enter_context(Caller(site, bot, what)) for what in (read, _write, resolve)
        )
        last = run.completed(0.1)
        time.sleep(_AROUND_SECONDS)
    events = {name: at for name, what, at in site.events(run.id) if what != "validation"}
    switched = events["switched"].timestamp()
    followed = next(c.ended for c in alias.calls if c.error is None and c.began > switched)
    phases = {item["phase"]: item for item in last["phases"]}
    return _Seen(
        switch=1000 * (followed - events["switch_begun"].timestamp()),
        reads_affected=1000 * affected_seconds(reader.calls),
        writes_affected=1000 * affected_seconds(writer.calls),
        slowest_read=1000 * _slowest(reader.calls, switched),
        slowest_write=1000 * _slowest(writer.calls, switched),
        median_read=1000 * median(call.seconds for call in reader.calls),
        median_write=1000 * median(call.seconds for call in writer.calls),
        last_catch_up=seconds_between(phases["finalization"]["started_at"], events["switch_begun"]),
    )


def affected_seconds(calls: Sequence[Call]) -> float:
    """The time in which no call was known to succeed, summed over all spells of failures."""
    total, good_until, failing = 0.0, calls[0].began if calls else 0.0, False
    for call in calls:
        if call.error is not None:
            failing = True
            continue
        if failing:
            total += call.ended - good_until
        good_until, failing = call.ended, False
    return total + (calls[-1].ended - good_until if failing else 0.0)


def _slowest(calls: Sequence[Call], switched: float) -> float:
    return max(c.seconds for c in calls if abs(c.began - switched) <= _AROUND_SECONDS)


# --- what is called -------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    collection: str
    model: str
    dimension: int


#: Does one thing to the bot's pair; raises when it went wrong.
Act = Callable[[MilvusClient, Bot, Pair], None]


def read(milvus: MilvusClient, _: Bot, pair: Pair) -> None:
    question = vectors_for(pair.model, texts(_CHUNK, _CHUNK + 1), pair.dimension)
    hits = milvus.search(pair.collection, data=list(question), limit=1, timeout=TIMEOUT_SECONDS)[0]
    if not hits:
        raise LookupError("no answer")


def _write(milvus: MilvusClient, _: Bot, pair: Pair) -> None:
    found = texts(_CHUNK, _CHUNK + 1)
    row: dict[str, Any] = {
        "id": key_of(_CHUNK),
        "text": found[0],
        "source": "page-0",
        "vector": vectors_for(pair.model, found, pair.dimension)[0],
    }
    milvus.upsert(pair.collection, [row], timeout=TIMEOUT_SECONDS)


def resolve(milvus: MilvusClient, bot: Bot, pair: Pair) -> None:
    """Fails while the alias has not followed the pair."""
    actual = milvus.describe_alias(bot.alias, timeout=TIMEOUT_SECONDS)["collection_name"]
    if actual != pair.collection:
        raise LookupError(f"the alias still points to {actual}")


class Caller:
    """Calls again and again with the bot's pair as it is then; a context manager with a thread."""

    def __init__(
        self, site: Site, bot: Bot, act: Act, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self.calls: list[Call] = []
        self._pause_seconds = pause_seconds
        self._bot = bot
        self._act = act
        self._database_url = site.postgres.url.replace("+psycopg2", "")
        self._milvus_url = site.milvus_server.url
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._thread.join(2 * TIMEOUT_SECONDS)

    def _run(self) -> None:
        milvus = MilvusClient(
            uri=self._milvus_url,
            timeout=TIMEOUT_SECONDS,
            dedicated=True,
            grpc_options=CHANNEL_OPTIONS,
        )
        connection = psycopg2.connect(self._database_url)
        connection.autocommit = True
        try:
            while not self._stopped.wait(self._pause_seconds):
                self._call(milvus, connection)
        finally:
            connection.close()
            milvus.close()

    def _call(self, milvus: MilvusClient, connection: psycopg2.extensions.connection) -> None:
        began, error = time.time(), None
        try:
            self._act(milvus, self._bot, self._pair(connection))
        except Exception as failure:  # whatever it is, it is what a user would meet
            error = f"{type(failure).__name__}: {failure}"
        self.calls.append(Call(began, time.time(), error))

    def _pair(self, connection: psycopg2.extensions.connection) -> Pair:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT live_collection, model, dimension FROM bots WHERE bot_id = %s",
                [self._bot.bot_id],
            )
            found = cursor.fetchone()
        assert found is not None, "the bot is gone"
        return Pair(*found)
