"""What was paid to providers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas.parts import PersonName, ResponseBody
from api.schemas.queries import Query
from migrations.model.spend import Bill, PricedSpend

_BASIS = (
    "Tokens are those that providers have reported; money is tokens at today's prices, those of "
    "REEMBED_PRICES, else of the catalogue. Questions of the last seconds may be missing."
)


class SpendQuery(Query):
    owner: PersonName | None = Field(
        default=None,
        description="Of this owner alone, for an admin; others see their own anyway.",
        json_schema_extra={"example": "acme"},
    )


class SpendItem(ResponseBody):
    """What one model was paid for one purpose."""

    provider: str = Field(description="Who was paid.", examples=["openai"])
    model: str = Field(description="For which model.", examples=["text-embedding-3-large"])
    purpose: str = Field(
        description="For what: data_migration, catch_up, verification, sweep, question …",
        examples=["data_migration"],
    )
    by: Literal["migration", "errand"] = Field(
        description="By a migration, or outside of any: registrations, validations, estimates, "
        "readers' questions, and the migrations of bots that were removed.",
        examples=["migration"],
    )
    requests: int = Field(description="Answers that were paid.", examples=[400])
    tokens: int = Field(description="Tokens that were paid.", examples=[5200000])
    price_per_million_tokens_usd: float | None = Field(
        description="Today's price in US dollars; null where nobody has said it.", examples=[0.13]
    )
    cost_usd: float | None = Field(
        description="Tokens at that price; null without one.", examples=[0.676]
    )

    @classmethod
    def of(cls, line: PricedSpend) -> SpendItem:
        spent = line.spent
        return cls(
            provider=spent.provider,
            model=spent.model,
            purpose=spent.purpose,
            by="migration" if spent.by_migration else "errand",
            requests=spent.requests,
            tokens=spent.tokens,
            price_per_million_tokens_usd=line.price,
            cost_usd=line.cost_usd,
        )


class SpendResponse(ResponseBody):
    """What was paid, by model and purpose."""

    requests: int = Field(description="Answers that were paid, in all.", examples=[420])
    tokens: int = Field(description="Tokens that were paid, in all.", examples=[5258000])
    cost_usd: float = Field(description="US dollars, of what has a price.", examples=[0.68354])
    unpriced_tokens: int = Field(
        description="Tokens of models that nobody has said a price of: they are not in cost_usd.",
        examples=[0],
    )
    spend: list[SpendItem] = Field(description="By model and purpose.", examples=[[]])
    basis: str = Field(description="How the figures were come by.", examples=[_BASIS])

    @classmethod
    def of(cls, bill: Bill) -> SpendResponse:
        return cls(
            requests=bill.requests,
            tokens=bill.tokens,
            cost_usd=bill.cost_usd,
            unpriced_tokens=bill.unpriced_tokens,
            spend=[SpendItem.of(line) for line in bill.lines],
            basis=_BASIS,
        )
