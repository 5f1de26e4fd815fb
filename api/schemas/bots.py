"""Bots as callers see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flask import url_for
from pydantic import Field

from api.schemas.parts import (
    CURRENT_EXAMPLE,
    TARGET_EXAMPLE,
    EmbeddingItem,
    ResponseBody,
)
from api.schemas.proofs import TextProofItem
from migrations.model.answers import RemovedBot, Staying
from migrations.model.bots import Bot, PreviousPair
from migrations.model.collection_names import located
from migrations.model.roles import TextRole
from migrations.model.texts import FieldRecipe, Recipe


class PreviousItem(ResponseBody):
    """Where the bot was before its last switch."""

    collection: str = Field(
        description="The physical collection, kept as it is.", examples=["support_docs"]
    )
    embedding: EmbeddingItem = Field(
        description="What its vectors are.",
        examples=[CURRENT_EXAMPLE],
    )
    expires_at: datetime = Field(
        description="Until when one can go back to it.", examples=["2026-11-06T09:30:00Z"]
    )

    @classmethod
    def of(cls, previous: PreviousPair) -> PreviousItem:
        return cls(
            collection=previous.collection,
            embedding=EmbeddingItem.of(previous.embedding),
            expires_at=previous.expires_at,
        )


class BotResponse(ResponseBody):
    """A registered bot, and what it answers from now."""

    bot_id: str = Field(description="Its id.", examples=["support-bot"])
    owner: str = Field(description="Whose it is.", examples=["acme"])
    alias: str = Field(
        description="The Milvus alias that follows the live collection.",
        examples=["support_docs_live"],
    )
    collection: str = Field(
        description="The live physical collection, after its database (sales.docs) if the bot was "
        "registered so.",
        examples=["support_docs_live__g2_6f1f4a52"],
    )
    embedding: EmbeddingItem = Field(
        description="The live embedding: queries must be embedded with it.",
        examples=[TARGET_EXAMPLE],
    )
    generation: int = Field(description="Counts the switches, forth and back.", examples=[2])
    key_field: str = Field(description="The collection's primary key.", examples=["id"])
    text_field: str | None = Field(
        description="The field that is embedded; null where the text is made otherwise.",
        examples=["text"],
    )
    text: Recipe = Field(
        description="How the text that is embedded is made, in the form of a registration.",
        examples=[{"field": "text"}],
    )
    text_proof: TextProofItem | None = Field(
        description="What shows that this is the text that was embedded; null of a bot that was "
        "registered before this was kept.",
        examples=[None],
    )
    vector_field: str = Field(description="The field with the vectors.", examples=["vector"])
    drop_originals: bool = Field(
        description="Whether collections that reembed did not make may be dropped when the bot has "
        "left them and the way back is over.",
        examples=[False],
    )
    previous: PreviousItem | None = Field(
        description="What a rollback would return to; null when there is nothing.",
        examples=[None],
    )
    created_at: datetime = Field(
        description="When it was registered.", examples=["2026-11-01T08:00:00Z"]
    )
    updated_at: datetime = Field(
        description="When it last changed.", examples=["2026-11-03T09:30:00Z"]
    )
    links: dict[str, str] = Field(
        description="Where to go from here, by name.",
        examples=[{"self": "/bots/support-bot"}],
    )

    @classmethod
    def of(cls, bot: Bot) -> BotResponse:
        return cls(
            bot_id=bot.bot_id,
            owner=bot.owner,
            alias=bot.alias,
            collection=bot.live.collection,
            embedding=EmbeddingItem.of(bot.live.embedding),
            generation=bot.live.generation,
            key_field=bot.key_field,
            text_field=_field_of(bot),
            text=bot.recipe,
            text_proof=TextProofItem.of(bot.proof),
            vector_field=bot.vector_field,
            drop_originals=bot.drop_originals,
            previous=PreviousItem.of(bot.previous) if bot.previous else None,
            created_at=bot.created_at,
            updated_at=bot.updated_at,
            links=_links(bot.bot_id),
        )


class LiveResponse(ResponseBody):
    """What a reader needs as one fact: where to search, and how what it asks is embedded."""

    bot_id: str = Field(description="The bot.", examples=["support-bot"])
    generation: int = Field(
        description="Counts the switches: until it changes, so does nothing here but, by a "
        "correction of the bot, the roles and with them the fingerprint.",
        examples=[2],
    )
    collection: str = Field(
        description="The physical collection to search in, and to write to, as it is called in "
        "its database.",
        examples=["support_docs_live__g2_6f1f4a52"],
    )
    database: str = Field(
        description="The Milvus database it is in; empty for the default one.", examples=[""]
    )
    embedding: EmbeddingItem = Field(
        description="The embedding of what is in it.",
        examples=[TARGET_EXAMPLE],
    )
    document_role: TextRole = Field(
        description="How documents are embedded: those that are there, and what is written.",
        examples=[{"prefix": "passage: ", "suffix": "", "parameters": {}}],
    )
    query_role: TextRole = Field(
        description="How questions are embedded: prefix and suffix round the text, parameters in "
        "the request.",
        examples=[{"prefix": "query: ", "suffix": "", "parameters": {}}],
    )
    fingerprint: str = Field(
        description="Of the embedding with its roles; what was embedded under another one is not "
        "comparable.",
        examples=["016674205ece4a7b"],
    )
    key_field: str = Field(description="The collection's primary key.", examples=["id"])
    text_field: str | None = Field(
        description="The field that is embedded; null where the text is made otherwise.",
        examples=["text"],
    )
    text: Recipe = Field(
        description="How the text that is embedded is made of a row, in the form of a "
        "registration: whoever writes makes it so.",
        examples=[{"field": "text"}],
    )
    vector_field: str = Field(description="The field with the vectors.", examples=["vector"])
    metric: str | None = Field(
        description="What the vectors are compared by; no migration changes it. Null of a bot that "
        "was registered before this was kept and has not been switched since.",
        examples=["COSINE"],
    )
    previous: PreviousItem | None = Field(
        description="Where the bot answered from before, and until when that is kept as it is; "
        "null when there is nothing.",
        examples=[None],
    )

    @classmethod
    def of(cls, bot: Bot, default_database: str) -> LiveResponse:
        embedding = bot.live.embedding
        database, collection = located(bot.live.collection, default_database)
        return cls(
            bot_id=bot.bot_id,
            generation=bot.live.generation,
            database=database,
            collection=collection,
            embedding=EmbeddingItem.of(embedding),
            document_role=embedding.document_role,
            query_role=embedding.query_role,
            fingerprint=embedding.fingerprint,
            key_field=bot.key_field,
            text_field=_field_of(bot),
            text=bot.recipe,
            vector_field=bot.vector_field,
            metric=bot.metric,
            previous=PreviousItem.of(bot.previous) if bot.previous else None,
        )


class BotListResponse(ResponseBody):
    """The bots the caller may see, or a page of them, in the order of their ids."""

    count: int = Field(description="How many are in this answer.", examples=[1])
    bots: list[BotResponse] = Field(description="Each of them.", examples=[[]])
    next_cursor: str | None = Field(
        description="Sent as `cursor` it gives those that follow; null when none do.",
        examples=[None],
    )

    @classmethod
    def of(cls, found: Sequence[Bot], limit: int) -> BotListResponse:
        """Of one more than the limit, where there are as many."""
        page = [BotResponse.of(bot) for bot in found[:limit]]
        follows = page[-1].bot_id if len(found) > limit else None
        return cls(count=len(page), bots=page, next_cursor=follows)


class StayingItem(ResponseBody):
    """A collection that a removed bot has left in Milvus."""

    collection: str = Field(description="Its physical name.", examples=["support_docs"])
    was: Staying = Field(
        description="What it was to the bot: live, previous, kept, or unfinished, which a run that "
        "failed has left without being undone.",
        examples=["live"],
    )
    made_here: bool = Field(description="Whether reembed has made it.", examples=[False])


class BotRemovalResponse(ResponseBody):
    """What stays of a bot that was removed."""

    bot_id: str = Field(description="The id it had; it is free again.", examples=["support-bot"])
    alias: str = Field(
        description="The Milvus alias. It stays and points to the live collection.",
        examples=["support_docs_live"],
    )
    collections: list[StayingItem] = Field(
        description="The collections that stay, and that nobody looks after any more.",
        examples=[[{"collection": "support_docs", "was": "live", "made_here": False}]],
    )
    message: str = Field(
        description="What to do with them, in a sentence.",
        examples=["Nothing in Milvus was touched: drop there what nobody needs."],
    )

    @classmethod
    def of(cls, removed: RemovedBot) -> BotRemovalResponse:
        return cls(
            bot_id=removed.bot.bot_id,
            alias=removed.bot.alias,
            collections=[
                StayingItem(collection=s.collection, was=s.was, made_here=s.made_here)
                for s in removed.stays
            ],
            message="Nothing in Milvus was touched and nothing will be: readers of the alias are "
            "answered as before. Drop there what nobody needs; what was kept is not dropped by "
            "reembed any more.",
        )


def _field_of(bot: Bot) -> str | None:
    return bot.recipe.field if isinstance(bot.recipe, FieldRecipe) else None


def _links(bot_id: str) -> dict[str, str]:
    return {
        "self": url_for("bots.bot", bot_id=bot_id),
        "live": url_for("embeddings.live", bot_id=bot_id),
        "status": url_for("embeddings.migration_status", bot_id=bot_id),
        "dimension": url_for("embeddings.dimension_info", bot_id=bot_id),
    }
