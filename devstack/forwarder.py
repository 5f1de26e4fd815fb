"""Passes TCP connections from one socket on to a port, both ways."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

BUFFER_BYTES = 1 << 20


def forward(listener: socket.socket, target: tuple[str, int]) -> None:
    """Serve ``listener`` until it is closed, each connection with two threads."""
    while True:
        try:
            client = listener.accept()[0]
        except OSError:
            return
        threading.Thread(target=_serve, args=(client, target), daemon=True).start()


def _serve(client: socket.socket, target: tuple[str, int]) -> None:
    try:
        server = socket.create_connection(target, timeout=5)
    except OSError:  # still starting, or gone: the client sees a closed connection
        client.close()
        return
    server.settimeout(None)
    for end in (client, server):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    back = threading.Thread(target=_pump, args=(server, client), daemon=True)
    back.start()
    _pump(client, server)
    back.join()
    client.close()
    server.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    buffer = bytearray(BUFFER_BYTES)
    view = memoryview(buffer)
    with suppress(OSError):
        while count := source.recv_into(buffer):
            sink.sendall(view[:count])
    for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with suppress(OSError):
            end.shutdown(how)
