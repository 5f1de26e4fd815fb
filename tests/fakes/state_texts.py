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
            row = (collection, str(key))
            if self._texts.setdefault(row, (0, digest))[1] not in (digest, None):
                self._texts[row] = (0, None)

    def embedded_texts(self, collection: str, keys: Sequence[Key]) -> dict[Key, str]:
        self._require_reachable()
        rows = {key: (collection, str(key)) for key in keys}
        return {k: self._texts[row][1] or "" for k, row in rows.items() if row in self._texts}

    def forget_texts(self, collection: str, keys: Sequence[Key] | None = None) -> None:
        self._require_reachable()
        wanted = None if keys is None else set(map(str, keys))
        for row in [r for r in self._texts if r[0] == collection]:
            if wanted is None or row[1] in wanted:
                del self._texts[row]

    def _require_reachable(self) -> None:
        if not self.reachable:
            raise StateStoreUnavailable
