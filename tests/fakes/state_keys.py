"""Maps of keys that Milvus gives, in this process' memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from migrations.model.chunks import KeyRange
from migrations.model.given_keys import Intent, Mapped, Pair

#: (old collection, new collection)
Collections = tuple[str, str]


class FakeKeys:
    """Implements :class:`migrations.ports.key_store.KeyStore`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._key_maps: dict[Collections, list[tuple[int, int]]] = {}
        self._key_intents: dict[int, tuple[Collections, bool, int, bytes]] = {}
        self._intent_ids = count(1)

    def pairs_of(self, mapped: Mapped, told: Sequence[int]) -> list[Pair]:
        return [pair for pair in self._pairs(mapped) if pair.told in set(told)]

    def pairs_within(self, mapped: Mapped, within: KeyRange, chunks: int) -> list[Pair]:
        pairs = [pair for pair in self._pairs(mapped) if pair.told in within]
        keys = sorted({pair.told for pair in pairs})[:chunks]
        found = [pair for pair in pairs if pair.told in set(keys)]
        return sorted(found, key=lambda pair: (pair.told, pair.stored))

    def told_of(self, mapped: Mapped, stored: Sequence[int]) -> dict[int, int]:
        wanted = set(stored)
        return {pair.stored: pair.told for pair in self._pairs(mapped) if pair.stored in wanted}

    def intend(self, mapped: Mapped, rows: Sequence[tuple[int, bytes]]) -> list[int]:
        which, is_of_old = self._which(mapped)
        self._key_maps.setdefault(which, [])
        ids = [next(self._intent_ids) for _ in rows]
        for id_, (key, digest) in zip(ids, rows, strict=True):
            self._key_intents[id_] = (which, is_of_old, key, digest)
        return ids

    def give(self, mapped: Mapped, given: Sequence[tuple[int, int]]) -> None:
        for id_, stored in given:
            intent = self._key_intents.pop(id_, None)
            if intent is not None:
                which, is_of_old, key, _ = intent
                self._key_maps[which].append((key, stored) if is_of_old else (stored, key))

    def intents(self, mapped: Mapped, told: Sequence[int] | None = None) -> list[Intent]:
        side = self._which(mapped)
        return [
            Intent(id_, key, digest)
            for id_, (which, is_of_old, key, digest) in self._key_intents.items()
            if (which, is_of_old) == side and (told is None or key in set(told))
        ]

    def key_map(self, old: str, new: str, after: int | None, limit: int) -> list[tuple[int, int]]:
        last = {pair.told: pair.stored for pair in self._pairs(Mapped(old, new))}
        return sorted(item for item in last.items() if after is None or item[0] > after)[:limit]

    def forget_keys(self, collection: str) -> None:
        for which in [names for names in self._key_maps if collection in names]:
            del self._key_maps[which]
            for id_ in [i for i, intent in self._key_intents.items() if intent[0] == which]:
                del self._key_intents[id_]

    def _which(self, mapped: Mapped) -> tuple[Collections, bool]:
        backward = (mapped.collection, mapped.keyed_as)
        if backward in self._key_maps:
            return backward, False
        return (mapped.keyed_as, mapped.collection), True

    def _pairs(self, mapped: Mapped) -> list[Pair]:
        """In the order in which they were given; each stored key once, as it was given last."""
        which, is_told_by_old = self._which(mapped)
        last: dict[int, int] = {}
        for old, new in self._key_maps.get(which, []):
            told, stored = (old, new) if is_told_by_old else (new, old)
            last.pop(stored, None)
            last[stored] = told
        return [Pair(told, stored) for stored, told in last.items()]
