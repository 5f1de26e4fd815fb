"""What the pages of providers show is taken by the settings, and means what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from honcho.environ import parse

from devstack.server import PROJECT
from migrations.adapters.providers import ConfiguredEmbedders
from migrations.model.config import EmbeddingRef
from migrations.model.roles import PLAIN
from migrations.settings import Settings
from tests.harness.documents import blocks

FOLDER = PROJECT / "docs" / "howto" / "providers"
PAGES = sorted(FOLDER.glob("*.md"))
HOW_TOS = sorted((PROJECT / "docs" / "howto").rglob("*.md"))


def entries(page: Path) -> list[str]:
    """Blocks of JSON that name providers."""
    return [text for kind, text in blocks(page) if kind == "json" and '"base_url"' in text]


def settings_with(entry: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As from a line of .env that honcho has read."""
    line = f"REEMBED_PROVIDERS='{' '.join(entry.split())}'"
    monkeypatch.setenv("REEMBED_PROVIDERS", parse(line)["REEMBED_PROVIDERS"])
    return Settings(
        database_url="postgresql+psycopg2://x@127.0.0.1/x",  # type: ignore[arg-type]
        redis_url="redis://127.0.0.1",  # type: ignore[arg-type]
        milvus_uri="http://127.0.0.1",
        _env_file=None,  # type: ignore[call-arg]
    )


def test_there_is_a_page_for_each_of_these() -> None:
    named = {"azure-openai", "litellm", "lm-studio", "ollama", "tei", "vllm"}
    assert named == {page.stem for page in PAGES}


@pytest.mark.parametrize("page", HOW_TOS, ids=lambda page: page.stem)
def test_entries_that_are_shown_are_taken(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for entry in entries(page):
        shown = json.loads(entry)
        assert set(shown) == set(settings_with(entry, monkeypatch).providers)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_models_of_a_page_can_be_asked(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert entries(page)
    for entry in entries(page):
        settings = settings_with(entry, monkeypatch)
        for name, provider in settings.providers.items():
            monkeypatch.setenv(provider.api_key_env, "a-key")
            embedders = ConfiguredEmbedders(settings)
            for model, told in provider.models.items():
                info = embedders.known(name, model)
                assert info is not None
                assert told.max_input_tokens == info.max_input_tokens
                embedders.get(EmbeddingRef(provider=name, model=model, dimension=told.dimension))
            embedders.close()


@pytest.mark.parametrize(
    ("page", "has_roles"),
    [
        ("ollama", {"nomic-embed-text", "mxbai-embed-large"}),
        ("tei", {"intfloat/multilingual-e5-large"}),
        ("vllm", {"Qwen/Qwen3-Embedding-0.6B"}),
        ("lm-studio", {"text-embedding-nomic-embed-text-v1.5"}),
    ],
)
def test_models_whose_roles_are_said_to_be_known_have_them(
    page: str, has_roles: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry,) = entries(FOLDER / f"{page}.md")
    settings = settings_with(entry, monkeypatch)
    embedders = ConfiguredEmbedders(settings)
    found = set()
    for name, provider in settings.providers.items():
        for model in provider.models:
            roles = embedders.known_roles(name, model)
            if roles is not None and roles.queries != PLAIN:
                found.add(model)
    assert has_roles == found
