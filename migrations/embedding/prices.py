"""What a million tokens of a model cost: the operator's word, else the catalogue's."""

from __future__ import annotations

from migrations.process.services import Services

#: In ``REEMBED_PRICES``, for all models of a provider that are not named.
ANY_MODEL = "*"


def price_of(services: Services, provider: str, model: str) -> float | None:
    """US dollars per million input tokens; None where nobody has said it."""
    stated = services.settings.prices
    for name in (model, ANY_MODEL):
        if f"{provider}/{name}" in stated:
            return stated[f"{provider}/{name}"]
    known = services.embedders.known(provider, model)
    return known.price_per_million_tokens_usd if known is not None else None
