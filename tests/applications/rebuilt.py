"""Collections of applications whose packages are no wheels, or bring too much along.

Facts of their sources, read in November 2026; each is the default configuration unless its
name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from pymilvus import DataType

from tests.applications.application import Rebuilt
from tests.applications.documents import Document
from tests.applications.in_a_table import WithQuestions

Row = dict[str, Any]
JSON = {"datatype": DataType.JSON}
INT64 = {"datatype": DataType.INT64}
OWN_INT64 = {**INT64, "is_primary": True}
AUTO_ID = {**OWN_INT64, "auto_id": True}
ANALYZED = {"enable_analyzer": True}
MATCHED = {**ANALYZED, "enable_match": True}


def varchar(length: int, **more: Any) -> dict[str, Any]:
    return {"datatype": DataType.VARCHAR, "max_length": length, **more}


def own_varchar(length: int) -> dict[str, Any]:
    return varchar(length, is_primary=True)


def hnsw(metric: str, m: int = 16, ef: int = 64) -> dict[str, Any]:
    return {
        "index_type": "HNSW",
        "metric_type": metric,
        "params": {"M": m, "efConstruction": ef},
    }


def flat(metric: str) -> dict[str, Any]:
    return {"index_type": "FLAT", "metric_type": metric}


def ivf_flat(metric: str, nlist: int = 16) -> dict[str, Any]:
    return {"index_type": "IVF_FLAT", "metric_type": metric, "params": {"nlist": nlist}}


def auto(metric: str) -> dict[str, Any]:
    return {"index_type": "AUTOINDEX", "metric_type": metric}


def key(document: Document) -> str:
    return f"{document.number:032x}"


# --- LangChain's family -------------------------------------------------------------


def langchain_js(**key_column: Any) -> Rebuilt:
    """The text's column is as long as the longest text, the metadata's as their longest value."""
    return Rebuilt(
        {
            "langchain_primaryid": key_column,
            "langchain_text": varchar(4096),
            "source": varchar(512),
        },
        lambda d: {
            **({} if key_column.get("auto_id") else {"langchain_primaryid": key(d)}),
            "langchain_text": d.text,
            "source": d.title,
        },
        vector="langchain_vector",
        index=hnsw("L2", 8, 64),
        writes="insert" if key_column.get("auto_id") else "upsert",
    )


LANGFLOW = Rebuilt(
    {"pk": AUTO_ID, "text": varchar(65535), "file_path": varchar(65535)},
    lambda d: {"text": d.text, "file_path": f"/data/{d.title}.txt"},
    index=auto("L2"),
    writes="insert",
)

# --- platforms ------------------------------------------------------------------------


def dify(with_bm25: bool) -> Rebuilt:
    return Rebuilt(
        {
            "id": AUTO_ID,
            "page_content": varchar(65535, **(ANALYZED if with_bm25 else {})),
            "metadata": JSON,
        },
        lambda d: {
            "page_content": d.text,
            "metadata": {
                "doc_id": key(d),
                "dataset_id": "d1",
                "document_id": "1",
                "title": d.title,
            },
        },
        index=hnsw("IP", 8, 64),
        bm25=("page_content", "sparse_vector") if with_bm25 else None,
        writes="insert",
    )


OPEN_WEBUI = Rebuilt(
    {"id": own_varchar(65535), "data": JSON, "metadata": JSON},
    lambda d: {"id": key(d), "data": {"text": d.text}, "metadata": {"name": d.title}},
    dynamic=True,
    index=hnsw("COSINE"),
)
OPEN_WEBUI_MULTITENANCY = Rebuilt(
    {
        "id": own_varchar(36),
        "text": varchar(65535),
        "metadata": JSON,
        "resource_id": varchar(255),
    },
    lambda d: {
        "id": key(d),
        "text": d.text,
        "metadata": {"name": d.title},
        "resource_id": f"file-{d.number % 3}",
    },
    index=hnsw("COSINE"),
    indexed=("resource_id",),
)
ANYTHING_LLM = Rebuilt(
    {"id": own_varchar(255), "metadata": JSON},
    lambda d: {"id": key(d), "metadata": {"title": d.title, "text": _with_header(d)}},
    embedded=lambda d: _with_header(d),
)


def _with_header(d: Document) -> str:
    said = f"<document_metadata>\nsourceDocument: {d.title}\n</document_metadata>"
    return f"{said}\n\n{d.text}"


CAMEL = Rebuilt(
    {"id": own_varchar(65535), "payload": JSON},
    lambda d: {"id": key(d), "payload": {"content path": d.title, "text": d.text}},
    dynamic=True,
)
DEEP_SEARCHER = Rebuilt(
    {"id": AUTO_ID, "text": varchar(65535), "reference": varchar(2048), "metadata": JSON},
    lambda d: {
        "text": d.text,
        "reference": f"{d.title}.md",
        "metadata": {"wider_text": f"{d.title}. {d.text}"},
    },
    vector="embedding",
    index=auto("L2"),
    writes="insert",
)
SEMANTIC_KERNEL = Rebuilt(
    {
        "id": own_varchar(100),
        "text": varchar(65535),
        "description": varchar(65535),
        "additional_metadata": varchar(65535),
        "external_source_name": varchar(400),
        "is_reference": {"datatype": DataType.BOOL},
    },
    lambda d: {
        "id": key(d),
        "text": d.text,
        "description": d.title,
        "additional_metadata": "{}",
        "external_source_name": "library",
        "is_reference": False,
    },
    vector="embedding",
    dynamic=True,
    index=ivf_flat("IP"),
)
COZE_STUDIO = Rebuilt(
    {
        "id": OWN_INT64,
        "creator_id": INT64,
        "document_id": INT64,
        "text_content": varchar(65535),
    },
    lambda d: {
        "id": 7_000_000 + d.number,
        "creator_id": 1,
        "document_id": d.number // 4,
        "text_content": d.text,
    },
    vector="dense_text_content",
    index=hnsw("IP"),
    shards=1,
)


def claude_context(with_bm25: bool) -> Rebuilt:
    return Rebuilt(
        {
            "id": own_varchar(512),
            "content": varchar(65535, **(ANALYZED if with_bm25 else {})),
            "relativePath": varchar(1024),
            "startLine": INT64,
            "endLine": INT64,
            "fileExtension": varchar(32),
            "metadata": varchar(65535),
        },
        lambda d: {
            "id": f"chunk_{key(d)[16:]}",
            "content": d.text,
            "relativePath": f"src/{d.title}.py",
            "startLine": 10 * d.number,
            "endLine": 10 * d.number + 9,
            "fileExtension": ".py",
            "metadata": orjson.dumps({"language": "python", "chunkIndex": d.number}).decode(),
        },
        bm25=("content", "sparse_vector") if with_bm25 else None,
        writes="insert",
    )


MEMSEARCH = Rebuilt(
    {
        "chunk_hash": own_varchar(64),
        "content": varchar(65535, **ANALYZED),
        "source": varchar(1024),
        "heading": varchar(1024),
        "heading_level": INT64,
        "start_line": INT64,
        "end_line": INT64,
    },
    lambda d: {
        "chunk_hash": key(d)[16:],
        "content": d.text,
        "source": "notes.md",
        "heading": d.title,
        "heading_level": 2,
        "start_line": d.number,
        "end_line": d.number + 5,
    },
    vector="embedding",
    dynamic=True,
    index=flat("COSINE"),
    bm25=("content", "sparse_vector"),
)
COGNEE = Rebuilt(
    {"id": own_varchar(36), "text": varchar(65535)},
    lambda d: {"id": key(d), "text": d.text},
    dynamic=True,
)

# --- frameworks of Java and Go ----------------------------------------------------------


def spring_ai(embedded: Callable[[Document], str]) -> Rebuilt:
    return Rebuilt(
        {"doc_id": own_varchar(36), "content": varchar(65535), "metadata": JSON},
        lambda d: {"doc_id": key(d), "content": d.text, "metadata": _spring_metadata(d)},
        vector="embedding",
        index=ivf_flat("COSINE"),
        embedded=embedded,
        shards=2,
        writes="insert",
    )


def _spring_metadata(d: Document) -> Row:
    return {"source": d.title, "page": d.number, "final": d.number % 2 == 0}


def spring_ais_text(d: Document) -> str:
    final = "true" if d.number % 2 == 0 else "false"
    return f"source: {d.title}\npage: {d.number}\nfinal: {final}\n\n{d.text}"


def langchain4j(**of_the_text: Any) -> Rebuilt:
    return Rebuilt(
        {"id": own_varchar(36), "text": varchar(65535, **of_the_text), "metadata": JSON},
        lambda d: {"id": key(d), "text": d.text, "metadata": {"file_name": d.title, "index": "0"}},
        index=flat("COSINE"),
    )


EINO_MILVUS2 = Rebuilt(
    {"id": own_varchar(512), "content": varchar(65535), "metadata": JSON},
    lambda d: {"id": key(d), "content": d.text, "metadata": {"title": d.title}},
    index=auto("L2"),
)
EINO_FIRST = Rebuilt(
    {
        "id": own_varchar(255),
        "content": varchar(1024),
        "metadata": JSON,
    },
    lambda d: {"id": key(d), "content": d.text, "metadata": {"title": d.title}},
    index={"index_type": "BIN_FLAT", "metric_type": "HAMMING"},
    binary=True,
)

# --- texts that stand elsewhere ------------------------------------------------------------


def fastgpt(d: Document) -> Row:
    return {
        "id": 1_000 + d.number,
        "teamId": f"{d.number % 2:024x}",
        "datasetId": f"{d.number % 4:024x}",
        "collectionId": f"{d.number:024x}",
        "createTime": 1_700_000_000_000 + d.number,
    }


FASTGPT_COLUMNS = {
    "id": OWN_INT64,
    "teamId": varchar(64),
    "datasetId": varchar(64),
    "collectionId": varchar(64),
    "createTime": INT64,
}
FASTGPT = Rebuilt(FASTGPT_COLUMNS, fastgpt, index=hnsw("IP", 64, 128))
FASTGPT_26 = Rebuilt(
    {
        **FASTGPT_COLUMNS,
        "text": varchar(65535, nullable=True, **MATCHED),
        "metadata": {**JSON, "nullable": True},
    },
    lambda d: {
        **fastgpt(d),
        "text": d.text,
        "metadata": None if d.number % 3 == 0 else {"title": d.title},
    },
    index=hnsw("IP", 64, 128),
    bm25=("text", "sparse"),
)
GPTCACHE = WithQuestions(
    {"id": OWN_INT64},
    lambda d: {"id": 1 + d.number},
    vector="embedding",
    index=hnsw("L2"),
)

# --- Vanna's three collections ---------------------------------------------------------------


def vannas(columns: dict[str, Any], row: Callable[[Document], Row], **more: Any) -> Rebuilt:
    return Rebuilt(
        {"id": own_varchar(65535), **columns},
        lambda d: {"id": f"{key(d)}-{d.number}", **row(d)},
        index=auto("L2"),
        **more,
    )


VANNA_SQL = vannas(
    {"text": varchar(65535), "sql": varchar(65535)},
    lambda d: {"text": d.text, "sql": f"SELECT {d.number}"},
)
VANNA_DDL = vannas({"ddl": varchar(65535)}, lambda d: {"ddl": d.text})
VANNA_DOC = vannas({"doc": varchar(65535)}, lambda d: {"doc": d.text})

# --- everything dynamic -----------------------------------------------------------------------


def llama_index_node(d: Document) -> Row:
    """What LlamaIndex writes beside a node's text."""
    metadata = {"title": d.title, "language": "en", "page": d.number}
    said = {
        "metadata": metadata,
        "excluded_embed_metadata_keys": ["page"],
        "metadata_template": "{key}: {value}",
        "metadata_separator": "\n",
        "text_template": "{metadata_str}\n\n{content}",
        "class_name": "TextNode",
    }
    return {"_node_content": orjson.dumps(said).decode(), "_node_type": "TextNode", **metadata}


def llama_indexs_text(d: Document) -> str:
    return f"title: {d.title}\nlanguage: en\n\n{d.text}"


LLAMA_INDEX_05 = Rebuilt(
    {"id": own_varchar(65535)},
    lambda d: {"id": key(d), "text": d.text, "doc_id": "None", **llama_index_node(d)},
    vector="embedding",
    dynamic=True,
    index=auto("IP"),
    embedded=llama_indexs_text,
    writes="insert",
)
#: The columns of versions that kept the text in the dynamic field.
LLAMA_INDEX_SCALARS = Rebuilt(
    {"id": own_varchar(65535), "doc_id": varchar(65535), "title": varchar(65535)},
    lambda d: {
        "id": key(d),
        "doc_id": f"doc-{d.number // 3}",
        "text": d.text,
        **llama_index_node(d),
    },
    vector="embedding",
    dynamic=True,
    index=auto("IP"),
    embedded=llama_indexs_text,
    writes="insert",
)
PYMILVUS_INT = Rebuilt(
    {"id": OWN_INT64},
    lambda d: {"id": d.number, "my_words": d.text, "subject": d.title},
    dynamic=True,
)
PYMILVUS_VARCHAR = Rebuilt(
    {"id": own_varchar(64)},
    lambda d: {"id": key(d), "chunk": d.text, "subject": d.title},
    dynamic=True,
)
#: Of nobody in particular, and common: a title stands before the text.
TITLE_AND_TEXT = Rebuilt(
    {"id": OWN_INT64, "title": varchar(512), "text": varchar(65535)},
    lambda d: {"id": d.number, "title": d.title, "text": d.text},
    embedded=lambda d: f"{d.title}\n{d.text}",
)
