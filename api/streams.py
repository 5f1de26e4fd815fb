"""Streams of server-sent events, which hold a connection and no thread.

A route that has looked at a run calls :func:`open_stream` and answers with its beginning. When
that is written the thread goes back to its work, and the connection into the :class:`StreamRoom`.
One thread of the process looks once a second at each run that is watched, however many watch it,
and writes what is new to each connection. It never waits for a client: one that takes nothing is
hung up on.

The rules are those of the HTML standard (https://html.spec.whatwg.org/#server-sent-events): an
event that carries an id is where a client goes on (``Last-Event-ID``), a line that begins with a
colon keeps proxies from hanging up.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

import structlog
from flask import Response, request

from api.problems import TooManyStreams
from migrations.model.errors import MigrationNotFound, ReembedError
from migrations.model.history import Look

_log = structlog.get_logger(__name__)

MEDIA_TYPE = "text/event-stream"
#: Between two looks at the runs that are watched.
LOOK_SECONDS = 1.0
#: Longest silence: proxies give up a connection after a minute of it.
SILENCE_SECONDS = 15.0
#: How often is asked whether whoever watches still may.
LEAVE_SECONDS = 10.0
#: A client that has so much yet to take takes nothing.
MOST_BYTES_BEHIND = 256 * 1024
#: What a client that loses the stream waits before it comes again.
_AGAIN_MILLISECONDS = 3000

#: Where the server puts the :class:`Desk` of a request; see :mod:`api.waiting`.
ENVIRON_KEY = "reembed.streams"

_HEARTBEAT = ": still there\n\n"


def block(event: str, data: str, number: int | None = None) -> str:
    """One event as it is sent; ``data`` may have several lines."""
    head = "" if number is None else f"id: {number}\n"
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"{head}event: {event}\n{lines}\n"


@dataclass(eq=False)
class Stream:
    """What one client is told of a run.

    ``tell`` makes text of a look, "" where there is nothing new; it is called by one thread at a
    time and may remember what it has told. ``may_go_on`` says whether the client may still watch.
    Both are called outside of any request.
    """

    migration_id: UUID
    #: The last event that was told.
    after: int
    tell: Callable[[Look], str]
    may_go_on: Callable[[], bool]
    #: Whose the client is.
    owner: str
    spoke_at: float = field(default_factory=time.monotonic)
    asked_at: float = field(default_factory=time.monotonic)

    def told(self, look: Look) -> str:
        """Of a look that may reach further back than this client has come."""
        new = tuple(event for event in look.events if event.id > self.after)
        text = self.tell(Look(look.progress, new))
        if new:
            self.after = new[-1].id
        return text


class Line(Protocol):
    """A connection that a stream is written to."""

    def say(self, text: bytes) -> bool:
        """False when nobody takes it any more. Never waits."""
        ...

    def hang_up(self) -> None:
        """After what has been said; called once for each time it is taken in."""
        ...


class Desk(Protocol):
    """Where a request asks for its answer to become a stream."""

    def has_place(self, owner: str) -> bool:
        """For one more of this owner's."""
        ...

    def open(self, stream: Stream) -> None: ...


def open_stream(first: Look, stream: Stream) -> Response:
    """What there is already, and, while the run is not over, what follows.

    Raises TooManyStreams. Without our server, in a test client, the answer ends after what there
    is, and so it does for a client that only asks for the headers.
    """
    desk: Desk | None = request.environ.get(ENVIRON_KEY)
    goes_on = desk is not None and request.method == "GET" and not first.is_over
    if desk is not None and goes_on and not desk.has_place(stream.owner):
        raise TooManyStreams
    begin = f"retry: {_AGAIN_MILLISECONDS}\n\n{stream.told(first)}"
    if desk is not None and goes_on:
        desk.open(stream)
    # An iterator, because the length of a list would be announced; nginx keeps an answer back
    # until it is told not to.
    response = Response(iter([begin.encode()]), content_type=f"{MEDIA_TYPE}; charset=utf-8")
    response.headers["X-Accel-Buffering"] = "no"
    return response


class StreamRoom:
    """Of one process: the connections that are streamed to, and who looks for them.

    ``look`` gives a run as it is, with its events after a number, and may fail or take long.
    """

    def __init__(self, look: Callable[[UUID, int], Look], places: int) -> None:
        self._look = look
        self._places = places
        self._streams: dict[Line, Stream] = {}
        self._changed = threading.Condition()
        self._is_open = True
        self._watcher: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._streams)

    def has_place(self, owner: str) -> bool:
        """For one more of this owner's; those who ask at the same time are all told the same."""
        taken = [stream.owner for stream in self._staying().values()]
        of_one = self._places - self._places // 5  # one owner has most of the places, and not all
        return self._is_open and len(taken) < self._places and taken.count(owner) < of_one

    def take_in(self, line: Line, stream: Stream) -> None:
        with self._changed:
            if self._is_open:
                self._streams[line] = stream
                self._begin_to_watch()
                self._changed.notify()
                return
        line.hang_up()

    def let_go(self, line: Line) -> bool:
        """Forget one whose client has hung up. False if it is not, or no longer, here."""
        with self._changed:
            return self._streams.pop(line, None) is not None

    def close(self) -> None:
        """All are hung up on, and nobody is taken in any more."""
        with self._changed:
            self._is_open = False
            self._changed.notify()
        for line in self._staying():
            self._end(line)

    def _begin_to_watch(self) -> None:
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="streams", daemon=True)
            self._watcher.start()

    def _watch(self) -> None:
        while self._is_open:
            with self._changed:
                while self._is_open and not self._streams:
                    self._changed.wait()
                # A whole one from the last look: whoever comes has just been told all.
                self._changed.wait_for(lambda: not self._is_open, LOOK_SECONDS)
            try:
                self.go_round()
            except Exception:
                _log.exception("streams_not_served")

    def go_round(self) -> None:
        """Look at each run once, and tell whoever watches it what is new."""
        by_run: defaultdict[UUID, dict[Line, Stream]] = defaultdict(dict)
        for line, stream in self._staying().items():
            if self._may_go_on(stream):
                by_run[stream.migration_id][line] = stream
            else:
                self._end(line)
        for migration_id, watching in by_run.items():
            self._tell(migration_id, watching)

    def _may_go_on(self, stream: Stream) -> bool:
        now = time.monotonic()
        if now - stream.asked_at < LEAVE_SECONDS:
            return True
        stream.asked_at = now
        try:
            return stream.may_go_on()
        except ReembedError:
            return True  # nobody knows just now; it is asked again

    def _tell(self, migration_id: UUID, watching: Mapping[Line, Stream]) -> None:
        try:
            look = self._look(migration_id, min(stream.after for stream in watching.values()))
        except MigrationNotFound:  # its bot was removed
            for line in watching:
                self._end(line)
            return
        except ReembedError:
            look = None
        for line, stream in watching.items():
            try:
                self._say(line, stream, stream.told(look) if look is not None else "")
            except Exception:
                _log.exception("stream_not_told", migration_id=str(migration_id))
                self._end(line)
            if look is not None and look.is_over:
                self._end(line)

    def _say(self, line: Line, stream: Stream, text: str) -> None:
        now = time.monotonic()
        if not text:
            if now - stream.spoke_at < SILENCE_SECONDS:
                return
            text = _HEARTBEAT
        stream.spoke_at = now
        if not line.say(text.encode()):
            self._end(line)

    def _end(self, line: Line) -> None:
        if self.let_go(line):
            line.hang_up()

    def _staying(self) -> dict[Line, Stream]:
        with self._changed:
            return dict(self._streams)
