"""Golden queries: what a bot's owner wants to be asked before anything is switched."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from migrations.model.chunks import Key

#: Of one bot.
MOST_QUERIES = 1000


@dataclass(frozen=True)
class GoldenQuery:
    """A question, and the keys of the chunks that answer it where somebody knows them."""

    id: str
    text: str
    relevant: tuple[Key, ...] = ()


def id_of(text: str) -> str:
    """Of a query that was given none: the same for the same text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
