"""The stub provider's HTTP side: routes, answers, control."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import orjson

from devstack.provider.answers import embeddings_body
from devstack.provider.families import WrongRole, check_role, roles_of, without_role
from devstack.provider.limits import Limits, retry_headers
from devstack.provider.misbehaviour import REFUSALS, TOLERABLE, Fault, Faults, fault_from
from devstack.provider.statistics import Statistics
from devstack.provider.vectors import MAX_DIMENSION, tokens_of

#: OpenAI's models, by their own dimension.
OPENAI_MODELS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
#: The one model of these that takes no ``dimensions``.
_FIXED_DIMENSION = frozenset({"text-embedding-ada-002"})
_MAX_INPUTS = 2048


@dataclass(eq=False)
class Refused(Exception):
    """A request that is answered with an error."""

    status: int
    code: str | None
    message: str
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    #: Answered as it is, instead of the others in OpenAI's form.
    body: bytes | None = None


class GaveUp(Exception):
    """The client has hung up before its answer; nothing is billed."""


class StubProvider:
    """An embedding provider on 127.0.0.1; a context manager that runs it in a thread.

    Args:
        models: Name and own dimension of each; OpenAI's three when not given.
        port: 0 for any free one.
        accepted_key: The only key it takes; any key when None.
    """

    def __init__(
        self,
        models: dict[str, int] | None = None,
        *,
        port: int = 0,
        accepted_key: str | None = None,
    ) -> None:
        self.models = dict(OPENAI_MODELS if models is None else models)
        if any(not 1 <= dimension <= MAX_DIMENSION for dimension in self.models.values()):
            raise ValueError(f"a model's dimension must be 1 to {MAX_DIMENSION}")
        self.accepted_key = accepted_key
        self.latency_seconds = 0.0
        self.seconds_per_text = 0.0
        #: Longer texts are refused, as OpenAI does it: with a sentence and no code.
        self.max_input_tokens: int | None = None
        self.limits = Limits()
        self.faults = Faults()
        self.statistics = Statistics()
        self.stopping = threading.Event()
        #: How many connections were opened to us, and the headers of the last request.
        self.connections_made = 0
        self.last_headers: dict[str, str] = {}
        self.last_query = ""
        #: Set to a list to have the JSON of every embeddings request put there.
        self.requests_seen: list[dict[str, Any]] | None = None
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.provider = self
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> Self:
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening and cut the connections that are open."""
        self.stopping.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._server.cut_connections()

    def serve(self) -> None:
        """Serve in this thread until interrupted."""
        self._server.serve_forever()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def misbehave(self, kind: str, **how: Any) -> None:
        """From now on, go wrong in this way; ``how`` are the fields of :class:`Fault`."""
        self.faults.add(Fault(kind, **how))

    def behave(self) -> None:
        self.faults.clear()

    def limit(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        *,
        burst_seconds: float = 60,
    ) -> None:
        """Enforce and announce these limits from now on; without arguments, none."""
        self.limits = Limits(requests_per_minute, tokens_per_minute, burst_seconds=burst_seconds)

    def stats(self) -> dict[str, Any]:
        return self.statistics.read()

    def control(self, wish: dict[str, Any]) -> dict[str, Any]:
        """What ``POST /_control`` does; its keys: misbehave, behave, latency_seconds,
        seconds_per_text, limit, reset."""
        if wish.get("behave"):
            self.behave()
        if "misbehave" in wish:
            self.faults.add(fault_from(wish["misbehave"]))
        if "latency_seconds" in wish:
            self.latency_seconds = float(wish["latency_seconds"])
        if "max_input_tokens" in wish:
            self.max_input_tokens = wish["max_input_tokens"]
        if "seconds_per_text" in wish:
            self.seconds_per_text = float(wish["seconds_per_text"])
        if "limit" in wish:
            self.limit(**wish["limit"])
        if wish.get("reset"):
            self.statistics.reset()
        return self.stats()

    # --- one request ---

    def embed(
        self, request: dict[str, Any], key: str, has_given_up: Callable[[], bool]
    ) -> tuple[bytes, dict[str, str], Fault | None]:
        """Body, headers and the fault that still has to be acted out on the socket.

        Raises:
            Refused: the request breaks a rule, or a fault says so.
            GaveUp: as ``has_given_up`` says when the answer is ready.
        """
        if self.accepted_key is not None and key != self.accepted_key:
            raise Refused(401, "invalid_api_key", f"Incorrect API key provided: {key}.")
        if self.requests_seen is not None:
            self.requests_seen.append(request)
        model, texts, dimension = self._checked(request)
        tokens = sum(map(tokens_of, texts))
        self._refuse_longer(texts)
        wait, headers = self.limits.take(tokens)
        if wait:
            raise Refused(429, "rate_limit_exceeded", "Rate limit reached.", headers=headers)
        fault = self.faults.take(texts)
        if fault and fault.kind == "refuse_base64" and request.get("encoding_format") != "base64":
            fault = None
        if fault is not None:
            self._refuse_or_delay(fault, key, texts)
        self.stopping.wait(self.latency_seconds + self.seconds_per_text * len(texts))
        if has_given_up():
            raise GaveUp
        lost = fault is not None and fault.kind in ("reset", "cut_off") and not fault.billed
        if not lost:
            is_of_use = fault is None or fault.kind in TOLERABLE | {"hang"}
            self.statistics.embedded(model, texts, tokens, is_of_use)
            self.statistics.in_roles(without_role(model), roles_of(model, texts, request))
        as_floats = request.get("encoding_format") != "base64"
        kind = fault.kind if fault else None
        body = embeddings_body(model, texts, dimension, tokens, as_floats, kind, request)
        return body, headers, fault

    def _refuse_or_delay(self, fault: Fault, key: str, texts: list[str]) -> None:
        if fault.kind == "says":
            raise Refused(fault.status or 200, "", "", body=fault.body_about(texts))
        if fault.kind in REFUSALS:
            status, code, message = REFUSALS[fault.kind]
            after = fault.retry_after_seconds
            raise Refused(
                fault.status or status,
                code,
                message.format(key=key),
                "dimensions" if fault.kind == "refuse_dimensions" else None,
                {} if after is None else retry_headers(after),
            )
        if fault.kind == "hang":
            self.stopping.wait(fault.seconds)

    def _refuse_longer(self, texts: list[str]) -> None:
        longest, most = max(map(tokens_of, texts)), self.max_input_tokens
        if most is not None and longest > most:
            said = f"This model's maximum context length is {most} tokens, however you requested"
            raise Refused(400, None, f"{said} {longest} tokens.", "input")

    def _checked(self, request: dict[str, Any]) -> tuple[str, list[str], int]:
        model = request.get("model")
        if not isinstance(model, str) or without_role(model) not in self.models:
            raise Refused(404, "model_not_found", f"The model `{model}` does not exist.", "model")
        given = request.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not 1 <= len(texts) <= _MAX_INPUTS or "" in texts:
            raise Refused(400, "invalid_input", "'$.input' is invalid.", "input")
        if not all(isinstance(text, str) for text in texts):
            raise Refused(400, "invalid_input", "'$.input' must be strings.", "input")
        try:
            check_role(model, request)
        except WrongRole as error:
            raise Refused(400, "invalid_role", str(error)) from error
        return model, texts, self._dimension(model, request.get("dimensions"))

    def _dimension(self, model: str, wanted: Any) -> int:
        own = self.models[without_role(model)]
        if wanted is None:
            return own
        if model in _FIXED_DIMENSION or type(wanted) is not int or not 1 <= wanted <= own:
            raise Refused(400, "invalid_value", "'dimensions' is not supported.", "dimensions")
        return wanted


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a hanging answer must not hold up the end
    request_queue_size = 128
    provider: StubProvider

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        self.provider.connections_made += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is the client's business."""

    def cut_connections(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    wbufsize = -1  # headers and body leave together
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Nothing: thousands of lines a second tell nobody anything."""

    def do_GET(self) -> None:
        provider = self.server.provider
        match self.path:
            case "/_stats":
                self._answer(200, orjson.dumps(provider.stats()))
            case "/v1/models":
                listed = [{"id": name, "object": "model"} for name in provider.models]
                self._answer(200, orjson.dumps({"object": "list", "data": listed}))
            case _:
                self._refuse(Refused(404, "not_found", f"No such path: {self.path}."))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path, _, self.server.provider.last_query = self.path.partition("?")
        match path:
            case "/v1/embeddings":
                self._embeddings(body)
            case "/_control":
                self._control(body)
            case _:
                self._refuse(Refused(404, "not_found", f"No such path: {self.path}."))

    def _control(self, body: bytes) -> None:
        try:
            self._answer(200, orjson.dumps(self.server.provider.control(orjson.loads(body))))
        except (TypeError, ValueError) as error:
            self._refuse(Refused(400, "invalid_control", str(error)))

    def _embeddings(self, body: bytes) -> None:
        provider = self.server.provider
        provider.statistics.asked()
        provider.last_headers = {name.lower(): value for name, value in self.headers.items()}
        key = self.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            answer, headers, fault = provider.embed(orjson.loads(body), key, self._is_alone)
        except orjson.JSONDecodeError:
            self._refuse(Refused(400, "invalid_json", "The body is no JSON."))
        except Refused as refused:
            provider.statistics.answered(refused.status)
            self._refuse(refused)
        except GaveUp:
            self.close_connection = True
        else:
            self._act_out(fault, answer, headers)

    def _is_alone(self) -> bool:
        """Whether the client has hung up."""
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _act_out(self, fault: Fault | None, answer: bytes, headers: dict[str, str]) -> None:
        kind = fault.kind if fault else None
        if kind == "reset":
            self._reset()
            return
        self.server.provider.statistics.answered(200)
        if kind == "cut_off":
            self._answer(200, answer, headers, send=len(answer) // 2)
            self.close_connection = True
        elif kind == "not_json":
            self._answer(200, b"<html><body>Bad gateway</body></html>", headers)
        else:
            self._answer(200, answer, headers)

    def _reset(self) -> None:
        """Close so that the client gets RST: with linger 0 nothing is sent in order."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def _refuse(self, refused: Refused) -> None:
        if refused.body is not None:
            self._answer(refused.status, refused.body, refused.headers)
            return
        error = {
            "message": refused.message,
            "type": refused.code,
            "param": refused.param,
            "code": refused.code,
        }
        self._answer(refused.status, orjson.dumps({"error": error}), refused.headers)

    def _answer(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        send: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:send])
        self.wfile.flush()
