"""Which text a row's vector is of, in this process' memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from migrations.model.chunks import Key
from migrations.model.errors import StateStoreUnavailable


class FakeTexts:
    """Implements :class:`migrations.ports.text_store.TextStore`."""

    reachable: bool

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        #: {(collection, key): (who has begun to write it last, digest)}
        self._texts: dict[tuple[str, str], tuple[int, str | None]] = {}
        self._writers = count(1)

    def begin_texts(self, collection: str, keys: Sequence[Key]) -> int:
        self._require_reachable()
        begun = next(self._writers)
        self._texts |= {(collection, str(key)): (begun, None) for key in keys}
        return begun

    def end_texts(self, collection: str, begun: int, texts: Sequence[tuple[Key, str]]) -> None:
        self._require_reachable()
        for key, digest in texts:
            row = (collection, str(key))
            if row in self._texts:
                is_ours = self._texts[row][0] == begun
                self._texts[row] = (begun, digest) if is_ours else (0, None)

    def note_texts(self, collection: str, texts: Sequence[tuple[Key, str]]) -> None:
        self._require_reachable()
        for key, digest in texts:
            self._texts.setdefault((collection, str(key)), (0, digest))

    def embedded_texts(self, collection: str, keys: Sequence[Key]) -> dict[Key, str]:
        self._require_reachable()
        found = {key: self._texts.get((collection, str(key)), (0, None))[1] for key in keys}
        return {key: digest for key, digest in found.items() if digest is not None}

    def forget_texts(self, collection: str, keys: Sequence[Key] | None = None) -> None:
        self._require_reachable()
        wanted = None if keys is None else set(map(str, keys))
        for row in [r for r in self._texts if r[0] == collection]:
            if wanted is None or row[1] in wanted:
                del self._texts[row]

    def _require_reachable(self) -> None:
        if not self.reachable:
            raise StateStoreUnavailable
