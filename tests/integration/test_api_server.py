"""Clients that are slow, broken or many take nothing from the others."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse, parse_headers
from pathlib import Path

import pytest

from api.server import HEADER_BYTES
from devstack.client import Answer
from devstack.server import LOOPBACK, PROJECT, free_port, listens
from tests.fakes.api_client import ACME_TOKEN, TARGET
from tests.harness.plain_http import fetch
from tests.services.api_on_fakes import READERS, THREADS

VALIDATE = "/bots/support/embeddings/validate-change"
LIVE = "/bots/support/embeddings/live"
ASKS = {"Authorization": f"Bearer {ACME_TOKEN}"}
AN_ADMIN_ASKS = {"Authorization": "Bearer admin-token"}
JSON = {"Content-Type": "application/json"}
STREAM = {"Accept": "text/event-stream"}
HALF_HEADER = b"GET /healthz HTTP/1.1\r\nHost: api\r\nX-Slow: "
HALF_BODY = b"POST /bots HTTP/1.1\r\nHost: api\r\nContent-Length: 100\r\n\r\nabc"
CHUNKED = (
    b"POST /bots HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer acme-token\r\n"
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)


@dataclass
class Api:
    """The API over fakes in a process of its own, and a client of every kind."""

    process: subprocess.Popen[str]
    port: int
    gate: Path
    progress: str

    def get(self, path: str, token: str = ACME_TOKEN) -> Answer:
        return fetch(self.url(path), headers={"Authorization": f"Bearer {token}"})

    def validate(self, token: str = ACME_TOKEN) -> Answer:
        """Answered when the gate is open."""
        headers = {"Authorization": f"Bearer {token}", **JSON}
        return fetch(self.url(VALIDATE), json.dumps(TARGET).encode(), headers)

    @contextmanager
    def validating(self, *tokens: str) -> Iterator[list[Answer]]:
        """Meanwhile each of them waits for a validation; in the end their answers are there."""
        answers: list[Answer] = []

        def ask(token: str) -> None:
            with suppress(OSError):  # the process may have ended
                answers.append(self.validate(token))

        asking = [threading.Thread(target=ask, args=(token,)) for token in tokens or (ACME_TOKEN,)]
        for thread in asking:
            thread.start()
            assert "validating" == self.line()
        yield answers
        for thread in asking:
            thread.join()

    def line(self) -> str:
        """The next that the process says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    @contextmanager
    def asking(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[HTTPConnection]:
        """A connection on which this has been asked, and nothing read yet."""
        with closing(HTTPConnection(LOOPBACK, self.port, timeout=20)) as connection:
            connection.request("GET", path, headers={**ASKS, **(headers or {})})
            yield connection

    def switch(self) -> None:
        """The bot to another model and collection."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.wait_for("switched")

    def wait_for(self, said: str, times: int = 1) -> None:
        assert [said] * times == [self.line() for _ in range(times)]

    def url(self, path: str) -> str:
        return f"http://{LOOPBACK}:{self.port}{path}"

    @contextmanager
    def kept(self) -> Iterator[HTTPConnection]:
        """A connection that has been used once, and stays."""
        with closing(HTTPConnection(LOOPBACK, self.port, timeout=20)) as connection:
            assert is_answered(connection)
            yield connection

    def opened(self, sent: bytes) -> socket.socket:
        """A connection that has sent this and says no more."""
        opened = socket.create_connection((LOOPBACK, self.port), timeout=20)
        opened.sendall(sent)
        return opened

    def told(self, sent: bytes) -> Answer:
        """All that is answered to these bytes, until the server hangs up."""
        with self.opened(sent) as opened, opened.makefile("rb") as received:
            status = int(received.readline().split()[1])
            headers = parse_headers(received)
            return Answer(status, json.loads(received.read()), headers)


def answer_of(connection: HTTPConnection) -> Answer:
    reply = connection.getresponse()
    return Answer(reply.status, json.loads(reply.read()), reply.headers)


def is_answered(connection: HTTPConnection) -> bool:
    connection.request("GET", "/healthz")
    return b"alive" in connection.getresponse().read()


@contextmanager
def api(folder: Path, *limits: str) -> Iterator[Api]:
    port, gate = free_port(), folder / "gate"
    command = [sys.executable, "-m", "tests.services.api_on_fakes", str(port), str(gate), *limits]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            running = Api(process, port, gate, "")
            running.progress = f"/embeddings/migration/{running.line()}/progress"
            while not listens(port):
                assert process.poll() is None
            yield running
        finally:
            process.kill()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with api(tmp_path_factory.mktemp("plain")) as running:
        yield running


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Api]:
    """Of one test, whose waiting nobody else's lines can be taken for."""
    with api(tmp_path / "alone") as running:
        yield running


@pytest.mark.parametrize("half", [HALF_HEADER, HALF_BODY])
def test_clients_that_send_half_a_request_take_no_thread(plain: Api, half: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(2 * THREADS):
            stack.enter_context(plain.opened(half))
        assert [200, 200] == [plain.get(path).status for path in ("/healthz", plain.progress)]


def test_what_a_trusted_proxy_says_of_its_client_is_believed(plain: Api) -> None:
    headers = {"Authorization": f"Bearer {ACME_TOKEN}", "X-Forwarded-For": "192.0.2.7"}
    assert 200 == fetch(plain.url(plain.progress), headers=headers).status
    entries = plain.get("/trail", "admin-token").body["entries"]
    assert "192.0.2.7" in {entry["address"] for entry in entries}


def test_validations_that_hang_leave_threads_to_those_who_watch(tmp_path: Path) -> None:
    owners = [ACME_TOKEN] * 4 + ["admin-token"] * 4
    with api(tmp_path) as running, ExitStack() as stack:
        for _ in range(2 * THREADS):
            stack.enter_context(running.opened(HALF_HEADER))
        with running.validating(*owners) as answers:
            assert [200, 200] == [
                running.get(path).status for path in ("/healthz", running.progress)
            ]
            refused = [running.validate(token) for token in [ACME_TOKEN] * 10 + ["rival-token"]]
            assert [429] * 11 == [answer.status for answer in refused]
            running.gate.touch()
        assert [200] * 8 == [answer.status for answer in answers]


def test_searches_that_hang_keep_nobody_but_their_owners_and_none_is_refused(
    tmp_path: Path,
) -> None:
    url, body = "/bots/support/search", json.dumps({"text": "text 3."}).encode()
    with api(tmp_path) as running, ThreadPoolExecutor(2 * READERS) as pool:
        asked = [
            pool.submit(fetch, running.url(url), body, {**ASKS, **JSON}) for _ in range(2 * READERS)
        ]
        running.wait_for("searching", READERS)
        assert 200 == fetch(running.url(url), body, {**AN_ADMIN_ASKS, **JSON}).status
        with running.validating(*[ACME_TOKEN] * 4, *["admin-token"] * 4) as answers:
            assert 200 == running.get(running.progress).status
            running.gate.touch()
        found = [one.result() for one in asked]
    assert [200] * 8 == [answer.status for answer in answers]
    assert [200] * 2 * READERS == [answer.status for answer in found]
    assert {"k003"} == {answer.body["results"][0]["hits"][0]["key"] for answer in found}


def test_a_request_that_does_not_arrive_is_given_up_and_a_connection_between_two_is_kept(
    tmp_path: Path,
) -> None:
    with api(tmp_path, "REQUEST_SECONDS=1") as running, running.kept() as kept:
        with running.opened(HALF_HEADER) as half, running.opened(b"") as silent:
            assert [b"", b""] == [half.recv(1), silent.recv(1)]
        assert is_answered(kept)


def test_a_connection_that_is_not_used_is_given_up_after_a_while(tmp_path: Path) -> None:
    with api(tmp_path, "IDLE_SECONDS=1") as running, running.kept() as idle:
        assert b"" == idle.sock.recv(1)


def test_one_connection_too_many_ends_the_one_that_has_waited_longest(tmp_path: Path) -> None:
    with api(tmp_path, "CONNECTIONS=5") as running, ExitStack() as stack:
        first, *_ = [stack.enter_context(running.opened(HALF_HEADER)) for _ in range(5)]
        assert 200 == running.get("/healthz").status
        assert b"" == first.recv(1)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GARBAGE\r\n\r\n", 400, "bad-request"),
        (b"GET /bots\x00 HTTP/1.1\r\nno colon\r\n\r\n", 400, "bad-request"),
        (b"POST /bots HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, "bad-request"),
        (b"GET /bots HTTP/1.1\r\nX: ".ljust(HEADER_BYTES, b"x"), 431, "headers-too-large"),
        (
            b"POST /bots HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
            501,
            "encoding-not-known",
        ),
        (b"POST /bots HTTP/1.1\r\nContent-Length: 30000000\r\n\r\n", 413, "body-too-large"),
        (CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", 400, "bad-request"),
        (CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n", 400, "bad-request"),
        (CHUNKED + b"2\r\n{}and more\r\n0\r\n\r\n", 400, "bad-request"),
    ],
)
def test_what_is_not_http_is_told_in_a_problem_document(
    plain: Api, sent: bytes, status: int, code: str
) -> None:
    answer = plain.told(sent)
    assert (status, status, f"/problems/{code}", "application/problem+json") == (
        answer.status,
        answer.body["status"],
        answer.body["type"],
        answer.headers["Content-Type"],
    )
    assert answer.body["request_id"] == answer.headers["X-Request-ID"]
    assert "nosniff" == answer.headers["X-Content-Type-Options"]
    assert 200 == plain.get(answer.body["type"]).status


def test_a_chunked_body_is_a_body(plain: Api) -> None:
    with plain.opened(CHUNKED + b"2\r\n{}\r\n0\r\n\r\n") as opened:
        assert b" 422 " in opened.makefile("rb").readline()


def test_a_wait_ends_with_the_switch_and_holds_no_thread(alone: Api) -> None:
    live = alone.get(LIVE)
    known, generation = {"If-None-Match": live.headers["ETag"]}, live.body["generation"]
    by_tag = [alone.asking(f"{LIVE}?wait=50", known) for _ in range(2 * THREADS)]
    with ExitStack() as stack:
        by_number = alone.asking(f"{LIVE}?wait=50&generation={generation}")
        waiting = [stack.enter_context(asked) for asked in (by_number, *by_tag)]
        alone.wait_for("waits", len(waiting))
        assert [200, 200] == [alone.get(path).status for path in ("/healthz", alone.progress)]
        alone.switch()
        answers = [answer_of(connection) for connection in waiting]
    assert {(200, generation + 1)} == {(one.status, one.body["generation"]) for one in answers}


def test_a_wait_ends_with_its_time_and_its_connection_goes_on(alone: Api) -> None:
    live = alone.get(LIVE)
    known, url = {"If-None-Match": live.headers["ETag"]}, f"{LIVE}?wait=0.1"
    with alone.kept() as kept:
        kept.request("GET", url, headers={**known, **ASKS})
        assert (304, b"") == ((told := kept.getresponse()).status, told.read())
        kept.request("GET", f"{url}&generation={live.body['generation']}", headers=ASKS)
        assert live.body == answer_of(kept).body
        local = kept.sock.getsockname()
        assert is_answered(kept)
        assert local == kept.sock.getsockname()
    alone.wait_for("waits", 2)


def test_each_request_of_a_connection_may_wait_as_long_as_it_asks(alone: Api) -> None:
    generation = alone.get(LIVE).body["generation"]
    get = f"GET {LIVE}?wait=0.05&generation={generation} HTTP/1.1\r\nHost: api\r\n"
    get += f"Authorization: Bearer {ACME_TOKEN}\r\n\r\n"
    with alone.opened(10 * get.encode()):  # the next begins while the thread of one still leaves
        alone.wait_for("waits", 10)


def test_a_request_that_follows_one_that_waits_is_answered_after_it(alone: Api) -> None:
    generation = alone.get(LIVE).body["generation"]
    get = f"GET {LIVE}?wait=50&generation={generation} HTTP/1.1\r\nHost: api\r\n"
    get += f"Authorization: Bearer {ACME_TOKEN}\r\n\r\n"
    with alone.opened(get.encode()) as opened:
        alone.wait_for("waits")
        opened.sendall(b"GET /healthz HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n")
        alone.switch()
        received = opened.makefile("rb").read()
    assert received.index(b'"generation":%d' % (generation + 1)) < received.index(b"alive")


def test_beyond_the_places_nobody_waits_and_who_hangs_up_leaves_his(tmp_path: Path) -> None:
    url = f"{LIVE}?wait=50&generation=1"
    with api(tmp_path, "PLACES=1") as running:
        with running.asking(url):
            running.wait_for("waits")
            assert 1 == running.get(url).body["generation"]  # answered at once
        running.wait_for("hung up")
        with running.asking(url) as waiting:
            running.wait_for("waits")
            running.switch()
            assert 2 == answer_of(waiting).body["generation"]


def events_of(running: Api) -> str:
    return running.progress.replace("/progress", "/events")


@contextmanager
def watching(running: Api, headers: Mapping[str, str] | None = None) -> Iterator[HTTPResponse]:
    """A stream of which nothing has been read yet."""
    asks = {"Accept": "text/event-stream", **(headers or {})}
    with running.asking(events_of(running), asks) as connection:
        answer = connection.getresponse()
        assert 200 == answer.status
        running.wait_for("watches")
        yield answer


def told(answer: HTTPResponse) -> list[str]:
    """The kinds of all events until the stream ends."""
    lines = answer.read().decode().splitlines()
    return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]


def test_streams_last_until_the_run_is_over_and_hold_no_thread(alone: Api) -> None:
    with ExitStack() as stack:
        open_ones = [stack.enter_context(watching(alone)) for _ in range(2 * THREADS)]
        assert [200, 200] == [alone.get(path).status for path in ("/healthz", alone.progress)]
        assert alone.process.stdin is not None
        alone.process.stdin.write("\n")
        alone.process.stdin.flush()
        kinds = [told(answer) for answer in open_ones]
    assert {("happened", "end")} == {(kind[0], kind[-1]) for kind in kinds}
    assert 1 == len({kind.count("happened") for kind in kinds})


def test_beyond_the_places_streams_are_refused_and_who_hangs_up_leaves_his(tmp_path: Path) -> None:
    with api(tmp_path, "STREAMS=1") as running:
        with watching(running):
            refused = fetch(running.url(events_of(running)), headers={**ASKS, **STREAM})
            assert (503, "/problems/too-many-streams") == (refused.status, refused.body["type"])
            assert 200 == running.get(events_of(running)).status
        running.wait_for("watches no more")
        with watching(running):
            pass


def test_a_client_of_http_1_0_is_streamed_to_without_chunks(alone: Api) -> None:
    get = f"GET {events_of(alone)} HTTP/1.0\r\nAccept: text/event-stream\r\n"
    get += f"Authorization: Bearer {ACME_TOKEN}\r\n\r\n"
    with alone.opened(get.encode()) as opened, opened.makefile("rb") as received:
        alone.wait_for("watches")
        headers, _, begin = received.read1().partition(b"\r\n\r\n")
        assert b"Transfer-Encoding" not in headers
        assert begin.startswith(b"retry: ")


def test_a_process_that_is_asked_to_stop_ends_its_streams(tmp_path: Path) -> None:
    with api(tmp_path) as running, watching(running) as answer:
        running.process.send_signal(signal.SIGTERM)
        kinds = told(answer)  # read to its proper end, or this raises
        assert (["happened", "progress"], 0) == (kinds, running.process.wait(10))


def test_who_takes_nothing_of_a_stream_keeps_no_process_from_stopping(tmp_path: Path) -> None:
    with api(tmp_path) as running, watching(running):
        running.process.send_signal(signal.SIGTERM)
        assert 0 == running.process.wait(10)


def test_a_process_that_is_asked_to_stop_answers_those_who_wait(tmp_path: Path) -> None:
    with api(tmp_path) as running, running.asking(f"{LIVE}?wait=50&generation=1") as waiting:
        running.wait_for("waits")
        running.process.send_signal(signal.SIGTERM)
        answer = answer_of(waiting)
        assert (200, 1, 0) == (answer.status, answer.body["generation"], running.process.wait(10))


def test_a_process_that_is_asked_to_stop_answers_what_it_has_in_work(tmp_path: Path) -> None:
    with api(tmp_path) as running, running.kept() as idle:
        with running.validating() as answers:
            running.process.send_signal(signal.SIGTERM)
            assert b"" == idle.sock.recv(1)
            assert not listens(running.port)
            running.gate.touch()
        assert ([200], 0) == ([answer.status for answer in answers], running.process.wait(10))


def test_a_process_that_is_asked_to_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    with api(tmp_path, "STOP_SECONDS=1") as running, running.validating() as answers:
        running.process.send_signal(signal.SIGTERM)
        assert 1 == running.process.wait(10)
    assert [] == answers
