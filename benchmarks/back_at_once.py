"""back_at_once: how long it takes to be back, with a rollback that switches first and without.

A reader and a writer take (collection, model, dimension) from the bot's row, as our own clients
do; the writer inserts and changes chunks, fourteen a second, before, during and after. The bot
goes forward once, then back with ``mode: now``, there again with ``mode: complete``, and so on.

* back_at_once: from the request until the bot's row says the old pair; beside it the same with
  ``mode: complete``, which carries over first what was written since.
* alias: the same until the alias has followed.
* carried: until the run has ended, with everything that was written before on the old side.
* longest_pause: of a reader between two good answers, from the request until the run has ended,
  without its own pause; beside it the longest before the request, while only the writer writes.
* rows: how many were carried over.
* lost: acknowledged writes that are not on the live side a minute later; it must be 0.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pymilvus import MilvusClient

from benchmarks.figures import Figure, figure
from benchmarks.lab import Lab
from benchmarks.runs import Bot, Run, seconds_between
from benchmarks.site import Site
from benchmarks.source import TIMEOUT_SECONDS, key_of, texts
from benchmarks.switch import PAUSE_SECONDS, Call, Caller, Pair, read, resolve
from devstack.provider import vectors_for

WRITES_PER_SECOND = 14
#: Late writes are looked for thirty seconds after a run's end.
_ARRIVE_SECONDS = 60.0
_AROUND_SECONDS = 1.0
_KEYS_AT_ONCE = 500


@dataclass(frozen=True)
class _Seen:
    """Seconds, but for ``rows`` and ``lost``."""

    back: float
    alias: float
    carried: float
    longest_pause: float
    longest_before: float
    rows: int
    lost: int


@dataclass
class _Writes:
    """What was acknowledged: the text of each key as it was written last."""

    chunks: int
    made: int = 0
    texts: dict[str, str] = field(default_factory=dict)

    def __call__(self, milvus: MilvusClient, _: Bot, pair: Pair) -> None:
        """A new chunk and a changed one, in turns; each key is written once."""
        self.made += 1
        number = self.chunks + self.made if self.made % 2 else self.made % self.chunks
        (text,) = texts(self.chunks + self.made, self.chunks + self.made + 1)
        row: dict[str, Any] = {
            "id": key_of(number),
            "text": text,
            "source": "written",
            "vector": vectors_for(pair.model, [text], pair.dimension)[0],
        }
        milvus.upsert(pair.collection, [row], timeout=TIMEOUT_SECONDS)
        self.texts[key_of(number)] = text


def back_at_once(lab: Lab) -> list[Figure]:
    site, scale = lab.site(), lab.scale
    found: list[Figure] = []
    for chunks in scale.back_at_once:
        largest = chunks == max(scale.back_at_once)
        name = "back_at_once" if largest else f"back_at_once.{chunks}"
        found += _figures(name, *_measured(site, chunks))
    return found


def _figures(name: str, at_once: list[_Seen], complete: list[_Seen]) -> list[Figure]:
    def against(what: str, unit: str, attribute: str, factor: float = 1.0) -> Figure:
        return figure(
            f"{name}{what}",
            [factor * getattr(one, attribute) for one in at_once],
            unit,
            [factor * getattr(one, attribute) for one in complete],
        )

    pauses = [1000 * one.longest_pause for one in at_once]
    before = [1000 * one.longest_before for one in at_once]
    return [
        against("", "s", "back"),
        against(".alias", "s", "alias"),
        against(".carried", "s", "carried"),
        figure(f"{name}.longest_pause", pauses, "ms", before),
        against(".rows", "rows", "rows"),
        against(".lost", "rows", "lost"),
    ]


def _measured(site: Site, chunks: int) -> tuple[list[_Seen], list[_Seen]]:
    """With the switch first, and without."""
    site.renew()
    bot = site.bot(site.source(chunks, site.scale.small_from))
    run = bot.start(site.scale.small_to, site.scale.batch_size)
    run.completed()
    writes = _Writes(chunks)
    at_once: list[_Seen] = []
    complete: list[_Seen] = []
    while len(complete) < site.scale.repeats_of(chunks):
        for mode, seen in (("now", at_once), ("complete", complete)):
            run, one = _watched(site, bot, run, mode, writes)
            seen.append(one)
    return at_once, complete


def _watched(site: Site, bot: Bot, run: Run, mode: str, writes: _Writes) -> tuple[Run, _Seen]:
    with ExitStack() as stack:
        stack.enter_context(Caller(site, bot, writes, 1 / WRITES_PER_SECOND))
        reader, alias = (stack.enter_context(Caller(site, bot, what)) for what in (read, resolve))
        time.sleep(site.scale.back_writes_seconds)
        back = run.roll_back(mode)
        last = back.completed(0.1)
        time.sleep(_AROUND_SECONDS)
    switched = next(at for name, _, at in site.events(back.id) if name == "switched")
    followed = next(
        call.ended
        for call in alias.calls
        if call.error is None and call.began > switched.timestamp()
    )
    asked = back.asked_at.timestamp()
    seen = _Seen(
        back=seconds_between(back.asked_at, switched),
        alias=followed - asked,
        carried=seconds_between(back.asked_at, last["finished_at"]),
        longest_pause=longest_pause([c for c in reader.calls if c.ended >= asked]),
        longest_before=longest_pause([c for c in reader.calls if c.ended < asked]),
        rows=_carried_rows(site, back),
        lost=_lost(site, bot, writes),
    )
    return back, seen


def longest_pause(calls: Sequence[Call]) -> float:
    """Seconds between the ends of two good answers, beyond the reader's own pause, the longest."""
    good = [call.ended for call in calls if call.error is None]
    return max(later - earlier for earlier, later in pairwise(good)) - PAUSE_SECONDS


def _carried_rows(site: Site, run: Run) -> int:
    """What it has embedded for the side that it went to, which is what it had to write."""
    ((rows,),) = site.select("SELECT count(*) FROM written_rows WHERE migration_id = %s", run.id)
    return int(rows)


def _lost(site: Site, bot: Bot, writes: _Writes) -> int:
    """Writes that are still not on the live side when sweeps have had their time."""
    deadline = time.monotonic() + _ARRIVE_SECONDS
    while (missing := _missing(site, bot, writes)) and time.monotonic() < deadline:
        time.sleep(1.0)
    return missing


def _missing(site: Site, bot: Bot, writes: _Writes) -> int:
    collection, keys = bot.live_collection(), list(writes.texts)
    found: dict[str, str] = {}
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        rows = site.milvus.get(
            collection,
            keys[start : start + _KEYS_AT_ONCE],
            output_fields=["text"],
            consistency_level="Strong",
            timeout=TIMEOUT_SECONDS,
        )
        found |= {row["id"]: row["text"] for row in rows}
    return sum(found.get(key) != text for key, text in writes.texts.items())
