"""A reader's search: embedded with the live model, in its query role, in the live collection.

Both are read from the bot's row in one statement, and the collection is searched under its
physical name, so an answer is never of a mixed pair. A switch that comes in between is met when
the pair that was read is gone; then the row is read again, and everything is done once more.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import structlog

from migrations.embedding.embed import embed_queries
from migrations.model.bots import Bot, Caller
from migrations.model.chunks import LOOKED_UP, CollectionSchema, Hit, Vectors
from migrations.model.errors import (
    BotNotFound,
    QuestionRefused,
    ReembedError,
    SearchRefused,
    TextRefused,
)
from migrations.model.looked_up import read_with_texts
from migrations.model.search import Answered, Found, Fusion, Search, is_good_enough
from migrations.ports.vector_store import VectorStore
from migrations.process.services import Services
from migrations.readers.question import Question, Spending, with_calls_of_readers

log = structlog.get_logger(__name__)

#: What the ledger says that questions of readers are for.
SEARCH = "search"
#: For how long is believed what Milvus has told of a collection, and of how many.
BELIEVED_SECONDS = 60.0
BELIEVED = 256
EVERY_FIELD = "*"


class Searching:
    """Of one process; safe for threads."""

    def __init__(self, services: Services, spending: Spending) -> None:
        self._services = with_calls_of_readers(services)
        self._spending = spending
        self._schemas = Schemas(services.vectors, services.clock.monotonic)

    def search(self, caller: Caller, bot_id: str, wish: Search) -> Answered:
        """What the bot's live collection answers.

        Raises:
            BotNotFound, SearchRefused, QuestionRefused; CollectionNotFound, VectorStoreUnavailable,
            VectorStoreRefused and what a provider answers
            (:data:`migrations.ports.embedders.PROVIDER_FAULTS`).
        """
        bot = self._bot(caller, bot_id)
        try:
            return self._answer(bot, wish)
        except ReembedError as error:
            if not isinstance(error, SearchRefused | QuestionRefused):
                self._schemas.forget(bot)
            now = self._bot(caller, bot_id)
            if now.live == bot.live:
                raise
            log.info("searched_again", bot_id=bot_id, reason=error.message)
        return self._answer(now, wish)

    def _bot(self, caller: Caller, bot_id: str) -> Bot:
        bot = self._services.store.bot(bot_id)
        if not caller.may_touch(bot.owner):
            raise BotNotFound
        return bot

    def _answer(self, bot: Bot, wish: Search) -> Answered:
        schema = read_with_texts(self._schemas.of(bot), bot.recipe)
        vectors = self._embedded(bot, wish.texts)
        hits = self._services.vectors.find(schema, vectors, wish, _fields_for(bot, wish))
        return Answered(
            live=bot.live,
            metric=_scored_by(schema, wish.fusion),
            found=[_found(bot, schema, wish, page) for page in hits],
        )

    def _embedded(self, bot: Bot, texts: Sequence[str]) -> Vectors:
        question = Question(self._services, bot.owner, bot.bot_id, spending=self._spending)
        answers = embed_queries(question, bot.live.embedding, texts, SEARCH, insist=False)
        try:
            return np.stack([answers.of(text) for text in texts])
        except TextRefused as refused:
            raise QuestionRefused(f"The model takes no such text. {refused.message}") from refused


def _fields_for(bot: Bot, wish: Search) -> list[str]:
    asked = [EVERY_FIELD] if wish.output_fields is None else list(wish.output_fields)
    of_text = list(bot.recipe.fields) if wish.with_text else []
    if EVERY_FIELD in asked:  # of the collection, and the text may stand elsewhere
        return [EVERY_FIELD, *(name for name in of_text if name == LOOKED_UP)]
    return list(dict.fromkeys([*asked, *of_text]))


def _found(bot: Bot, schema: CollectionSchema, wish: Search, page: Sequence[Hit]) -> list[Found]:
    smaller_is_better = wish.fusion is None and schema.metric == "L2"
    return [
        Found(
            key=hit.key,
            score=hit.score,
            text=bot.recipe.text_of(hit.fields) if wish.with_text else None,
            fields=_only(wish.output_fields, hit),
        )
        for hit in page
        if is_good_enough(hit, wish.score_threshold, smaller_is_better=smaller_is_better)
    ]


def _only(wanted: Sequence[str] | None, hit: Hit) -> dict[str, object]:
    if wanted is None or EVERY_FIELD in wanted:
        return {name: value for name, value in hit.fields.items() if name != LOOKED_UP}
    return {name: hit.fields[name] for name in wanted if name in hit.fields}


def _scored_by(schema: CollectionSchema, fusion: Fusion | None) -> str:
    if fusion is None:
        return schema.metric
    return "WEIGHTED" if fusion.rrf_k is None else "RRF"


@dataclass(frozen=True)
class _Believed:
    schema: CollectionSchema
    until: float


class Schemas:
    """What Milvus has told of the collections that are searched. Safe for threads.

    The name of a physical collection is never given to another one of ours, so what is believed
    of it is wrong only if its owner has changed it, and for a minute at the most.
    """

    def __init__(self, vectors: VectorStore, monotonic: Callable[[], float]) -> None:
        self._vectors = vectors
        self._monotonic = monotonic
        self._told: OrderedDict[tuple[str, str], _Believed] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, bot: Bot) -> CollectionSchema:
        """Of its live collection. Raises CollectionNotFound, VectorStoreUnavailable."""
        named = (bot.live.collection, bot.vector_field)
        now = self._monotonic()
        with self._lock:
            believed = self._told.get(named)
        if believed is not None and now < believed.until:
            return believed.schema
        schema = self._vectors.describe(*named)
        with self._lock:
            self._told[named] = _Believed(schema, now + BELIEVED_SECONDS)
            self._told.move_to_end(named)
            if len(self._told) > BELIEVED:
                self._told.popitem(last=False)
        return schema

    def forget(self, bot: Bot) -> None:
        with self._lock:
            self._told.pop((bot.live.collection, bot.vector_field), None)
