"""What providers really say: each dialect moves 200 chunks, ends well and wastes little.

Each has a stub, a model and a bot of its own; all runs go on at the same time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import pytest

from devstack.milvus_lite import MilvusLiteServer
from devstack.postgres import PostgresServer
from devstack.provider import StubProvider
from devstack.redis import RedisServer
from migrations.model.config import EmbeddingRef
from tests.harness import rows
from tests.harness.bots import BotHandle, Run
from tests.harness.oracle import wrongly_embedded
from tests.harness.world import KEY, KEY_VARIABLE, LARGE, MODELS, Servers, World
from tests.services.databases import fresh_database, fresh_redis

CHUNKS, BATCH = 200, 40
#: One text of the 200, and one that speaks of what errors speak of.
POISON = "chunk number 117 says 13689"
SPEAKS = "The model small was not found; param dimensions, code model_not_found"
LONGER = [f"k{i:06}" for i in range(150, 160)]
#: Of a call; a request of 40 texts takes the slow stub longer, one of 20 does not.
PATIENCE_SECONDS, SECONDS_PER_TEXT = 3.0, 0.1
#: Texts that validation sends: fifty and two of our own, twenty once more and one of our own.
VALIDATED = 73
INGRESS = "<html><head><title>404 Not Found</title></head><body>nginx</body></html>"
IN_200 = '{"error": {"message": "No instances left for {text}", "type": "upstream"}}'


@dataclass(frozen=True)
class Dialect:
    fault: dict[str, Any] = field(default_factory=dict)
    seconds_per_text: float = 0.0
    #: The model takes no longer texts, and nobody has said so; some of the 200 are longer.
    max_input_tokens: int | None = None
    wish: dict[str, Any] = field(default_factory=dict)
    #: How it ends: with this code, or completed without so many chunks.
    code: str | None = None
    failed: int = 0
    #: What the error or the failed chunk's reason says.
    words: str = ""


def of_one_text(status: int, body: str, containing: str = POISON) -> dict[str, Any]:
    return {"kind": "says", "status": status, "body": body, "containing": containing}


def in_mid_run(kind: str, after: int = 120, **how: Any) -> dict[str, Any]:
    """So many texts of the run are answered before."""
    return {"kind": kind, "after_texts": VALIDATED + after, **how}


DIALECTS = {
    "500_for_a_text": Dialect(
        of_one_text(500, '{"detail": "CUDA error"}'), failed=1, words="CUDA error"
    ),
    "error_in_200_for_a_text": Dialect(of_one_text(200, IN_200), failed=1, words="No instances"),
    "403_for_a_text": Dialect(
        of_one_text(403, "<html><body>Request <b>blocked</b></body></html>"),
        failed=1,
        words="Request blocked",
    ),
    "400_that_quotes": Dialect(
        of_one_text(400, '{"error": {"message": "Bad input: {text}"}}', SPEAKS),
        failed=1,
        words="Bad input: [text]",
    ),
    "slow": Dialect(seconds_per_text=SECONDS_PER_TEXT),
    "takes_less": Dialect(max_input_tokens=30, wish={"over_long": "truncate"}),
    "no_index": Dialect({"kind": "no_index"}),
    "null_index": Dialect({"kind": "null_index"}),
    "same_index": Dialect({"kind": "same_index"}),
    "one_404": Dialect(in_mid_run("says", times=1, status=404, body=INGRESS)),
    "one_empty_vector": Dialect(in_mid_run("empty_vector", times=1)),
    "one_wrong_dimension": Dialect(in_mid_run("wrong_dimension", times=1)),
    "arrearage": Dialect(in_mid_run("arrearage"), code="provider-quota", words="good standing"),
    "refused_account": Dialect(
        in_mid_run("says", status=400, body='{"message": "Contact sales."}'),
        code="provider-refuses",
        words="Contact sales.",
    ),
    # Late: each batch that is under way asks some times before it gives up, however many they are.
    "nonsense_for_good": Dialect(
        in_mid_run("nan", after=160), code="invalid-vectors", words="not finite"
    ),
    "outage": Dialect(
        in_mid_run("says", status=503, body='["No healthy upstream"]'),
        wish={"timeout_seconds": 25},
        code="timed-out",
        words="No healthy upstream",
    ),
}


@dataclass(frozen=True)
class Told:
    """What a dialect came to."""

    bot: BotHandle
    seen: dict[str, Any]
    stats: dict[str, Any]


@pytest.fixture(scope="module")
def stubs() -> Iterator[dict[str, StubProvider]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(StubProvider(MODELS, accepted_key=KEY)) for name in DIALECTS
        }


@pytest.fixture(scope="module")
def dialect_world(
    redis_server: RedisServer,
    postgres_server: PostgresServer,
    milvus_lite_server: MilvusLiteServer,
    database_template: str,
    stubs: dict[str, StubProvider],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    providers = {
        name: {"base_url": stub.base_url, "api_key_env": KEY_VARIABLE, "models": MODELS}
        for name, stub in stubs.items()
    }
    settings = {
        "REEMBED_PROVIDERS": orjson.dumps(providers).decode(),
        "REEMBED_PROVIDER_TIMEOUT_SECONDS": str(PATIENCE_SECONDS),
        "REEMBED_MAX_CONCURRENT_MIGRATIONS": str(len(DIALECTS)),
        "REEMBED_HOLD_HOURS": "0",
    }
    with fresh_database(postgres_server, database_template) as database:
        servers = Servers(fresh_redis(redis_server), database, milvus_lite_server.url)
        folder = tmp_path_factory.mktemp("dialects")
        with World(servers, folder, settings, with_failpoints=False) as world:
            yield world


@pytest.fixture(scope="module")
def told(dialect_world: World, stubs: dict[str, StubProvider]) -> dict[str, Told]:
    bots = {name: seeded(dialect_world, name) for name in DIALECTS}
    runs: dict[str, Run] = {}
    for name, dialect in DIALECTS.items():
        stubs[name].statistics.reset()
        stubs[name].seconds_per_text = dialect.seconds_per_text
        stubs[name].max_input_tokens = dialect.max_input_tokens
        if dialect.fault:
            stubs[name].misbehave(**dialect.fault)
        wish = {
            "timeout_seconds": 60,
            "batch_size": BATCH,
            "max_failed_ratio": 0.01,
            **dialect.wish,
        }
        runs[name] = bots[name].start(at(name, LARGE), **wish)
    until = time.monotonic() + 120  # all at once on a busy machine
    ended = {name: run.wait_finished(until - time.monotonic()) for name, run in runs.items()}
    return {name: Told(bots[name], ended[name], stubs[name].stats()) for name in DIALECTS}


def seeded(world: World, provider: str) -> BotHandle:
    texts = {f"k{i:06}": f"chunk number {i} says {i * i}" for i in range(CHUNKS - 1)}
    if DIALECTS[provider].max_input_tokens is not None:
        texts |= {key: f"{texts[key]}, " * 20 for key in LONGER}
    return world.seed_bot(texts | {"k000199": SPEAKS}, at(provider, SMALL_MODEL))


SMALL_MODEL = EmbeddingRef(provider="any", model="small", dimension=MODELS["small"])


def at(provider: str, ref: EmbeddingRef) -> EmbeddingRef:
    return ref.model_copy(update={"provider": provider})


each_dialect = pytest.mark.parametrize("name", DIALECTS)


@each_dialect
def test_a_dialect_ends_as_it_should(told: dict[str, Told], name: str) -> None:
    dialect, seen = DIALECTS[name], told[name].seen
    if dialect.code is not None:
        (error,) = seen["errors"]
        assert ("rolled_back", dialect.code) == (seen["status"], error["code"]), error
        assert dialect.words in error["message"]
        return
    assert "completed" == seen["status"], seen
    assert dialect.failed == seen["failed_chunks"]
    assert [True] * dialect.failed == [
        dialect.words in chunk["message"] for chunk in seen["failed_chunk_errors"]
    ]


@pytest.mark.parametrize("name", [name for name, dialect in DIALECTS.items() if not dialect.code])
def test_every_vector_is_of_its_text(
    dialect_world: World, told: dict[str, Told], name: str
) -> None:
    found = rows.read_all(dialect_world.milvus, told[name].bot.pair()[0])
    assert CHUNKS - DIALECTS[name].failed == len(found)
    shortened = LONGER if DIALECTS[name].max_input_tokens else []
    whole = [row for row in found if row.key not in shortened]
    assert [] == wrongly_embedded(whole, LARGE)


@each_dialect
def test_the_ledger_is_what_the_provider_billed(told: dict[str, Told], name: str) -> None:
    assert told[name].stats["tokens"] == told[name].seen["tokens_used"]


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "outage"])
def test_futile_requests_are_at_most_twice_the_good_ones(told: dict[str, Told], name: str) -> None:
    """An outage is asked about as long as it lasts."""
    stats = told[name].stats
    futile = stats["requests"] - stats["answers"]
    assert futile <= 2 * stats["answers"], stats
    assert stats["wasted_texts"] <= 2 * CHUNKS, stats


@each_dialect
def test_a_dialect_takes_less_than_a_minute(told: dict[str, Told], name: str) -> None:
    began, ended = (
        datetime.fromisoformat(told[name].seen[what]) for what in ("started_at", "finished_at")
    )
    assert (ended - began).total_seconds() < 60


def test_no_text_is_in_any_log(dialect_world: World, told: dict[str, Told]) -> None:
    for name in ("api", "batch", "control"):
        log = dialect_world.processes.log(name).read_text()
        assert SPEAKS not in log
        assert POISON not in log
