"""Every application, and what becomes of its bot on each engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.applications import rebuilt
from tests.applications.application import Application, Packaged
from tests.applications.documents import MANUAL
from tests.applications.in_a_table import QUESTIONS
from tests.applications.packages import OURS, THEIRS, Package

LITE, REAL = "milvus-lite", "Milvus 2.3.5"


@dataclass(frozen=True)
class Migrates:
    """There and back. With ``stated`` said where it is asked for: else ``asks`` is answered."""

    stated: Mapping[str, Any] = field(default_factory=dict)
    asks: str = ""
    #: Whether every test run moves it, or only looks whether it can be moved; `make applications`
    #: moves all.
    always: bool = True


@dataclass(frozen=True)
class IsRefused:
    """With these words in the sentence."""

    words: str


@dataclass(frozen=True)
class CannotBe:
    """The engine has no such collection."""

    because: str


Verdict = Migrates | IsRefused | CannotBe


@dataclass(frozen=True)
class Entry:
    application: Application
    #: The package whose own code was run, or that it was rebuilt.
    made_with: str
    on: Mapping[str, Verdict]
    #: How the embedded text is made, as it must be found; None where no row has it.
    text: Mapping[str, str] | None


NO_BM25 = CannotBe("it has no sparse vectors and no functions")
ONE_VECTOR = CannotBe("it has one vector in a collection")
NO_NULLABLE = CannotBe("it has no nullable columns")
NO_BINARY = CannotBe("it has no binary vectors")
NO_TEXT = "No row of the collection holds a text"
BY_ITSELF = Migrates()
EVERYWHERE = {LITE: BY_ITSELF, REAL: BY_ITSELF}
#: Where one engine's answer says nearly all of the other's.
ALIKE = {LITE: BY_ITSELF, REAL: Migrates(always=False)}
#: Milvus gives the keys: others in the new collection are agreed to at the start.
GIVEN_KEYS = Migrates({"keys": "reassign"}, asks="keys: reassign")
AUTO_ID = {LITE: GIVEN_KEYS, REAL: GIVEN_KEYS}
IN_A_TABLE = Migrates({"text": QUESTIONS}, asks=NO_TEXT)
LITE_ONLY = {LITE: BY_ITSELF, REAL: NO_BM25}

LANGCHAIN = Package(OURS, "with_langchain.py")
HAYSTACK = Package(OURS, "with_haystack.py")
COMMUNITY = Package(THEIRS, "with_langchain.py", ("community",))
LLAMA_INDEX = Package(THEIRS, "with_llama_index.py")
MEM0 = Package(THEIRS, "with_mem0.py")
PACKAGES = (LANGCHAIN, HAYSTACK, COMMUNITY, LLAMA_INDEX, MEM0)


def _langchain(variant: str, on: Mapping[str, Verdict], field: str = "text") -> Entry:
    return Entry(Packaged(LANGCHAIN, variant), "langchain-milvus", on, {"field": field})


def _community(variant: str, on: Mapping[str, Verdict], field: str = "text") -> Entry:
    return Entry(Packaged(COMMUNITY, variant), "langchain-community", on, {"field": field})


LLAMA_INDEXS = {"framework": "llama-index", "field": "text"}


def _llama_index(variant: str, on: Mapping[str, Verdict], **more: Any) -> Entry:
    application = Packaged(LLAMA_INDEX, variant, reads_alias=False, **more)
    return Entry(application, "llama-index-vector-stores-milvus", on, LLAMA_INDEXS)


def _mem0(variant: str, on: Mapping[str, Verdict]) -> Entry:
    return Entry(Packaged(MEM0, variant), "mem0ai", on, {"field": "metadata.data"})


def _haystack(variant: str, on: Mapping[str, Verdict], **text: str) -> Entry:
    return Entry(Packaged(HAYSTACK, variant), "milvus-haystack", on, text)


def _rebuilt(application: Application, on: Mapping[str, Verdict], **text: str) -> Entry:
    return Entry(application, "rebuilt", on, text or None)


APPLICATIONS: dict[str, Entry] = {
    "LangChain, no ids": _langchain("no ids", AUTO_ID),
    "LangChain, with ids": _langchain("ids", EVERYWHERE),
    "LangChain, dynamic field": _langchain("dynamic field", ALIKE),
    "LangChain, metadata field": _langchain("metadata field", ALIKE),
    "LangChain, nullable columns": _langchain(
        "nullable columns", {LITE: BY_ITSELF, REAL: NO_NULLABLE}
    ),
    "LangChain, own names": _langchain("own names", ALIKE, "words"),
    "LangChain, partition key": _langchain("partition key", EVERYWHERE),
    "LangChain, BM25": _langchain("BM25", LITE_ONLY),
    "LangChain, two embeddings": _langchain(
        "two embeddings",
        {LITE: Migrates({"vector_field": "of_text"}, asks="several"), REAL: ONE_VECTOR},
    ),
    "langchain_community, no ids": _community("no ids", AUTO_ID),
    "langchain_community, own text name": _community("text name of its own", EVERYWHERE, "passage"),
    "LangChain JS, Flowise": _rebuilt(
        rebuilt.langchain_js(**rebuilt.AUTO_ID), AUTO_ID, field="langchain_text"
    ),
    "LangChain JS, own ids": _rebuilt(
        rebuilt.langchain_js(**rebuilt.own_varchar(512)), ALIKE, field="langchain_text"
    ),
    "Langflow": _rebuilt(rebuilt.LANGFLOW, AUTO_ID, field="text"),
    "Dify, older": _rebuilt(rebuilt.dify(with_bm25=False), AUTO_ID, field="page_content"),
    "Dify, newer": _rebuilt(
        rebuilt.dify(with_bm25=True),
        {LITE: GIVEN_KEYS, REAL: NO_BM25},
        field="page_content",
    ),
    "LlamaIndex": _llama_index("", EVERYWHERE),
    "LlamaIndex, a manual of products": _llama_index("", ALIKE, stored=tuple(MANUAL)),
    "LlamaIndex, 0.5 and before": _rebuilt(rebuilt.LLAMA_INDEX_05, ALIKE, **LLAMA_INDEXS),
    "LlamaIndex, scalar columns": _llama_index("scalar columns", ALIKE),
    "LlamaIndex, scalar columns, text dynamic": _rebuilt(
        rebuilt.LLAMA_INDEX_SCALARS, EVERYWHERE, **LLAMA_INDEXS
    ),
    "LlamaIndex, BM25": _llama_index("BM25", LITE_ONLY),
    "Open WebUI": _rebuilt(rebuilt.OPEN_WEBUI, EVERYWHERE, field="data.text"),
    "Open WebUI, multitenancy": _rebuilt(rebuilt.OPEN_WEBUI_MULTITENANCY, ALIKE, field="text"),
    "AnythingLLM": _rebuilt(rebuilt.ANYTHING_LLM, ALIKE, field="metadata.text"),
    "CAMEL": _rebuilt(rebuilt.CAMEL, ALIKE, field="payload.text"),
    "mem0": _mem0("with spaCy", LITE_ONLY),
    "mem0, without spaCy": _mem0(
        "without spaCy",
        {LITE: Migrates({"text": {"field": "metadata.data"}}, asks="several texts"), REAL: NO_BM25},
    ),
    "mem0, before version 3": _mem0("before", EVERYWHERE),
    "FastGPT on Milvus before 2.6": _rebuilt(
        rebuilt.FASTGPT, {LITE: IsRefused("teamId"), REAL: IsRefused("teamId")}
    ),
    "FastGPT on Milvus 2.6": _rebuilt(rebuilt.FASTGPT_26, LITE_ONLY, field="text"),
    "Haystack": _haystack("", EVERYWHERE, field="text"),
    "Haystack, title embedded": _haystack("meta fields", ALIKE, template="{title}\n{text}"),
    "Vanna, questions": _rebuilt(rebuilt.VANNA_SQL, ALIKE, field="text"),
    "Vanna, ddl": _rebuilt(rebuilt.VANNA_DDL, ALIKE, field="ddl"),
    "deep-searcher": _rebuilt(rebuilt.DEEP_SEARCHER, AUTO_ID, field="text"),
    "Spring AI with OpenAI": _rebuilt(
        rebuilt.spring_ai(rebuilt.spring_ais_text),
        EVERYWHERE,
        framework="spring-ai",
        field="content",
        metadata="metadata",
    ),
    "Spring AI, text alone": _rebuilt(rebuilt.spring_ai(lambda d: d.text), ALIKE, field="content"),
    "LangChain4j": _rebuilt(rebuilt.langchain4j(), ALIKE, field="text"),
    "LangChain4j v2, vectors": _rebuilt(
        rebuilt.langchain4j(**rebuilt.MATCHED), {LITE: BY_ITSELF, REAL: NO_BM25}, field="text"
    ),
    "Semantic Kernel": _rebuilt(rebuilt.SEMANTIC_KERNEL, ALIKE, field="text"),
    "Coze Studio": _rebuilt(rebuilt.COZE_STUDIO, ALIKE, field="text_content"),
    "claude-context": _rebuilt(rebuilt.claude_context(with_bm25=True), LITE_ONLY, field="content"),
    "claude-context, not hybrid": _rebuilt(
        rebuilt.claude_context(with_bm25=False), ALIKE, field="content"
    ),
    "memsearch": _rebuilt(rebuilt.MEMSEARCH, LITE_ONLY, field="content"),
    "cognee": _rebuilt(rebuilt.COGNEE, ALIKE, field="text"),
    "eino-ext, milvus2": _rebuilt(rebuilt.EINO_MILVUS2, ALIKE, field="content"),
    "eino-ext, milvus": _rebuilt(
        rebuilt.EINO_FIRST, {LITE: NO_BINARY, REAL: IsRefused("FLOAT_VECTOR")}, field="content"
    ),
    "GPTCache": _rebuilt(rebuilt.GPTCACHE, {LITE: IN_A_TABLE, REAL: IN_A_TABLE}, **QUESTIONS),
    "pymilvus, quick set-up": _rebuilt(rebuilt.PYMILVUS_INT, EVERYWHERE, field="my_words"),
    "title and text": _rebuilt(rebuilt.TITLE_AND_TEXT, ALIKE, template="{title}\n{text}"),
}
