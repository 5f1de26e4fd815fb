"""What is known of how models are told documents and queries apart."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from migrations.model.roles import (
    PLAIN,
    Roles,
    TextRole,
    assumed_roles,
    known_document_prefixes,
    known_query_prefixes,
    known_roles,
)

SEARCHING = "Represent this sentence for searching relevant passages: "
WEB_SEARCH = (
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
)
INSTRUCTED = Roles(PLAIN, TextRole(prefix=f"{WEB_SEARCH} "))
E5 = Roles(TextRole(prefix="passage: "), TextRole(prefix="query: "))
NOMIC = Roles(TextRole(prefix="search_document: "), TextRole(prefix="search_query: "))
SENTENCE = Roles(PLAIN, TextRole(prefix=SEARCHING))
GEMMA = Roles(
    TextRole(prefix="title: none | text: "), TextRole(prefix="task: search result | query: ")
)


def parameter(name: str, documents: str, queries: str) -> Roles:
    return Roles(TextRole(parameters={name: documents}), TextRole(parameters={name: queries}))


JINA = parameter("task", "retrieval.passage", "retrieval.query")
VOYAGE = parameter("input_type", "document", "query")
COHERE = parameter("input_type", "search_document", "search_query")
NIM = parameter("input_type", "passage", "query")
GEMINI = parameter("task_type", "RETRIEVAL_DOCUMENT", "RETRIEVAL_QUERY")

KNOWN = {
    "intfloat/multilingual-e5-large": E5,
    "intfloat/e5-base-v2": E5,
    "jeffh/intfloat-multilingual-e5-large:f16": E5,
    "intfloat/multilingual-e5-large-instruct": INSTRUCTED,
    "intfloat/e5-mistral-7b-instruct": INSTRUCTED,
    "BAAI/bge-large-en-v1.5": SENTENCE,
    "bge-large": SENTENCE,
    "BAAI/bge-m3": Roles(),
    "thenlper/gte-large": Roles(),
    "Alibaba-NLP/gte-multilingual-base": Roles(),
    "Alibaba-NLP/gte-Qwen2-7B-instruct": INSTRUCTED,
    "nomic-embed-text": NOMIC,
    "nomic-ai/nomic-embed-text-v1.5": NOMIC,
    "nomic-embed-text-v2-moe:latest": NOMIC,
    "Snowflake/snowflake-arctic-embed-m-v1.5": SENTENCE,
    "Snowflake/snowflake-arctic-embed-l-v2.0": Roles(PLAIN, TextRole(prefix="query: ")),
    "snowflake-arctic-embed2": Roles(PLAIN, TextRole(prefix="query: ")),
    "mxbai-embed-large": SENTENCE,
    "jina-embeddings-v3": JINA,
    "jinaai/jina-embeddings-v4": JINA,
    "jina-embeddings-v2-base-en": Roles(),
    "Qwen/Qwen3-Embedding-8B": Roles(PLAIN, TextRole(prefix=WEB_SEARCH)),
    "qwen3-embedding:0.6b": Roles(PLAIN, TextRole(prefix=WEB_SEARCH)),
    "google/embeddinggemma-300m": GEMMA,
    "gemini-embedding-2": GEMMA,
    "gemini-embedding-001": GEMINI,
    "text-embedding-004": GEMINI,
    "voyage-3-large": VOYAGE,
    "embed-v4.0": COHERE,
    "embed-english-light-v3.0": COHERE,
    "cohere.embed-multilingual-v3": COHERE,
    "nvidia/nv-embedqa-e5-v5": NIM,
    "nvidia/llama-3.2-nv-embedqa-1b-v2": NIM,
    "text-embedding-3-small": Roles(),
}


@pytest.mark.parametrize("model", KNOWN)
def test_a_familys_models_are_known_by_their_names(model: str) -> None:
    assert KNOWN[model] == known_roles(model)


@pytest.mark.parametrize(
    "model",
    ["small", "mistral-embed", "all-MiniLM-L6-v2", "voyage-4-nano", "voyage-multimodal-3", "e5"],
)
def test_nothing_is_known_of_other_names(model: str) -> None:
    assert known_roles(model) is None


def test_a_name_that_holds_a_role_has_the_other_one_beside_it() -> None:
    passage = known_roles("nvidia/nv-embedqa-e5-v5-passage")
    query = known_roles("nvidia/nv-embedqa-e5-v5-query")

    assert Roles(PLAIN, TextRole(parameters={"model": "nvidia/nv-embedqa-e5-v5-query"})) == passage
    assert Roles(TextRole(parameters={"model": "nvidia/nv-embedqa-e5-v5-passage"}), PLAIN) == query


def test_what_a_providers_own_endpoint_does_not_document_is_not_assumed() -> None:
    assert Roles() == assumed_roles("gemini-embedding-001")
    assert Roles() == assumed_roles("nobody-knows-it")
    assert E5 == assumed_roles("intfloat/e5-base-v2")


def test_the_known_prefixes_are_each_named_once() -> None:
    documents = known_document_prefixes()

    assert ("search_document: ", "passage: ", "title: none | text: ") == documents
    assert "query: " in known_query_prefixes()
    assert len(set(known_query_prefixes())) == len(known_query_prefixes())


def test_a_role_puts_its_words_round_a_text() -> None:
    assert "a text z" == TextRole(prefix="a ", suffix=" z").around("text")
    assert "text" == PLAIN.around("text")


def test_equal_roles_are_one_key_however_their_parameters_are_ordered() -> None:
    one = TextRole(parameters={"a": 1, "b": [2]})
    other = TextRole(parameters={"b": [2], "a": 1})

    assert {one: "same"}[other] == "same"
    assert one.canonical == other.canonical


def test_a_plain_role_says_nothing() -> None:
    assert {} == PLAIN.canonical
    assert PLAIN.is_plain
    assert not TextRole(parameters={"task": "retrieval.query"}).is_plain


@pytest.mark.parametrize(
    "role",
    [
        {"parameters": {"input": "other texts"}},
        {"parameters": {"dimensions": 3}},
        {"parameters": {"task": "x" * 3000}},
        {"prefx": "passage: "},
    ],
)
def test_a_role_that_would_change_what_is_asked_is_refused(role: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TextRole.model_validate(role)
