"""What the openai client raises, in the domain's words."""

from __future__ import annotations

import re
from typing import Any

import openai

from migrations.adapters.providers.keys import redact
from migrations.adapters.providers.rate_headers import retry_after_seconds
from migrations.model.config import EmbeddingRef
from migrations.model.errors import (
    InvalidConfiguration,
    ProviderAuthenticationFailed,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderUnavailable,
    ReembedError,
    TextRefused,
    UnknownModel,
)

#: Codes under which providers say "you have no credit" with the status of a rate limit.
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_MODEL_CODES = frozenset({"model_not_found", "invalid_model", "unknown_model"})
#: "The model `x` does not exist", "Invalid model: x", "model 'x' not found".
_MODEL_WORDS = re.compile(
    r"invalid model\b|unknown model\b|\bmodel\b.{0,80}\b(?:not found|does not exist|not exist)",
    re.IGNORECASE | re.DOTALL,
)
_LONGEST_QUOTE = 300


def translate(error: openai.OpenAIError, ref: EmbeddingRef, key: str) -> ReembedError:
    """The domain's error for a vendor's; the caller raises it ``from`` the vendor's."""
    if isinstance(error, openai.APIStatusError):
        return _refusal(error, ref, key)
    if isinstance(error, openai.APITimeoutError):
        return ProviderUnavailable(f"{ref.provider} did not answer in time.", provider=ref.provider)
    return ProviderUnavailable(f"{ref.provider} cannot be reached.", provider=ref.provider)


def _refusal(error: openai.APIStatusError, ref: EmbeddingRef, key: str) -> ReembedError:
    said = redact(_words(error), key)
    details: dict[str, Any] = {"provider": ref.provider, "status": error.status_code}
    match error.status_code:
        case _ if _about_model(error):
            return UnknownModel(f"{ref.provider} does not know {ref.model}: {said}", **details)
        case 401 | 403:
            return ProviderAuthenticationFailed(
                f"{ref.provider} refuses the key; replace it and start again.", **details
            )
        case 402:
            return ProviderQuotaExhausted(f"{ref.provider} wants payment: {said}", **details)
        case 429:
            return _limited(error, ref, said, details)
        case 400 | 413 | 422:
            return _bad_input(error, ref, said, details)
        case 404:
            return UnknownModel(
                f"{ref.provider} has no {ref.model}, or its base URL is wrong: {said}", **details
            )
    return ProviderUnavailable(
        f"{ref.provider} answered with status {error.status_code}.",
        retry_after_seconds=retry_after_seconds(error.response.headers),
        **details,
    )


def _limited(
    error: openai.APIStatusError, ref: EmbeddingRef, said: str, details: dict[str, Any]
) -> ReembedError:
    if {error.code, error.type} & _QUOTA_CODES:
        return ProviderQuotaExhausted(f"{ref.provider} has no credit left: {said}", **details)
    return ProviderRateLimited(
        f"{ref.provider} asks to slow down: {said}",
        retry_after_seconds=retry_after_seconds(error.response.headers),
        **details,
    )


def _bad_input(
    error: openai.APIStatusError, ref: EmbeddingRef, said: str, details: dict[str, Any]
) -> ReembedError:
    if error.param == "dimensions" or (error.param is None and "dimensions" in _words(error)):
        return InvalidConfiguration(f"{ref} cannot be had: {said}", **details)
    return TextRefused(f"{ref.provider} refuses the input: {said}", **details)


def _about_model(error: openai.APIStatusError) -> bool:
    if {error.code, error.type} & _MODEL_CODES:
        return True
    return error.status_code == 400 and _MODEL_WORDS.search(_words(error)) is not None


def _words(error: openai.APIStatusError) -> str:
    """The provider's own sentence, cut short: it may quote the whole input."""
    body = error.body
    said = body.get("message") if isinstance(body, dict) else None
    text = said if isinstance(said, str) else error.message
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
