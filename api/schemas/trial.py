"""What a trial has shown."""

from __future__ import annotations

from pydantic import Field

from api.schemas.checks import CheckItem
from api.schemas.compatibility import MigrationEstimateResponse
from api.schemas.parts import CURRENT_EXAMPLE, TARGET_EXAMPLE, EmbeddingItem, ResponseBody
from migrations.model.answers import BotEstimate, Trial

_WHOLE_EXAMPLE = {
    "bot_id": "support-bot",
    "target": TARGET_EXAMPLE,
    "chunks": 20000,
    "batches": 400,
    "tokens": 5200000,
    "verification_tokens": 58000,
    "cost_usd": 0.68,
    "duration_seconds": 840.0,
    "vector_bytes": 245760000,
    "sampled_chunks": 200,
    "basis": ["Tokens: 260 in the mean of 200 sampled chunks."],
}


class MigrationTrialResponse(ResponseBody):
    """What some chunks have shown of another embedding. Nothing of the bot's has changed."""

    bot_id: str = Field(description="The bot.", examples=["support-bot"])
    current: EmbeddingItem = Field(description="What the bot has.", examples=[CURRENT_EXAMPLE])
    target: EmbeddingItem = Field(description="What was tried.", examples=[TARGET_EXAMPLE])
    passed: bool = Field(
        description="Whether a migration of these chunks alone would go on to its switch: no check "
        "of severity 'error' or 'gate' has failed.",
        examples=[True],
    )
    chunks: int = Field(description="In the collection.", examples=[20000])
    sampled: int = Field(description="Chosen for the trial.", examples=[200])
    moved: int = Field(description="Of those, embedded and stored.", examples=[200])
    checks: list[CheckItem] = Field(
        description="What verification would find if the collection held these chunks alone: a "
        "row has fewer neighbours then, and is found more easily than among all.",
        examples=[[]],
    )
    errors: list[str] = Field(description="The sentences that stand in the way.", examples=[[]])
    gates: list[str] = Field(
        description="Those for which a run would wait for a person.", examples=[[]]
    )
    warnings: list[str] = Field(description="Those to know about.", examples=[[]])
    tokens: int = Field(description="What the trial came to, as billed.", examples=[78000])
    cost_usd: float | None = Field(
        description="In US dollars by the catalogue's prices; null for a model it does not know.",
        examples=[0.0101],
    )
    seconds: float = Field(description="From beginning to end.", examples=[9.4])
    chunks_per_second: float | None = Field(
        description="That the model took, one batch after another; a migration has several under "
        "way. Null where none was embedded.",
        examples=[61.0],
    )
    whole: MigrationEstimateResponse = Field(
        description="What moving everything would take.", examples=[_WHOLE_EXAMPLE]
    )

    @classmethod
    def of(cls, found: Trial) -> MigrationTrialResponse:
        report = found.report
        return cls(
            bot_id=found.bot.bot_id,
            current=EmbeddingItem.of(found.bot.live.embedding),
            target=EmbeddingItem.of(found.target),
            passed=report.passed and not report.gates,
            chunks=found.chunks,
            sampled=found.sampled,
            moved=found.moved,
            checks=CheckItem.all_of(report.checks),
            errors=[check.message for check in report.errors],
            gates=[check.message for check in report.gates],
            warnings=[check.message for check in report.warnings],
            tokens=found.tokens,
            cost_usd=found.cost_usd,
            seconds=found.seconds,
            chunks_per_second=found.chunks_per_second,
            whole=MigrationEstimateResponse.of(BotEstimate(found.bot, found.target, found.whole)),
        )
