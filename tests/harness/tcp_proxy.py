"""A wire that can be cut, stalled and slowed, in front of any server.

One thread runs an event loop; the methods may be called from any other.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

_CHUNK = 1 << 16
#: Linger on, for no time: closing sends a reset instead of an orderly end.
_RESET = struct.pack("ii", 1, 0)


class TcpProxy:
    """Passes connections on 127.0.0.1 on to a port there; a context manager.

    ``port`` stays the same through every mishap. With ``tls`` clients have to speak it.
    """

    def __init__(self, upstream_port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.upstream_port = upstream_port
        self._tls = tls
        self.connections_made = 0
        #: How many answers :meth:`lose_answer` has lost.
        self.answers_lost = 0
        self._latency = 0.0
        self._to_lose: tuple[bytes, bytes] | None = None
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._pipes: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._call(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- mishaps ------------------------------------------------------------------

    def cut(self) -> None:
        """Reset every connection that is open; new ones are taken."""
        self._call(self._reset_all)

    def refuse(self) -> None:
        """Reset what is open and refuse new connections, as a server that is down."""
        self._call(self._stop_listening)

    def stall(self) -> None:
        """Nothing gets through, and nobody is told."""
        self._call(self._flowing.clear)

    def slow(self, seconds: float) -> None:
        """Everything arrives this much later."""
        self._call(lambda: setattr(self, "_latency", seconds))

    def lose_answer(self, first: bytes, then: bytes) -> None:
        """Once: who has sent ``first`` and now sends ``then`` gets it done, and a reset.

        For a COMMIT that is carried out and whose reply never arrives.
        """
        self._call(lambda: setattr(self, "_to_lose", (first, then)))

    def restore(self) -> None:
        """All is well again. What was stalled arrives late."""
        self._call(self._restore)

    # --- in the loop's thread -----------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, action: Callable[[], Any]) -> None:
        async def act() -> None:
            result = action()
            if asyncio.iscoroutine(result):
                await result

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(10)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(
            self._take, "127.0.0.1", self.port, reuse_address=True, ssl=self._tls
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _restore(self) -> None:
        self._latency = 0.0
        self._to_lose = None
        self._flowing.set()
        if self._listener is None:
            await self._listen()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._reset_all()

    async def _close(self) -> None:
        self._stop_listening()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _reset_all(self) -> None:
        self._reset(self._pipes)

    def _reset(self, pipes: set[asyncio.StreamWriter]) -> None:
        for pipe in list(pipes):
            sock: socket.socket | None = pipe.get_extra_info("socket")
            if sock is not None:
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            pipe.transport.abort()

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: asyncio tells of those it makes when they are cancelled.
        task = self._loop.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_made += 1
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, up_writer}
        self._pipes |= both
        wire = _Wire(both)
        try:
            await asyncio.gather(
                self._pass_on(reader, up_writer, wire, asking=True),
                self._pass_on(up_reader, writer, wire, asking=False),
            )
        finally:
            self._pipes -= both
            for pipe in both:
                pipe.transport.abort()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        wire: _Wire,
        *,
        asking: bool,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                if self._latency:
                    await asyncio.sleep(self._latency)
                if asking:
                    self._look_at(data, wire)
                if wire.mute and not asking:
                    self.answers_lost += 1
                    self._reset(wire.pipes)  # done, and its reply is here to be lost
                    return
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
            else:  # TLS has no half-closed connections
                writer.close()

    def _look_at(self, data: bytes, wire: _Wire) -> None:
        if self._to_lose is None:
            return
        first, then = self._to_lose
        wire.armed = wire.armed or first in data
        if wire.armed and then in data:
            self._to_lose = None
            wire.mute = True


class _Wire:
    """What is known of one connection: both ends, and whether its answers are to be lost."""

    def __init__(self, pipes: set[asyncio.StreamWriter]) -> None:
        self.pipes = pipes
        self.armed = self.mute = False
