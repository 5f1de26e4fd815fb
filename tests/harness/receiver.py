"""A webhook receiver on a socket: verifies what it is sent, and answers as it is told."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from devstack.server import LOOPBACK

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@dataclass
class Receiver:
    """``answer`` is given a message that was verified, and returns a status and a body."""

    answer: Callable[[dict[str, Any]], tuple[int, bytes]] = lambda _: (204, b"")
    #: Where it says that others are to be asked instead.
    location: str | None = None
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    url: str = ""
    _came: threading.Condition = field(default_factory=threading.Condition)

    def take(self, message_id: str, message: dict[str, Any]) -> tuple[int, bytes]:
        with self._came:
            self.messages.append((message_id, message))
            self._came.notify_all()
        return self.answer(message)

    def wait_for(self, migration_id: str, type_: str, seconds: float = 60) -> list[str]:
        """All that it was told of the migration, once it was told this. Raises TimeoutError."""
        with self._came:
            if not self._came.wait_for(lambda: type_ in self.types_of(migration_id), seconds):
                raise TimeoutError(f"it was told only {self.types_of(migration_id)}")
        return self.types_of(migration_id)

    def types_of(self, migration_id: str) -> list[str]:
        """Of one migration, in the order in which they happened, each once."""
        mine = {
            id_: message
            for id_, message in list(self.messages)
            if message["data"]["migration_id"] == migration_id
        }
        told = sorted(mine.values(), key=lambda message: str(message["timestamp"]))
        return [message["type"].removeprefix("migration.") for message in told]


@contextmanager
def receiving(receiver: Receiver) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            message = Webhook(SECRET).verify(body, dict(self.headers))
            status, said = receiver.take(self.headers["webhook-id"], message)
            self.send_response(status)
            if receiver.location:
                self.send_header("location", receiver.location)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        server.daemon_threads = True
        receiver.url = f"http://{LOOPBACK}:{server.server_address[1]}/reembed"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()
