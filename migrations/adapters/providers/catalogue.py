"""Known embedding models: dimension, longest input, price. Data and look-up only.

A model's dimension and longest input are the same wherever it is served; its
price is the provider's. So a provider we do not know that serves a model we do
know gets the model's facts and no price.

Prices are list prices in US dollars per million input tokens, without batch
discounts, each under a comment saying where and when it was read. They are for
estimates; the ledger counts what the provider's ``usage`` reports.
"""

from __future__ import annotations

from dataclasses import replace

from migrations.model.known_models import ModelInfo

#: The in-process model: the 256-dimension table of the wordllama wheel, cut to size.
LOCAL_PROVIDER = "local"
LOCAL_MODEL = "wordllama-l2-supercat"
LOCAL_DIMENSIONS = (64, 128, 256)
#: The model pools over any length; past this the mean of so many words says little.
LOCAL_MAX_INPUT_TOKENS = 8192

OPENAI_PROVIDER = "openai"

MODELS: tuple[ModelInfo, ...] = (
    # OpenAI: developers.openai.com/api/docs/models/<model>, read November 2026;
    # 8,192 tokens per input and 300,000 per request, from the API reference.
    ModelInfo("openai", "text-embedding-3-small", 1536, None, 8192, 0.02),
    ModelInfo("openai", "text-embedding-3-large", 3072, None, 8192, 0.13),
    # The price of ada-002 was read on pages of third parties only.
    ModelInfo("openai", "text-embedding-ada-002", 1536, (1536,), 8192, 0.10),
    # Mistral: model cards on vercel.com/ai-gateway and opencode.ai/data, read November 2026.
    ModelInfo("mistral", "mistral-embed", 1024, (1024,), 8000, 0.10),
    # Gemini through its OpenAI-compatible endpoint: Google's announcement of general
    # availability (July 2025) and vercel.com/ai-gateway, read November 2026.
    ModelInfo("gemini", "gemini-embedding-001", 3072, None, 2048, 0.15),
    # Voyage: getmaxim.ai/bifrost/model-library and mongodb.com/docs/voyageai/models, read
    # November 2026. Its own parameter is output_dimension, so only the default is listed.
    ModelInfo("voyage", "voyage-3-large", 1024, (1024,), 32_000, 0.18),
    ModelInfo("voyage", "voyage-3", 1024, (1024,), 32_000, 0.06),
    ModelInfo("voyage", "voyage-3-lite", 512, (512,), 32_000, 0.02),
    # Open weights, served by many (Ollama, vLLM, TEI, Together …): no price of their own.
    # Dimensions and lengths are common knowledge, not checked against the models' cards; a
    # wrong dimension is found by validation, which asks the model.
    ModelInfo("", "jina-embeddings-v3", 1024, None, 8192, None),
    ModelInfo("", "bge-m3", 1024, (1024,), 8192, None),
    ModelInfo("", "BAAI/bge-m3", 1024, (1024,), 8192, None),
    ModelInfo("", "BAAI/bge-large-en-v1.5", 1024, (1024,), 512, None),
    ModelInfo("", "BAAI/bge-base-en-v1.5", 768, (768,), 512, None),
    ModelInfo("", "BAAI/bge-small-en-v1.5", 384, (384,), 512, None),
    ModelInfo("", "nomic-embed-text", 768, (768,), 8192, None),
    ModelInfo("", "mxbai-embed-large", 1024, (1024,), 512, None),
    ModelInfo("", "intfloat/multilingual-e5-large", 1024, (1024,), 512, None),
    ModelInfo("", "sentence-transformers/all-MiniLM-L6-v2", 384, (384,), 256, None),
    # In this process: costs nothing but its CPU.
    ModelInfo(LOCAL_PROVIDER, LOCAL_MODEL, 256, LOCAL_DIMENSIONS, LOCAL_MAX_INPUT_TOKENS, 0.0),
)

_BY_PROVIDER = {(info.provider, info.model): info for info in MODELS}
_BY_MODEL = {info.model: info for info in MODELS if info.provider != LOCAL_PROVIDER}


def known(provider: str, model: str) -> ModelInfo | None:
    """What is known of a model at a provider; None when the model is not listed.

    ``local`` serves its own model only. At any other provider a listed model
    keeps its dimensions and limit, and has a price only where it is that
    provider's own.
    """
    exact = _BY_PROVIDER.get((provider, model))
    if exact is not None:
        return exact
    elsewhere = _BY_MODEL.get(model)
    if elsewhere is None or provider == LOCAL_PROVIDER:
        return None
    return replace(elsewhere, provider=provider, price_per_million_tokens_usd=None)
