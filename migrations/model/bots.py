"""Bots, who may touch them, and what they answer from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from migrations.model.config import EmbeddingRef, Manner
from migrations.model.errors import NotAllowed
from migrations.model.proofs import Proof
from migrations.model.texts import Recipe


class Role(StrEnum):
    """What a token is for. A narrow one never may what a wider one may not."""

    #: May ask the owner's bots and embed questions, as a chatbot does. Nothing else.
    QUERY = "query"
    #: May see whatever the owner may see, and neither change nor spend anything.
    READ = "read"
    #: May see and migrate their own bots, and register what was granted to the owner.
    USER = "user"
    #: May see and migrate every bot, register any collection and say who may do what.
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """Who asks: the owner, role and number of a token, never the token itself."""

    owner: str
    role: Role = Role.USER
    #: None for who asks without one: another part of reembed.
    token_id: int | None = field(default=None, compare=False)

    def may_touch(self, owner: str) -> bool:
        return self.role is Role.ADMIN or self.owner == owner

    def require(self, roles: Collection[Role]) -> None:
        """An admin may whatever one of these may. Raises NotAllowed, which names them."""
        if self.role is Role.ADMIN or self.role in roles:
            return
        needed = [role.value for role in Role if role is Role.ADMIN or role in roles]
        *others, last = needed
        named = f"{', '.join(others)} or {last}" if others else last
        raise NotAllowed(
            f"This needs a token with the role {named}; yours has the role {self.role.value}.",
            needed_roles=needed,
        )

    def require_admin(self) -> None:
        """Raises NotAllowed."""
        self.require(())


@dataclass(frozen=True)
class LivePair:
    """What a reader needs as one fact: where to search and which model embeds the query."""

    collection: str
    embedding: EmbeddingRef
    generation: int


@dataclass(frozen=True)
class PreviousPair:
    """Where the bot was before the last switch, and until when one can go back."""

    collection: str
    embedding: EmbeddingRef
    expires_at: datetime


@dataclass(frozen=True)
class AliasBehind:
    """An alias that does not point to the live collection, as far as it was seen."""

    #: Where it points, or did before it was moved.
    collection: str
    #: Since when it is being moved, so that it may point to either; None before that.
    moving_since: datetime | None = None


@dataclass(frozen=True)
class Bot:
    """A registered RAG bot. ``alias`` is what foreign readers use; it follows ``live``."""

    bot_id: str
    owner: str
    alias: str
    live: LivePair
    key_field: str
    #: How the text of a chunk that is embedded is made.
    recipe: Recipe
    vector_field: str
    previous: PreviousPair | None
    created_at: datetime
    updated_at: datetime
    #: Whether collections that no run of ours has made may be dropped when their time is over.
    drop_originals: bool = False
    #: What the vectors are compared by, which no migration changes; None of bots of before.
    metric: str | None = None
    #: How it is known that the text is what was embedded; None of bots of before.
    proof: Proof | None = None
    #: None as long as the alias follows.
    alias_behind: AliasBehind | None = None

    def embedding_of(self, collection: str) -> EmbeddingRef | None:
        """How the live or the previous collection is embedded; None for any other."""
        if collection == self.live.collection:
            return self.live.embedding
        previous = self.previous
        return previous.embedding if previous and collection == previous.collection else None

    @property
    def manner(self) -> Manner:
        """How the live collection is embedded and asked, beside model and dimension."""
        return self.live.embedding.manner
