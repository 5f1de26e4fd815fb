"""search: what ``POST /bots/{bot_id}/search`` adds to the provider's and Milvus' own time.

Fifty questions a second, from the moment each was due, once through the API and once by a client
that asks the provider and Milvus itself, in turns of some seconds within one run. Everybody asks
for chunks by their own text and looks whether they come first. Then as many a second go through
the API while the bot is switched and rolled back again and again, and what went wrong is counted.

* search: milliseconds at the median through the API, against asking both directly.
* search.p99: the same at the 99th percentile.
* search.overhead, search.overhead_p99: the differences of the two, against what is wanted.
* search.wrong: answers that failed or began with another chunk, of all those during the moves;
  against how many moves there were.
* search.slowest_moving: the 99th percentile during the moves, against that while nothing moves.
"""

from __future__ import annotations

import base64
import http.client
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from pymilvus import MilvusClient

from benchmarks.figures import Figure, figure, percentile
from benchmarks.lab import Lab
from benchmarks.runs import Bot, Run
from benchmarks.site import Site
from benchmarks.source import FROM_MODEL, TIMEOUT_SECONDS, Source, key_of, texts
from devstack.server import LOOPBACK
from migrations.adapters.milvus.client import CHANNEL_OPTIONS

RATE = 50
_CLIENTS = 24
_LIMIT = 10
_TURN_SECONDS = 5.0
#: What is wanted, in milliseconds.
_OVERHEAD, _OVERHEAD_P99 = 5.0, 20.0
#: Every so manieth move is the way back of the one before.
_BACK_EVERY = 5


@dataclass
class Asked:
    """Milliseconds of each question, and what was wrong with its answer."""

    milliseconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    #: Chunks that did not come first, with the key of the one that did.
    others: dict[int, str] = field(default_factory=dict)

    @property
    def wrong(self) -> list[str]:
        instead = [f"{key} instead of {key_of(chunk)}" for chunk, key in self.others.items()]
        return self.failed + instead


Ask = Callable[[str], str]


class _Api:
    """Through reembed."""

    def __init__(self, site: Site, bot: Bot) -> None:
        self._port, self._path = site.port, f"/bots/{bot.bot_id}/search"
        self._headers = {
            "Authorization": f"Bearer {site.token}",
            "Content-Type": "application/json",
        }
        self._of_thread = threading.local()

    def __call__(self, text: str) -> str:
        body = orjson.dumps({"text": text, "limit": _LIMIT, "output_fields": ["source"]})
        answer = orjson.loads(_post(self._of_thread, self._port, self._path, body, self._headers))
        hits = answer["results"][0]["hits"]
        assert len(hits) == _LIMIT, answer
        return str(hits[0]["key"])


class _Direct:
    """The same by a client that knows model and collection."""

    def __init__(self, site: Site, source: Source) -> None:
        self._port, self._source = site.provider.port, source
        self._milvus = MilvusClient(
            uri=site.milvus_server.url,
            timeout=TIMEOUT_SECONDS,
            dedicated=True,
            grpc_options=CHANNEL_OPTIONS,
        )
        self._headers = {"Authorization": "Bearer sk", "Content-Type": "application/json"}
        self._of_thread = threading.local()

    def __call__(self, text: str) -> str:
        asked: dict[str, Any] = {"input": [text], "model": FROM_MODEL, "encoding_format": "base64"}
        body = orjson.dumps({**asked, "dimensions": self._source.dimension})
        told = _post(self._of_thread, self._port, "/v1/embeddings", body, self._headers)
        packed = base64.b64decode(orjson.loads(told)["data"][0]["embedding"])
        (hits,) = self._milvus.search(
            self._source.name,
            data=[np.frombuffer(packed, dtype=np.float32)],
            anns_field="vector",
            limit=_LIMIT,
            output_fields=["text", "source"],
        )
        assert len(hits) == _LIMIT
        return str(hits[0]["id"])

    def close(self) -> None:
        self._milvus.close()


def _post(
    of_thread: threading.local, port: int, path: str, body: bytes, headers: dict[str, str]
) -> bytes:
    """On a connection of this thread's own. Raises OSError, HTTPException, AssertionError."""
    connection: http.client.HTTPConnection | None = getattr(of_thread, "connection", None)
    if connection is None:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
        of_thread.connection = connection
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        told = answer.read()
    except (OSError, http.client.HTTPException):
        of_thread.connection = None
        connection.close()
        raise
    assert answer.status == 200, f"{answer.status} {told[:300]!r}"
    return told


def search(lab: Lab) -> list[Figure]:
    site, scale = lab.site(), lab.scale
    site.renew()
    source = site.source(scale.search_chunks, scale.from_dimension)
    bot = site.bot(source)
    direct = _Direct(site, source)
    through, past = Asked(), Asked()
    with ThreadPoolExecutor(_CLIENTS) as clients:
        api = _Api(site, bot)
        for ask in (api, direct):  # connections and caches
            _ask_for(clients, ask, source, scale.search_seconds / 10, Asked())
        until = time.monotonic() + 2 * scale.search_seconds
        while time.monotonic() < until:
            turn = min(_TURN_SECONDS, scale.search_seconds)
            _ask_for(clients, api, source, turn, through)
            _ask_for(clients, direct, source, turn, past)
        assert not through.failed + past.failed, (through.failed + past.failed)[:3]
        _require_of_the_index(through, direct)
        direct.close()
        moving = _while_it_moves(clients, site)
    print(f"{len(moving.milliseconds)} answers while it moved, wrong: {moving.wrong[:3]}")

    def at(asked: Asked, percent: float) -> float:
        return percentile(asked.milliseconds, percent)

    half, most = (at(through, p) - at(past, p) for p in (50, 99))
    return [
        figure("search", [at(through, 50)], "ms", [at(past, 50)]),
        figure("search.p99", [at(through, 99)], "ms", [at(past, 99)]),
        figure("search.overhead", [half], "ms", [_OVERHEAD]),
        figure("search.overhead_p99", [most], "ms", [_OVERHEAD_P99]),
        figure("search.wrong", [len(moving.wrong)], "answers", [scale.search_moves]),
        figure("search.slowest_moving", [at(moving, 99)], "ms", [at(through, 99)]),
    ]


def _require_of_the_index(asked: Asked, direct: Ask) -> None:
    """What an approximate index does not find is no fault, if it does not find it for anybody."""
    print(f"{len(asked.others)} of {len(asked.milliseconds)} questions missed their chunk")
    for chunk, key in asked.others.items():
        (text,) = texts(chunk, chunk + 1)
        assert direct(text) == key, f"{key} instead of {key_of(chunk)}, and not of the index"


def _while_it_moves(clients: ThreadPoolExecutor, site: Site) -> Asked:
    scale = site.scale
    source = site.source(scale.batch_size * 4, scale.small_from)
    bot, asked, moved = site.bot(source), Asked(), threading.Event()

    def move() -> None:
        try:
            run: Run | None = None
            for number in range(1, scale.search_moves + 1):
                if run is not None and number % _BACK_EVERY == 0:
                    run = run.roll_back()
                else:
                    dimension = scale.small_to + 8 * (number % 2)
                    run = bot.start(dimension, scale.batch_size)
                run.completed(0.1)
        finally:
            moved.set()

    with ThreadPoolExecutor(1) as mover:
        moves = mover.submit(move)
        api = _Api(site, bot)
        while not moved.is_set():
            _ask_for(clients, api, source, 1.0, asked)
        moves.result()
    return asked


def _ask_for(
    clients: ThreadPoolExecutor, ask: Ask, source: Source, seconds: float, asked: Asked
) -> None:
    """So many a second, whether or not those before have been answered."""
    began = time.perf_counter()
    sent: list[Future[None]] = []
    for number in range(max(1, round(RATE * seconds))):
        due = began + number / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        chunk = (31 * (len(asked.milliseconds) + number)) % source.chunks
        sent.append(clients.submit(_one, ask, chunk, due, asked))
    for one in sent:
        one.result()


def _one(ask: Ask, chunk: int, due: float, asked: Asked) -> None:
    (text,) = texts(chunk, chunk + 1)
    try:
        found = ask(text)
    except Exception as error:
        asked.failed.append(f"{type(error).__name__}: {error}")
        return
    asked.milliseconds.append(1000 * (time.perf_counter() - due))
    if found != key_of(chunk):
        asked.others[chunk] = found
