"""Where Milvus gives the keys: a bot goes there and back under writers and kills.

The writer adds chunks without keys and deletes them by their text, as applications do
that never see a key, through the run, the switch and the way back. Its own log says what
must be there afterwards: each text once, with the vector of the live model.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient

from migrations.model.config import EmbeddingRef
from tests.chaos.kills import Say
from tests.chaos.report import Totals
from tests.harness import rows
from tests.harness.bots import BotHandle, Run, expect
from tests.harness.ground import Ground
from tests.harness.oracle import TERMINAL
from tests.harness.world import LARGE, SMALL
from tests.harness.writers import ForeignWriter, History, Operation, Outcome
from tests.scenarios.judging import own_texts
from tests.services.databases import unique_name

#: Of what dies, by weight. Not Milvus: what it loses of a writer's nobody else can know.
VICTIMS = {"batch": 55, "control": 25, "redis": 10, "postgres": 10}
#: A prime: keys that Milvus gives may all be multiples of a power of two.
PARTS = 7
ROWS_AT_ONCE, MOST_AT_ONCE = 1_000, 16_000
PATIENCE_SECONDS = 900.0


class KeylessWriter(ForeignWriter):
    """Its operations are told by their texts; it changes nothing, it adds and deletes."""

    def _next(self) -> Operation:
        while (operation := super()._next()).text is None and operation.key in self._open:
            pass  # whether it is there is not known, so whether it goes would not be either
        if operation.text is None:
            return operation
        text = f"{operation.text} ({operation.key})"
        self._mine[self._mine.index(operation.key)] = text
        return Operation(text, text)

    @property
    def _open(self) -> set[str]:
        return {o.key for o in self.history.operations if o.outcome is Outcome.UNKNOWN}

    def perform(self, milvus: MilvusClient, operation: Operation) -> None:
        self.history.operations.append(operation)
        try:
            collection, ref = self._address()
            if operation.text is None:
                self._delete(milvus, collection, operation.key)
            else:
                milvus.insert(collection, rows_of(ref, [operation.text]), timeout=30)
        except Exception as error:
            operation.error = f"{type(error).__name__}: {error}"
            refused = "dim" in operation.error.lower()
            operation.outcome = Outcome.FAIL if refused else Outcome.UNKNOWN
        else:
            operation.outcome = Outcome.OK

    def _delete(self, milvus: MilvusClient, collection: str, text: str) -> None:
        milvus.delete(collection, filter=f'text == "{text}"', timeout=30)


def there_and_back(
    ground: Ground, seed: int, kills: int, totals: Totals, say: Say, *, chunks: int
) -> list[str]:
    """Kill so many on the way there and back; the findings afterwards."""
    rng = random.Random(seed)
    bot = seeded(ground, chunks)
    ground.provider.latency_seconds = 0.15
    found: list[str] = []
    url = ground.servers.milvus_url
    writer = KeylessWriter(url, bot.pair, bot.history, seed=seed, per_second=8, share=(0.6, 0, 0.4))
    with writer:
        there = bot.start(LARGE, keys="reassign")
        done = _killed_until_ended(ground, there, rng, kills // 2, totals, say)
        back = there.roll_back()
        _killed_until_ended(ground, back, rng, kills - done, totals, say)
        time.sleep(1)
    # The way there was taken back by the way back.
    for run, end in ((there, "rolled_back"), (back, "completed")):
        row = ground.row(run)
        if row["status"] != end:
            found.append(f"{run.id} ended as {row['status']}: {row['error']}")
    ground.revive()
    time.sleep(5)  # the first sweeps
    return found + judged(ground, bot, totals, say)


def _killed_until_ended(
    ground: Ground, run: Run, rng: random.Random, kills: int, totals: Totals, say: Say
) -> int:
    """How many were killed: fewer when the run had ended before."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    done = 0
    while ground.row(run).get("status") not in TERMINAL:
        if time.monotonic() > deadline:
            raise TimeoutError(f"still under way: {run.progress()}")
        time.sleep(rng.uniform(0.5, 2.5))
        if done < kills:
            done += 1
            say(f"{done}/{kills} {_kill_something(ground, rng, totals)}")
    return done


def _kill_something(ground: Ground, rng: random.Random, totals: Totals) -> str:
    kind = rng.choices(list(VICTIMS), list(VICTIMS.values()))[0]
    down_seconds = rng.uniform(0, 2)
    totals.kills += 1
    if kind in {"redis", "postgres"}:
        ground.crash("redis" if kind == "redis" else "postgres", down_seconds)
        return f"{kind}, down for {down_seconds:.1f} s"
    name = rng.choice(sorted(ground.pids(kind)))
    ground.kill(name)
    time.sleep(down_seconds)
    ground.revive()
    return f"{name}, down for {down_seconds:.1f} s"


def seeded(ground: Ground, chunks: int) -> BotHandle:
    """A bot whose collection gives its keys."""
    name, milvus = unique_name("given"), ground.milvus
    schema = milvus.create_schema(auto_id=True, enable_dynamic_field=False)
    schema.add_field("pk", DataType.INT64, is_primary=True, auto_id=True)
    schema.add_field("text", DataType.VARCHAR, max_length=4096)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=SMALL.dimension)
    index = milvus.prepare_index_params()
    hnsw = {"M": 8, "efConstruction": 64}
    index.add_index("vector", index_type="HNSW", metric_type="COSINE", params=hnsw)
    milvus.create_collection(name, schema=schema, index_params=index, timeout=60)
    texts = list(own_texts(chunks).values())
    for start in range(0, chunks, ROWS_AT_ONCE):
        milvus.insert(name, rows_of(SMALL, texts[start : start + ROWS_AT_ONCE]), timeout=60)
    milvus.flush(name, timeout=120)
    wish = {"bot_id": unique_name("bot"), "collection": name, **SMALL.model_dump()}
    made = expect(201, ground.owner.post("/bots", {**wish, "text_field": "text"}))
    history = History({text: text for text in texts})
    return BotHandle(ground.owner, made["bot_id"], made["alias"], name, SMALL, history)


def rows_of(ref: EmbeddingRef, texts: list[str]) -> list[dict[str, Any]]:
    vectors = rows.embedded(ref, texts)
    return [{"text": t, "vector": v} for t, v in zip(texts, vectors, strict=True)]


def judged(ground: Ground, bot: BotHandle, totals: Totals, say: Say) -> list[str]:
    """What the writer's log and the live collection do not agree about."""
    collection, ref = bot.pair()
    counted: Counter[str] = Counter()
    wrong: list[str] = []
    for page in _pages(ground.milvus, collection):
        texts = [row["text"] for row in page]
        counted.update(texts)
        right = rows.embedded(ref, texts)
        same = np.isclose([row["vector"] for row in page], right, atol=1e-5).all(axis=1)
        wrong += [text for text, is_right in zip(texts, same, strict=True) if not is_right]
    possible: defaultdict[str, set[str | None]] = defaultdict(lambda: {None})
    possible.update(bot.history.possible())
    missing = [text for text, may in possible.items() if None not in may and not counted[text]]
    extra = [text for text in counted if possible[text] == {None}]
    doubled = [text for text, times in counted.items() if times > 1]
    totals.missing += len(missing)
    totals.duplicated += len(doubled) + len(extra)
    totals.wrong_model += len(wrong)
    say(
        f"{collection}: {sum(counted.values())} chunks, {bot.history.acknowledged()} writes "
        f"acknowledged of {len(bot.history.operations)}"
    )
    told = {"missing": missing, "too many": extra, "twice": doubled, "wrong vector": wrong}
    return [f"{len(texts)} {word}: {texts[:3]}" for word, texts in told.items() if texts]


def _pages(milvus: MilvusClient, collection: str) -> Iterator[list[dict[str, Any]]]:
    """All rows, in parts that one query answers whole."""
    for rest in range(PARTS):
        found = milvus.query(
            collection,
            filter=f"pk % {PARTS} == {rest}",
            output_fields=["text", "vector"],
            limit=MOST_AT_ONCE,
            consistency_level="Strong",
            timeout=60,
        )
        assert len(found) < MOST_AT_ONCE, "more rows than one query answers"
        if found:
            yield list(found)
