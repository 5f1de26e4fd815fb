"""Turns of requests that ask what may hang, so that they never take all threads of a process."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from migrations.model.errors import TooManyAtOnce


class Turns:
    """Of one process: so many at once, and so many of one owner."""

    def __init__(self, at_once: int, of_one_owner: int) -> None:
        self._at_once = at_once
        self._of_one_owner = of_one_owner
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def one(self, owner: str) -> Iterator[None]:
        """Hold a turn. Raises TooManyAtOnce; nobody waits for one."""
        with self._lock:
            self._refuse_beyond(owner)
            self._taken[owner] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[owner] -= 1
                self._taken += Counter()  # forgets owners who hold none

    def _refuse_beyond(self, owner: str) -> None:
        if self._taken[owner] >= self._of_one_owner:
            raise TooManyAtOnce(
                f"{self._of_one_owner} of your requests that ask Milvus or a provider are being "
                "answered; try again when one of them is."
            )
        if self._taken.total() >= self._at_once:
            raise TooManyAtOnce
