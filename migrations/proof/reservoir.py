"""A few keys of many, each as likely as any other."""

from __future__ import annotations

import random

from migrations.model.chunks import Key


class Reservoir:
    """A uniform reservoir sample (Vitter's algorithm R), the same for the same seed and keys."""

    def __init__(self, wanted: int, seed: int = 0) -> None:
        self.keys: list[Key] = []
        self._wanted = wanted
        self._chooser = random.Random(seed)  # noqa: S311 # no secret
        self._seen = 0

    def add(self, key: Key) -> None:
        self._seen += 1
        if len(self.keys) < self._wanted:
            self.keys.append(key)
        elif (place := self._chooser.randrange(self._seen)) < self._wanted:
            self.keys[place] = key
