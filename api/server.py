"""What listens: waitress, with a limit on everything that a client can make last.

A thread is given a request that has arrived as a whole, never a socket, so that no client
can hold one by being slow. docs/decisions.md says why this server and not another.
"""

from __future__ import annotations

import logging
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import structlog
from waitress import wasyncore
from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask

from api import observation, problems, streams, waiting
from api.parsing import MAX_TEXTS_BYTES
from api.reader_lane import ReaderLane
from api.streams import MOST_BYTES_BEHIND, Stream, StreamRoom
from api.turns import LONGEST_IN_QUEUE_SECONDS, OWNER_KEY, QUEUED_KEY
from api.waiting import Chance, Parked, WaitingRoom

_log = structlog.get_logger(__name__)

#: A request must have arrived within this, from its first byte or from the connection's opening.
REQUEST_SECONDS = 20
#: A connection may be silent for so long between two requests; few clients keep one longer.
IDLE_SECONDS = 120
#: Of all clients together; one more, and the one that has waited longest is closed.
CONNECTIONS = 500
HEADER_BYTES = 32 * 1024
#: How long requests in work may take once the process was asked to stop.
STOP_SECONDS = 30

#: What applications ask while somebody waits for them. There are threads for it alone: others
#: may hang without holding it up, and it may come in bursts without keeping others waiting.
_READING = re.compile("/bots/[^/]+/search|/v1/embeddings")
#: Answered by a thread of its own each, however busy all others are.
_LANES = ("/healthz", "/healthz/deep", "/readyz", "/metrics")


class _Refusal(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """What the server does not understand, as a problem document like any other."""

    def execute(self) -> None:
        problem, request_id = problems.of_status(self.request.error.code), observation.new_id()
        body = problem.document(getattr(self.request, "path", ""), request_id)
        self.status = f"{problem.status} {problem.title}"
        self.response_headers += [
            ("Content-Type", problems.MEDIA_TYPE),
            ("X-Request-ID", request_id),
            *observation.SECURITY_HEADERS.items(),
        ]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)
        _log.info(
            "request_refused",
            request_id=request_id,
            status=problem.status,
            problem=problem.code,
            reason=self.request.error.body,
        )


class _Request(HTTPRequestParser):  # type: ignore[misc]
    """Of a connection, whose next one may come while the thread of this one is still leaving."""

    #: From its first run to its last.
    chance: Chance | None = None


class _Task(WSGITask):  # type: ignore[misc]
    """One run of a request, which may end without an answer (see :mod:`api.waiting`)."""

    stream: Stream | None = None

    def set_close_on_finish(self) -> None:
        # Of an answer that has no body, such as 304, waitress thinks that its end is not seen.
        asked = self.request.headers.get("CONNECTION", "").lower()
        if self.has_body or self.version == "1.0" or asked == "close":
            super().set_close_on_finish()

    def get_environment(self) -> dict[str, Any]:
        if self.request.chance is None:
            self.request.chance = Chance(self.channel.server.waiting_room)
        ours = {
            waiting.ENVIRON_KEY: self.request.chance,
            QUEUED_KEY: self.channel.queued_since,
            streams.ENVIRON_KEY: self,
            OWNER_KEY: self.channel.belongs_to,
        }
        return {**super().get_environment(), **ours}

    # --- a Desk, whose answer may become a stream (see :mod:`api.streams`) -----------

    def has_place(self, owner: str) -> bool:
        return bool(self.channel.server.stream_room.has_place(owner))

    def open(self, stream: Stream) -> None:
        self.stream = stream

    def finish(self) -> None:
        """The end of an answer, unless it goes on when this thread has left it."""
        if self.stream is not None:
            raise _GoesOn(self)
        self.channel.is_served()  # before the request is gone, and the next one may come
        super().finish()

    def end_stream(self) -> None:
        self.stream = None
        self.finish()


class _GoesOn(BaseException):
    """The beginning of a stream is written. Not an Exception, which waitress would answer."""

    def __init__(self, task: _Task) -> None:
        super().__init__()
        self.task = task


class _Channel(HTTPChannel):  # type: ignore[misc]
    """One connection, which knows since when it has been waited for."""

    parser_class = _Request
    task_class = _Task
    error_task_class = _Refusal

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waiting_since = time.monotonic()
        self._served = self._parked = False
        self._streaming: _Task | None = None
        self.queued_since = time.monotonic()
        self.gives_back: Callable[[], None] | None = None

    @property
    def authorization(self) -> str:
        return str(self.requests[0].headers.get("AUTHORIZATION", ""))

    def belongs_to(self, owner: str) -> None:
        self.server.readers.belongs_to(self.authorization, owner)

    def received(self, data: bytes) -> bool:
        if self.request is None:
            self.waiting_since = time.monotonic()
        return bool(super().received(data))

    def service(self) -> None:
        # The next request of the connection may be given a thread before this one is left.
        gives_back, self.gives_back = self.gives_back, None
        try:
            super().service()
        except Parked as parked:
            self._park(parked)
        except _GoesOn as goes_on:
            self._stream_on(goes_on.task)
        finally:
            if gives_back is not None:
                gives_back()

    def is_served(self) -> None:
        """The answer is written: from now on the client's next request is waited for."""
        self._served = True
        self.waiting_since = time.monotonic()

    def _park(self, parked: Parked) -> None:
        """Still in work, and its request still the first of :attr:`requests`."""
        self.requests[0].get_body_stream().seek(0)
        self._parked = True
        self.server.waiting_room.take_in(self, parked)
        self.server.pull_trigger()  # it is to be seen when the client hangs up
        if not self.connected:
            self._hang_up()

    def go_on(self) -> None:
        self._parked = False
        self.server.add_task(self)

    def _stream_on(self, task: _Task) -> None:
        """As one that is parked, with a beginning of its answer written."""
        assert task.stream is not None  # noqa: S101 -- else it would not go on
        self._streaming = task
        self.server.stream_room.take_in(self, task.stream)
        self.server.pull_trigger()
        if not self.connected:
            self._hang_up()

    def say(self, text: bytes) -> bool:
        """Of a stream, by another thread. False where nobody takes it; never waits."""
        task = self._streaming
        if task is None or self.total_outbufs_len > MOST_BYTES_BEHIND:
            return False
        try:
            task.write(text)
        except ClientDisconnected:
            return False
        self.server.pull_trigger()
        return True

    def hang_up(self) -> None:
        """Of a stream that has ended, by another thread: as the end of any answer."""
        task, self._streaming = self._streaming, None
        if task is None:
            return
        if self.total_outbufs_len > MOST_BYTES_BEHIND:
            self.will_close = True  # it takes nothing
        else:
            with suppress(ClientDisconnected):
                task.end_stream()
        with self.requests_lock:
            self.close_when_flushed = True
            for request in self.requests:
                request.close()
            self.requests: list[Any] = []
        self.server.pull_trigger()

    def readable(self) -> bool:
        # One that hangs up is read as an end; one that sends its next request keeps this one.
        stays = self._parked or self._streaming is not None
        return bool(super().readable() or (stays and len(self.requests) == 1))

    def handle_close(self) -> None:
        super().handle_close()
        self._hang_up()

    def _hang_up(self) -> None:
        is_left = self.server.waiting_room.let_go(self) or self.server.stream_room.let_go(self)
        if is_left:
            self.requests[0].close()

    @property
    def waits(self) -> bool:
        """For its client, and not for us."""
        return not (self.requests or self.will_close)

    def is_overdue(self) -> bool:
        limit = IDLE_SECONDS if self._served and self.request is None else REQUEST_SECONDS
        return self.waits and time.monotonic() - self.waiting_since > limit


class Server(TcpWSGIServer):  # type: ignore[misc]
    """Listens from the moment it is made; :meth:`serve` answers."""

    channel_class = _Channel

    def __init__(
        self,
        application: Callable[..., Any],
        host: str,
        port: int,
        threads: int,
        reader_threads: int,
        readers_of_one_owner: int,
        waiting_room: WaitingRoom,
        stream_room: StreamRoom,
    ) -> None:
        self.waiting_room = waiting_room
        self.stream_room = stream_room
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a line for each request
        super().__init__(
            application,
            host=host,
            port=port,
            ipv4=":" not in host,  # one socket: a name that stands for both means the older
            ipv6=":" in host,
            threads=threads,
            ident="reembed",
            asyncore_use_poll=True,
            asyncore_loop_timeout=1,
            cleanup_interval=1,
            connection_limit=2 * CONNECTIONS,  # never reached: we close before that
            max_request_header_size=HEADER_BYTES,
            # The application refuses at MAX_TEXTS_BYTES at the latest; a chunked body arrives with
            # more than that around it.
            max_request_body_size=2 * MAX_TEXTS_BYTES,
            log_socket_errors=False,  # of clients that went away
            # The application believes as many proxies as REEMBED_TRUSTED_PROXIES says.
            clear_untrusted_proxy_headers=False,
        )
        self._lanes = {path: _lane(1) for path in _LANES}
        self.readers = ReaderLane(reader_threads, readers_of_one_owner)
        self._stop_by: float | None = None

    # --- what waitress calls ------------------------------------------------------

    def add_task(self, channel: _Channel) -> None:
        path = getattr(channel.requests[0], "path", "")
        channel.queued_since = time.monotonic()
        if _READING.fullmatch(path):
            self.readers.add_task(channel)
        elif path in self._lanes:
            self._lanes[path].add_task(channel)
        else:
            self.task_dispatcher.add_task(channel)

    def handle_accept(self) -> None:
        super().handle_accept()
        if len(self.active_channels) > CONNECTIONS:
            waiting = [channel for channel in self._channels() if channel.waits]
            for channel in sorted(waiting, key=lambda channel: channel.waiting_since)[:1]:
                channel.will_close = True

    def maintenance(self, _now: float) -> None:
        for channel in self._channels():
            channel.will_close |= channel.is_overdue()
            if channel.will_close and channel.total_outbufs_len:
                channel.handle_close()  # who takes nothing is never seen to be ready for it
        self.readers.release(time.monotonic() - LONGEST_IN_QUEUE_SECONDS)
        # Whoever looks for them may be kept by a PostgreSQL that hangs.
        self.waiting_room.release_overdue()

    def _channels(self) -> list[_Channel]:
        return list(self.active_channels.values())

    # --- from start to end --------------------------------------------------------

    def serve(self) -> bool:
        """Answer until SIGTERM or SIGINT, then what is in work; call from the main thread.

        False when a request was still in work when its time was over.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        _log.info("api_listens", host=self.effective_host, port=int(self.effective_port))
        while self._stop_by is None:
            self._turn()
        _log.info("api_stops")
        wasyncore.dispatcher.close(self)  # the listening socket: others are refused, not left
        self.waiting_room.close()
        self.stream_room.close()
        while self._channels() and time.monotonic() < self._stop_by:
            for channel in self._channels():
                channel.close_when_flushed |= not channel.requests
            self._turn()
        return not self._channels()

    def _turn(self) -> None:
        """Wait for something to happen, a second at the most, and let it happen."""
        wasyncore.loop(self.adj.asyncore_loop_timeout, use_poll=True, map=self._map, count=1)

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_by = time.monotonic() + STOP_SECONDS
        self.pull_trigger()


def _lane(threads: int) -> ThreadedTaskDispatcher:
    lane = ThreadedTaskDispatcher()
    lane.set_thread_count(threads)
    return lane
