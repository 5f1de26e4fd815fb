"""Texts that nothing proves, and those that stand in the dynamic field beside columns.

What real applications store is in tests/applications.

The model is the local one and the texts are real, so that a wrong field is as far from
the stored vectors as it is in life.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType

from devstack.corpus import python_corpus
from migrations.model.config import EmbeddingRef
from tests.fakes.embedders import LOCAL_64, LOCAL_256
from tests.harness import rows
from tests.harness.bots import BotHandle, expect
from tests.harness.world import World
from tests.harness.writers import History
from tests.services.databases import unique_name

TEXTS = [passage.text for passage in islice(python_corpus(), 0, 1200, 20)]


@dataclass(frozen=True)
class Layout:
    """An application's collection: its columns besides the vector, and rows for the texts."""

    columns: dict[str, dict[str, Any]]
    row: Callable[[int, str], dict[str, Any]]
    dynamic: bool = False
    #: What is embedded of the i-th text.
    embedded: Callable[[int, str], str] = lambda i, text: text


def varchar(length: int, **more: Any) -> dict[str, Any]:
    return {"datatype": DataType.VARCHAR, "max_length": length, **more}


INT_KEY = {"datatype": DataType.INT64, "is_primary": True}
FASTGPT = {
    "id": INT_KEY,
    "teamId": varchar(64),
    "datasetId": varchar(64),
    "collectionId": varchar(64),
    "createTime": {"datatype": DataType.INT64},
}


def fastgpt(i: int, text: str) -> dict[str, Any]:
    ids = {
        "teamId": f"team{i % 2:060}",
        "datasetId": f"set{i % 4:060}",
        "collectionId": f"c{i:060}",
    }
    return {"id": i, **ids, "createTime": 1_700_000_000 + i}


FASTGPT_LAYOUT = Layout(FASTGPT, fastgpt)
FASTGPT_DYNAMIC = Layout(FASTGPT, lambda i, text: {**fastgpt(i, text), "text": text}, dynamic=True)
LLAMA_INDEX = Layout(
    {"id": varchar(128, is_primary=True), "doc_id": varchar(65535)},
    lambda i, text: {"id": f"node-{i:04}", "doc_id": f"doc-{i // 3}", "text": text},
    dynamic=True,
)
LANGCHAIN = Layout(
    {
        "pk": varchar(128, is_primary=True),
        "source": varchar(65535),
        "langchain_text": varchar(4096),
    },
    lambda i, text: {"pk": f"{i:04}", "source": f"page {i}", "langchain_text": text},
)
PREFIXED = Layout(
    LANGCHAIN.columns,
    LANGCHAIN.row,
    embedded=lambda i, text: f"Title: the Python library\n\n{text}",
)
HNSW = {"M": 16, "efConstruction": 64}


def seeded(world: World, layout: Layout) -> str:
    """The name of a new collection, filled and loaded."""
    name, milvus = unique_name("c"), world.milvus
    schema = milvus.create_schema(auto_id=False, enable_dynamic_field=layout.dynamic)
    for column, options in layout.columns.items():
        schema.add_field(column, **options)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=LOCAL_64.dimension)
    index = milvus.prepare_index_params()
    index.add_index("vector", index_type="HNSW", metric_type="IP", params=HNSW)
    milvus.create_collection(name, schema=schema, index_params=index)
    milvus.upsert(name, rows_of(layout, TEXTS))
    milvus.flush(name)
    return name


def rows_of(layout: Layout, texts: Sequence[str]) -> list[dict[str, Any]]:
    vectors = rows.embedded(LOCAL_64, [layout.embedded(i, text) for i, text in enumerate(texts)])
    return [
        {**layout.row(i, text), "vector": vector}
        for i, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]


def wish_for(name: str, **more: str) -> dict[str, Any]:
    return {"bot_id": unique_name("bot"), "collection": name, **LOCAL_64.canonical, **more}


def bot_of(world: World, wish: dict[str, Any]) -> BotHandle:
    made = expect(201, world.owner.post("/bots", wish))
    name = wish["collection"]
    return BotHandle(world.owner, made["bot_id"], made["alias"], name, LOCAL_64, History({}))


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (FASTGPT_LAYOUT, ["teamId, datasetId, collectionId", "(median cosine"]),
        (PREFIXED, ["source, langchain_text", "'langchain_text' (median cosine"]),
    ],
    ids=["fastgpt", "prefix"],
)
def test_no_text_is_taken_that_was_not_embedded(
    world: World, layout: Layout, words: list[str]
) -> None:
    name = seeded(world, layout)
    problem = expect(422, world.owner.post("/bots", wish_for(name)))
    assert "/problems/invalid-configuration" == problem["type"]
    assert [] == [word for word in (*words, "text_field") if word not in problem["detail"]], problem
    assert name not in [bot["collection"] for bot in world.owner.get("/bots").body["bots"]]


@pytest.mark.parametrize(
    ("layout", "stated"),
    [
        (FASTGPT_LAYOUT, "teamId"),
        (FASTGPT_LAYOUT, "collectionId"),
        (LLAMA_INDEX, "doc_id"),
        (PREFIXED, "langchain_text"),
    ],
    ids=["fastgpt-team", "fastgpt-collection", "llamaindex", "prefix"],
)
def test_a_stated_field_that_was_not_embedded_ends_at_validation_and_nothing_is_switched(
    world: World, layout: Layout, stated: str
) -> None:
    bot = bot_of(world, wish_for(seeded(world, layout), text_field=stated))
    before = bot.row()
    found = expect(200, bot.api.post(bot.where("validate-change"), LOCAL_256.canonical))
    assert (False, 1) == (found["compatible"], len(found["errors"]))
    (error,) = bot.start(LOCAL_256).ends("rolled_back")["errors"]
    assert "validation-failed" == error["code"]
    assert f"{stated!r} may not be the text that was embedded" in error["message"]
    assert before == bot.row()
    assert bot.collection == rows.points_to(world.milvus, bot.alias)
    assert [] == [name for name in world.milvus.list_collections() if f"{bot.alias}__g" in name]


@pytest.mark.parametrize("layout", [FASTGPT_DYNAMIC, LLAMA_INDEX], ids=["fastgpt", "llamaindex"])
def test_a_text_in_the_dynamic_field_is_found_and_goes_there_and_back(
    world: World, layout: Layout
) -> None:
    there_and_back(world, layout, {"field": "text"})


def there_and_back(world: World, layout: Layout, recipe: dict[str, Any]) -> None:
    bot = bot_of(world, wish_for(seeded(world, layout)))
    assert recipe == expect(200, world.owner.get(f"/bots/{bot.bot_id}"))["text"]
    untouched = contents(world, layout, bot.collection)
    hits_before = hits_at_5(world, layout, bot.collection, LOCAL_64)
    run = bot.migrate(LOCAL_256)
    new, model = bot.pair()
    assert hits_at_5(world, layout, new, LOCAL_256) >= 0.95 * hits_before > 0.5
    assert LOCAL_256 == model
    moved = contents(world, layout, new)
    assert [fields for fields, _ in untouched] == [fields for fields, _ in moved]
    embedded = [layout.embedded(i, text) for i, text in enumerate(TEXTS)]
    vectors = np.array([vector for _, vector in moved])
    assert np.allclose(vectors, rows.embedded(LOCAL_256, embedded), atol=1e-6)
    run.roll_back().ends("completed")
    assert (bot.collection, LOCAL_64) == bot.pair()
    assert untouched == contents(world, layout, bot.collection)


def hits_at_5(world: World, layout: Layout, name: str, ref: EmbeddingRef) -> float:
    """The share of rows that the second half of their text finds among the first five."""
    key = next(iter(layout.columns))
    keys = [layout.row(i, text)[key] for i, text in enumerate(TEXTS)]
    halves = [text[len(text) // 2 :] for text in TEXTS]
    questions = [list(map(float, vector)) for vector in rows.embedded(ref, halves)]
    found = world.milvus.search(name, questions, limit=5, consistency_level="Strong")
    hits = [key in [hit.id for hit in hits] for key, hits in zip(keys, found, strict=True)]
    return sum(hits) / len(hits)


def contents(world: World, layout: Layout, name: str) -> list[tuple[dict[str, Any], list[float]]]:
    """Fields and vector of each row, in the order of the keys."""
    key = next(iter(layout.columns))
    everything = f'{key} >= ""' if key_is_string(layout) else f"{key} >= 0"
    found = world.milvus.query(
        name, filter=everything, output_fields=["*"], limit=1000, consistency_level="Strong"
    )
    found = sorted(({**row} for row in found), key=lambda row: row[key])
    return [(row, list(row.pop("vector"))) for row in found]


def key_is_string(layout: Layout) -> bool:
    return next(iter(layout.columns.values()))["datatype"] == DataType.VARCHAR
