"""Answers to questions that change nothing: can it go, what would it take, which fit."""

from __future__ import annotations

from pydantic import Field

from api.schemas.checks import CheckItem
from api.schemas.parts import (
    CURRENT_EXAMPLE,
    TARGET_EXAMPLE,
    EmbeddingItem,
    ResponseBody,
)
from migrations.model.answers import (
    BotEstimate,
    ChangeValidation,
    DimensionInfo,
    TextCandidate,
    TextDiagnosis,
)
from migrations.model.known_models import ModelInfo
from migrations.model.texts import Recipe


class EmbeddingValidationResponse(ResponseBody):
    """Whether the bot could go to the embedding now."""

    bot_id: str = Field(description="The bot that was looked at.", examples=["support-bot"])
    compatible: bool = Field(
        description="True when no check of severity 'error' failed.", examples=[True]
    )
    current: EmbeddingItem = Field(description="What the bot has.", examples=[CURRENT_EXAMPLE])
    target: EmbeddingItem = Field(description="What it would have.", examples=[TARGET_EXAMPLE])
    checks: list[CheckItem] = Field(
        description="Every check, the same ones that open a migration.", examples=[[]]
    )
    errors: list[str] = Field(description="The sentences that stand in the way.", examples=[[]])
    warnings: list[str] = Field(
        description="The sentences to know about.",
        examples=[["2 chunks have no text and are left out."]],
    )

    @classmethod
    def of(cls, found: ChangeValidation) -> EmbeddingValidationResponse:
        return cls(
            bot_id=found.bot.bot_id,
            compatible=found.report.passed,
            current=EmbeddingItem.of(found.bot.live.embedding),
            target=EmbeddingItem.of(found.target),
            checks=CheckItem.all_of(found.report.checks),
            errors=[check.message for check in found.report.errors],
            warnings=[check.message for check in found.report.warnings],
        )


class TextCandidateItem(ResponseBody):
    """A way of making a text of a row, and what the bot's model makes of it."""

    text: Recipe = Field(description="In the form of a registration.", examples=[{"field": "text"}])
    prefix: str = Field(
        description="What was put before each text for the bot's model; empty for nothing.",
        examples=[""],
    )
    fits: bool = Field(
        description="Whether it gives the stored vectors, at the median.", examples=[True]
    )
    judged: int = Field(description="Texts that were embedded for it.", examples=[100])
    median_cosine: float | None = Field(
        description="Between their vectors and the stored ones; null where none was embedded.",
        examples=[1.0],
    )
    low_cosine: float | None = Field(
        description="Nineteen of twenty are at least this.", examples=[0.9999]
    )
    lowest_cosine: float | None = Field(description="The lowest of them.", examples=[0.9998])
    strangers: int = Field(description="How many of them are below the threshold.", examples=[0])
    threshold: float = Field(
        description="The cosine from which on two vectors are the same, by what the model "
        "reproduces of its own answers.",
        examples=[0.999],
    )

    @classmethod
    def of(cls, one: TextCandidate) -> TextCandidateItem:
        cosines = one.cosines
        return cls(
            text=one.recipe,
            prefix=one.prefix,
            fits=one.fits,
            judged=one.judged,
            median_cosine=cosines.median if cosines else None,
            low_cosine=cosines.low if cosines else None,
            lowest_cosine=cosines.lowest if cosines else None,
            strangers=one.strangers,
            threshold=one.threshold,
        )


class TextDiagnosisResponse(ResponseBody):
    """Which text of its rows a bot's model turns into the stored vectors."""

    bot_id: str = Field(description="The bot that was looked at.", examples=["support-bot"])
    text: Recipe = Field(
        description="What the bot is registered with.", examples=[{"field": "text"}]
    )
    rows: int = Field(
        description="Rows that were looked at, from all over the collection.", examples=[100]
    )
    tokens: int = Field(description="What asking came to, as billed.", examples=[21000])
    candidates: list[TextCandidateItem] = Field(
        description="Everything that was tried, the likeliest first.", examples=[[]]
    )

    @classmethod
    def of(cls, found: TextDiagnosis) -> TextDiagnosisResponse:
        return cls(
            bot_id=found.bot.bot_id,
            text=found.bot.recipe,
            rows=found.rows,
            tokens=found.tokens,
            candidates=[TextCandidateItem.of(one) for one in found.candidates],
        )


class MigrationEstimateResponse(ResponseBody):
    """What a migration would take."""

    bot_id: str = Field(description="The bot.", examples=["support-bot"])
    target: EmbeddingItem = Field(description="What it would go to.", examples=[TARGET_EXAMPLE])
    chunks: int = Field(description="Chunks to embed.", examples=[20000])
    batches: int = Field(description="Batches they make.", examples=[400])
    tokens: int = Field(
        description="Tokens that are sent: of all chunks, and of what validation and verification "
        "embed beside them.",
        examples=[5200000],
    )
    verification_tokens: int = Field(
        description="Of them, what verification takes of both models.", examples=[58000]
    )
    cost_usd: float | None = Field(
        description="US dollars by REEMBED_PRICES, else list prices; null where neither has one.",
        examples=[0.68],
    )
    duration_seconds: float = Field(
        description="Seconds it would take, with the provider's limits as far as they are known.",
        examples=[840.0],
    )
    vector_bytes: int = Field(
        description="Bytes of the new vectors alone: chunks x dimension x 4.", examples=[245760000]
    )
    sampled_chunks: int = Field(description="Chunks the figures were taken from.", examples=[200])
    basis: list[str] = Field(
        description="How each figure was come by.",
        examples=[["Tokens: 260 in the mean of 200 sampled chunks."]],
    )
    warnings: list[str] = Field(
        description="What to know before it is started: a timeout_seconds that is shorter than the "
        "estimate, or that a rollback would go there for nothing.",
        examples=[[]],
    )

    @classmethod
    def of(cls, found: BotEstimate) -> MigrationEstimateResponse:
        return cls(
            bot_id=found.bot.bot_id,
            target=EmbeddingItem.of(found.target),
            **found.estimate.model_dump(),
            warnings=list(found.warnings),
        )


class KnownModel(ResponseBody):
    """A model of the catalogue."""

    provider: str = Field(description="Who offers it.", examples=["openai"])
    model: str = Field(description="Its name.", examples=["text-embedding-3-large"])
    default_dimension: int = Field(description="Its own dimension.", examples=[3072])
    dimensions: list[int] | None = Field(
        description="Those it can be asked for; null: any from 1 to its own.", examples=[None]
    )
    max_input_tokens: int = Field(description="Tokens a text may have.", examples=[8191])
    price_per_million_tokens_usd: float | None = Field(
        description="US dollars; 0 for a local model, null when not known.", examples=[0.13]
    )

    @classmethod
    def of(cls, info: ModelInfo) -> KnownModel:
        return cls(
            provider=info.provider,
            model=info.model,
            default_dimension=info.default_dimension,
            dimensions=None if info.dimensions is None else list(info.dimensions),
            max_input_tokens=info.max_input_tokens,
            price_per_million_tokens_usd=info.price_per_million_tokens_usd,
        )


class DimensionInfoResponse(ResponseBody):
    """The bot's dimension, and those known models can give."""

    bot_id: str = Field(description="The bot.", examples=["support-bot"])
    embedding: EmbeddingItem = Field(description="What the bot has.", examples=[CURRENT_EXAMPLE])
    collection: str = Field(description="The live collection.", examples=["support_docs"])
    collection_dimension: int = Field(
        description="The dimension of its vector field, as Milvus says.", examples=[1536]
    )
    consistent: bool = Field(
        description="Whether bot and collection agree on the dimension.", examples=[True]
    )
    current_model: KnownModel | None = Field(
        description="The catalogue's entry of the bot's model; null when it has none.",
        examples=[None],
    )
    known_models: list[KnownModel] = Field(description="Models the bot could go to.", examples=[[]])

    @classmethod
    def of(cls, found: DimensionInfo) -> DimensionInfoResponse:
        live = found.bot.live
        return cls(
            bot_id=found.bot.bot_id,
            embedding=EmbeddingItem.of(live.embedding),
            collection=live.collection,
            collection_dimension=found.collection_dimension,
            consistent=live.embedding.dimension == found.collection_dimension,
            current_model=KnownModel.of(found.current) if found.current else None,
            known_models=[KnownModel.of(info) for info in found.known_models],
        )
