"""A worker says every few seconds that it is there, which queues it reads and at what it is.

What nobody says nobody can show: without it a migration that no worker takes up looks like one
that is about to begin.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Sequence
from uuid import uuid4

import structlog

from migrations.model.errors import ReembedError
from migrations.model.release import release
from migrations.model.workers import WorkerNote
from migrations.process.at_hand import AtHand
from migrations.process.services import Services

log = structlog.get_logger(__name__)

LEAVING_SECONDS = 2.0


class Presence:
    """Of one worker's main process.

    ``queues`` is asked each time: an operator may have it take from others meanwhile.
    """

    def __init__(
        self, services: Services, name: str, queues: Callable[[], Sequence[str]], at_hand: AtHand
    ) -> None:
        self._services = services
        self._name = name
        self._queues = queues
        self._at_hand = at_hand
        self._id = uuid4().hex
        self._ended = threading.Event()
        self._speaking = threading.Lock()

    def start(self) -> None:
        threading.Thread(target=self._run, name="reembed-presence", daemon=True).start()

    def _run(self) -> None:
        while True:
            self.speak()
            if self._ended.wait(self._services.settings.heartbeat_seconds):
                return

    def speak(self) -> None:
        """Say it once. That nobody hears it is no reason to stop work."""
        with self._speaking:
            if self._ended.is_set():
                return
            try:
                self._services.store.note_worker(self._note())
            except ReembedError as error:
                log.warning("presence_not_noted", reason=error.message)
            except Exception as error:
                log.warning("presence_not_noted", exc_info=error)

    def end(self) -> None:
        """It has ended: whoever looks need not wait to see that it is silent.

        A PostgreSQL that does not answer keeps no worker from ending.
        """
        leaving = threading.Thread(target=self._leave, name="reembed-leaving", daemon=True)
        leaving.start()
        leaving.join(LEAVING_SECONDS)

    def _leave(self) -> None:
        self._ended.set()
        with self._speaking:
            try:
                self._services.store.forget_worker(self._id)
            except Exception as error:
                log.warning("presence_not_taken_back", reason=str(error))

    def _note(self) -> WorkerNote:
        ending = self._services.ending.is_set()
        return WorkerNote(
            id=self._id,
            name=self._name,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=() if ending else tuple(sorted(self._queues())),
            version=release(),
            clock=self._services.clock.here(),
            work=self._at_hand.work(),
        )
