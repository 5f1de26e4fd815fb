"""Embedding for those who search by a bot's alias, with the model of what it points to.

The alias follows a switch some moments after it, and its readers know nothing of either. A
vector given by this module is of the collection that the alias points to at the moment it is
given, and the alias stays there for the *drain* (:mod:`migrations.target.alias`): whoever is
answered by Milvus within that time searches with the vector's own model. While the alias is
being moved nobody is given any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from migrations.embedding.embed import embed_queries, embed_texts
from migrations.model.bots import Bot, Caller, Role
from migrations.model.chunks import Vectors
from migrations.model.config import EmbeddingRef
from migrations.model.errors import AliasMoves, BotNotFound, DimensionNotLive
from migrations.process.services import Services
from migrations.readers.question import Question, Spending, with_calls_of_readers

#: How often texts are embedded again because the alias has moved meanwhile.
_MOVES = 2


class Kind(StrEnum):
    """What a text is to the bot."""

    QUERY = "query"
    PASSAGE = "passage"


@dataclass(frozen=True)
class Given:
    """What a reader is given: one vector a text, in the order of the texts."""

    bot_id: str
    embedding: EmbeddingRef
    vectors: Vectors
    #: As billed; of equal texts one is.
    tokens: int


class AliasReaders:
    """Those who know a bot by its alias alone."""

    def __init__(self, services: Services, spending: Spending) -> None:
        self._services = with_calls_of_readers(services)
        self._spending = spending

    def bot(self, caller: Caller, alias: str) -> Bot:
        """Raises BotNotFound, also for a bot of somebody else's."""
        bot = self._services.store.bot_by_alias(alias)
        if not caller.may_touch(bot.owner):
            raise BotNotFound
        return bot

    def embed(
        self,
        caller: Caller,
        alias: str,
        kind: Kind,
        texts: Sequence[str],
        dimension: int | None = None,
    ) -> Given:
        """Vectors of texts, for whoever searches by the alias or writes by it.

        Passages are for those who write: a token that may only ask is given none. Of a question
        that is longer than the model takes the beginning is asked; a passage is refused.
        ``dimension`` is what the caller expects, where it does.

        Raises:
            BotNotFound, NotAllowed, DimensionNotLive; AliasMoves: ask again; TextRefused and what
            else a provider answers (:data:`migrations.ports.embedders.PROVIDER_FAULTS`).
        """
        if kind is Kind.PASSAGE:
            caller.require({Role.USER})
        services, bot = self._services, self.bot(caller, alias)
        embedding = embedding_by_alias(services, bot)
        for _ in range(1 + _MOVES):
            if dimension not in {None, embedding.dimension}:
                raise DimensionNotLive(
                    f"The bot's model has {embedding.dimension} dimensions now, and {dimension} "
                    "were asked for. Leave 'dimensions' out, so that it may change.",
                    dimension=embedding.dimension,
                )
            given = _embed(self._question_to(bot), bot, embedding, kind, texts)
            still = embedding_by_alias(services, services.store.bot_by_alias(alias))
            if still == embedding:
                return given
            embedding = still
        raise AliasMoves(retry_after_seconds=1, bot_id=bot.bot_id)

    def _question_to(self, bot: Bot) -> Question:
        return Question(self._services, bot.owner, bot.bot_id, spending=self._spending)


def embedding_by_alias(services: Services, bot: Bot) -> EmbeddingRef:
    """How the collection is embedded that the bot's alias points to.

    Raises:
        AliasMoves: it may point to either of two; what asking Milvus raises, once that has
        lasted for longer than it should.
    """
    behind = bot.alias_behind
    if behind is None:
        return bot.live.embedding
    at: str | None = behind.collection
    if behind.moving_since is not None:
        moving_for = (services.now() - behind.moving_since).total_seconds()
        if moving_for < services.settings.alias_hold_seconds:
            raise AliasMoves(retry_after_seconds=1, bot_id=bot.bot_id)
        at = services.milvus_briefly.ask(lambda: services.vectors.resolve_alias(bot.alias))
    embedding = bot.embedding_of(at) if at is not None else None
    if embedding is None:  # it was pointed elsewhere by somebody; the watchdog takes it back
        raise AliasMoves(retry_after_seconds=1, bot_id=bot.bot_id)
    return embedding


def alias_stays(bot: Bot) -> bool:
    """Whether it is known where the bot's alias points."""
    return bot.alias_behind is None or bot.alias_behind.moving_since is None


def _embed(
    work: Question, bot: Bot, embedding: EmbeddingRef, kind: Kind, texts: Sequence[str]
) -> Given:
    if kind is Kind.QUERY:
        answers = embed_queries(work, embedding, texts, kind.value, insist=False)
    else:
        answers = embed_texts(work, embedding, texts, kind.value, insist=False)
    vectors = np.stack([answers.of(text) for text in texts])
    return Given(bot.bot_id, embedding, vectors, answers.tokens)
