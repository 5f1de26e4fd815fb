"""What the openai client raises, and bodies without vectors, in the domain's words.

What an error means is told by its status, its codes and the parameter it names. Its words are
quoted for people and decide nothing: they may repeat an input that speaks of models and keys.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import httpx2
import openai

from migrations.adapters.providers.error_bodies import Said, quote, read
from migrations.adapters.providers.rate_headers import retry_after_seconds
from migrations.model.config import EmbeddingRef
from migrations.model.errors import (
    InvalidConfiguration,
    ProviderAuthenticationFailed,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderTooSlow,
    ProviderUnavailable,
    ReembedError,
    TextRefused,
    TextTooLong,
    UnknownModel,
)

#: "You have no credit", with whatever status: OpenAI, Alibaba, DeepSeek, Volcengine, one-api.
_QUOTA_CODES = frozenset({
    *("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "arrearage"),
    *("insufficient_balance", "insufficient_user_quota", "accountoverdue", "accountoverdueerror"),
    *("payment_required", "insufficient_credits"),
})  # fmt: skip
_KEY_CODES = frozenset({"invalid_api_key", "invalidapikey", "account_deactivated"})
_MODEL_CODES = frozenset({
    *("model_not_found", "modelnotfound", "invalid_model", "unknown_model"),
    "deploymentnotfound",
})  # fmt: skip
_LENGTH_CODES = frozenset({"context_length_exceeded", "string_above_max_length"})
_LENGTH = re.compile(r"\b(tokens?|length|longer|too long|too large)\b", re.IGNORECASE)
#: Of a server that was too slow, or of the proxy before it.
_TOO_SLOW = frozenset({408, 504, 524})
#: "Not now" among the statuses that mean the request.
_PASSING = frozenset({409, 423, 424, 425})


def translate(
    error: openai.OpenAIError, ref: EmbeddingRef, key: str, texts: Sequence[str]
) -> ReembedError:
    """The domain's error for a vendor's; the caller raises it ``from`` the vendor's."""
    if isinstance(error, openai.APIStatusError):
        response = error.response
        return refusal(
            response.status_code,
            response.content,
            ref,
            key,
            texts,
            retry_after_seconds(response.headers),
        )
    if isinstance(error, openai.APITimeoutError) and not _before_it_was_asked(error):
        return ProviderTooSlow(f"{ref.provider} did not answer in time.", provider=ref.provider)
    return ProviderUnavailable(f"{ref.provider} cannot be reached.", provider=ref.provider)


def reword(error: openai.OpenAIError, instead: str) -> None:
    """Leave nothing of a vendor's own words, which may repeat the texts, to logs and tracebacks."""
    error.args = (instead,)
    if isinstance(error, openai.APIError):
        error.message, error.body = instead, None


def _before_it_was_asked(error: openai.APITimeoutError) -> bool:
    return isinstance(error.__cause__, httpx2.ConnectTimeout | httpx2.PoolTimeout)


def refusal(
    status: int,
    body: bytes,
    ref: EmbeddingRef,
    key: str,
    texts: Sequence[str],
    retry_after: float | None = None,
) -> ReembedError:
    """What an answer without vectors means; a body with a status of its own means that one.

    Args:
        texts: What was asked; nothing of it is quoted.
    """
    said = read(body)
    words = quote(said.words, texts, key)
    if status < 400:
        status = said.status or status
    details: dict[str, Any] = {"provider": ref.provider, "status": status}
    kind, sentence = _meaning(status, said, ref)
    if kind is TextRefused and _speaks_of_length(status, said, words):
        kind = TextTooLong
    message = f"{sentence}: {words}" if words else f"{sentence}."
    if issubclass(kind, ProviderUnavailable | ProviderRateLimited):
        return kind(message, retry_after_seconds=retry_after, **details)
    return kind(message, **details)


def _meaning(status: int, said: Said, ref: EmbeddingRef) -> tuple[type[ReembedError], str]:
    provider, codes = ref.provider, said.codes
    if codes & _QUOTA_CODES or status == 402:
        return ProviderQuotaExhausted, f"{provider} has no credit left for us"
    if codes & _KEY_CODES or status in (401, 403):
        return (
            ProviderAuthenticationFailed,
            f"{provider} refuses the key; replace it and start again",
        )
    if codes & _MODEL_CODES or (said.param == "model" and 400 <= status < 500):
        return UnknownModel, f"{provider} does not know {ref.model}"
    if status == 404:
        return UnknownModel, f"{provider} has no {ref.model}, or its base URL is wrong"
    if said.param == "dimensions" and 400 <= status < 500:
        return InvalidConfiguration, f"{ref} cannot be had"
    if status == 429:
        return ProviderRateLimited, f"{provider} asks to slow down"
    return _of_request(status, provider)


def _speaks_of_length(status: int, said: Said, words: str) -> bool:
    """A hint only: it is true if a shorter text is taken. In most dialects words alone give it."""
    return status == 413 or bool(said.codes & _LENGTH_CODES) or bool(_LENGTH.search(words))


def _of_request(status: int, provider: str) -> tuple[type[ReembedError], str]:
    if status in _TOO_SLOW:
        return ProviderTooSlow, f"{provider} did not answer in time (status {status})"
    if 400 <= status < 500 and status not in _PASSING:
        return TextRefused, f"{provider} refuses the input"
    if status < 400:
        return ProviderUnavailable, f"{provider} answered with something that holds no embeddings"
    return ProviderUnavailable, f"{provider} answered with status {status}"
