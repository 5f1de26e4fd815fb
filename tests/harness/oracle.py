"""The judge: looks at the world after a run, without asking any of our own code.

Every finding is a sentence; none means that nothing was lost, doubled, made up,
embedded by another model or left behind.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import psycopg2
import psycopg2.extras
import redis
from pymilvus import MilvusClient

from migrations.model.config import EmbeddingRef
from tests.harness import rows
from tests.harness.writers import History

#: What a run may end as; anything else is still under way.
TERMINAL = frozenset({"completed", "rolled_back", "failed", "needs_operator"})
_ENDINGS = {
    "completed": "completed",
    "rolled_back": "rolled_back",
    "failed": "failed",
    "operator_needed": "needs_operator",
}
_TURNS = frozenset({"cancel_requested", "rollback_begun"})
#: Two answers of one model for one text, after a trip through Milvus.
_SAME = 1e-6
_SHOWN = 5
#: A worker that made its collection after the run was undone takes it back itself.
LATE_SECONDS = 10.0


class Oracle:
    """Judges one bot at a time; ``database_url`` as SQLAlchemy writes it."""

    def __init__(self, milvus: MilvusClient, database_url: str, redis_url: str) -> None:
        self._milvus = milvus
        self._database_url = database_url.replace("+psycopg2", "")
        self._redis = redis.Redis.from_url(redis_url)

    def close(self) -> None:
        self._redis.close()

    def assert_all_well(self, bot_id: str, history: History) -> None:
        found = self.findings(bot_id, history)
        assert not found, "\n".join([f"The bot {bot_id} is not well:", *found])

    def findings(self, bot_id: str, history: History) -> list[str]:
        """What is wrong, as sentences, once every run of the bot has ended."""
        (bot,) = self.select("SELECT * FROM bots WHERE bot_id = %s", bot_id)
        runs = self.select("SELECT * FROM migrations WHERE bot_id = %s ORDER BY created_at", bot_id)
        return [
            *self._of_the_alias(bot),
            *self._of_the_rows(bot, history),
            *(finding for run in runs for finding in self._of_the_run(run)),
            *self._of_the_collections(bot, runs),
        ]

    def select(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of PostgreSQL as it is now."""
        connection = psycopg2.connect(
            self._database_url, cursor_factory=psycopg2.extras.RealDictCursor
        )
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, [str(value) for value in values])
                return [dict(row) for row in cursor.fetchall()]
        finally:
            connection.close()

    def events(self, migration_id: str) -> list[dict[str, Any]]:
        return self.select(
            "SELECT * FROM migration_events WHERE migration_id = %s ORDER BY id", migration_id
        )

    # --- one matter each --------------------------------------------------------

    def _of_the_alias(self, bot: Mapping[str, Any]) -> Iterator[str]:
        actual = rows.points_to(self._milvus, bot["alias"])
        if actual != bot["live_collection"]:
            yield f"The alias points to {actual}, PostgreSQL says {bot['live_collection']}."

    def _of_the_rows(self, bot: Mapping[str, Any], history: History) -> Iterator[str]:
        possible = history.possible()
        name = bot["live_collection"]
        found = rows.read_all(self._milvus, name, list(possible))
        yield from _of_the_keys(found, possible, rows.count(self._milvus, name))
        told = {k: v for k, v in (bot.get("manner") or {}).items() if k != "collection"}
        ref = EmbeddingRef(
            provider=bot["provider"], model=bot["model"], dimension=bot["dimension"], **told
        )
        yield from wrongly_embedded(found, ref)

    def _of_the_run(self, run: Mapping[str, Any]) -> Iterator[str]:
        told = self.events(run["id"])
        endings = [event for event in told if event["name"] in _ENDINGS]
        name = f"Run {run['id']}"
        if run["status"] not in TERMINAL:
            yield f"{name} has not ended, it is {run['status']}."
        elif not endings or _ENDINGS[endings[-1]["name"]] != run["status"]:
            yield f"{name} is {run['status']} but last told {[e['name'] for e in endings]}."
        yield from _of_the_endings(name, told, endings)
        yield from self._of_the_leases(name, run)

    def _of_the_leases(self, name: str, run: Mapping[str, Any]) -> Iterator[str]:
        if run["runner"] is not None:
            yield f"{name} still has the runner {run['runner']}."
        key = f"reembed:{{{run['id']}}}:leases"
        held = self._leases(key)
        if held:
            yield f"{name} still holds {held} leases of batches."

    def _leases(self, key: str) -> int:
        """Those that have not expired."""
        seconds, microseconds = self._redis.time()
        now_ms = 1000 * seconds + microseconds // 1000
        return int(self._redis.zcount(key, f"({now_ms}", "+inf"))

    def _of_the_collections(
        self, bot: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]
    ) -> Iterator[str]:
        wanted = {bot["live_collection"], bot["previous_collection"]}
        wanted |= {
            run["target_collection"]
            for run in runs
            if run["status"] in ("failed", "needs_operator")
        }
        held = "SELECT collection FROM held_collections WHERE bot_id = %s"
        wanted |= {row["collection"] for row in self.select(held, bot["bot_id"])}
        ours = f"{bot['alias']}__g"
        orphans = lasting(
            lambda: [n for n in self._there() if n.startswith(ours) and n not in wanted]
        )
        if orphans:
            yield f"Nobody owns the collections {orphans}."
        there = self._there()
        missing = [name for name in wanted if name is not None and name not in there]
        if missing:
            yield f"The collections {missing} are gone."

    def _there(self) -> list[str]:
        return list(self._milvus.list_collections(timeout=rows.TIMEOUT_SECONDS))


def lasting(look: Callable[[], list[str]], seconds: float | None = None) -> list[str]:
    """What is still found when those who are late have had their time, else LATE_SECONDS."""
    deadline = time.monotonic() + (LATE_SECONDS if seconds is None else seconds)
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _of_the_keys(
    found: Sequence[rows.Row], possible: Mapping[str, set[str | None]], counted: int
) -> Iterator[str]:
    times = Counter(row.key for row in found)
    doubled = [key for key, number in times.items() if number > 1]
    if doubled or counted != len(times):
        yield (
            f"{counted} rows are counted for {len(times)} keys; "
            f"answered more than once: {doubled[:_SHOWN]}."
        )
    texts = {row.key: row.text for row in found}
    missing = [key for key, states in possible.items() if key not in texts and None not in states]
    if missing:
        yield f"{len(missing)} chunks are missing: {sorted(missing)[:_SHOWN]}."
    extra = [key for key in texts if set(possible.get(key, {None})) == {None}]
    if extra:
        yield f"{len(extra)} chunks should not be there: {sorted(extra)[:_SHOWN]}."
    stale = [
        key
        for key, text in texts.items()
        if key not in extra and text not in possible.get(key, {None})
    ]
    if stale:
        yield f"{len(stale)} chunks have another text than was written: {sorted(stale)[:_SHOWN]}."


def wrongly_embedded(found: Sequence[rows.Row], ref: EmbeddingRef) -> list[str]:
    """A finding if any row's vector is not what this model answers for the row's own text."""
    if not found:
        return []
    expected = rows.embedded(ref, [row.text for row in found])
    wrong = [
        row.key
        for row, vector in zip(found, expected, strict=True)
        if row.vector.shape != vector.shape
        or not np.allclose(row.vector, vector, rtol=0, atol=_SAME)
    ]
    if not wrong:
        return []
    return [f"{len(wrong)} vectors are not {ref}'s of their text: {sorted(wrong)[:_SHOWN]}."]


def _of_the_endings(
    name: str, told: Sequence[Mapping[str, Any]], endings: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """One terminal status, one compensation; a reverse run and a repair each open one more."""
    ended = Counter(event["name"] for event in endings)
    taken_back = any("by" in event["detail"] for event in endings)
    repaired = sum(event["name"] == "repaired" for event in told)
    if sum(ended.values()) > 1 + taken_back + repaired:
        yield f"{name} has ended more than once: {dict(ended)}."
    turns = sum(event["name"] in _TURNS for event in told)
    if turns > 1:
        yield f"{name} was turned round {turns} times."
