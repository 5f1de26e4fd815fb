"""A collection with everything that may stand beside a key, a text and a vector, there and back."""

from __future__ import annotations

from itertools import islice
from typing import Any

from pymilvus import DataType, Function, FunctionType

from devstack.corpus import python_corpus
from tests.fakes.embedders import LOCAL_64, LOCAL_256
from tests.harness import rows
from tests.harness.bots import BotHandle, expect
from tests.harness.world import World
from tests.harness.writers import History
from tests.services.databases import unique_name

TEXTS = [passage.text for passage in islice(python_corpus(), 0, 400, 10)]


def seeded(world: World) -> str:
    """As langchain-milvus lays it out with BM25, a partition key and a second embedding."""
    name, milvus = unique_name("c"), world.milvus
    schema = milvus.create_schema(enable_dynamic_field=True)
    schema.add_field("pk", DataType.VARCHAR, is_primary=True, max_length=65535)
    schema.add_field("text", DataType.VARCHAR, max_length=65535, enable_analyzer=True)
    schema.add_field("tenant", DataType.VARCHAR, max_length=64, is_partition_key=True)
    schema.add_field("image", DataType.FLOAT_VECTOR, dim=3)
    schema.add_field("dense", DataType.FLOAT_VECTOR, dim=LOCAL_64.dimension)
    schema.add_field("bm25", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_field("splade", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(Function("bm25", FunctionType.BM25, ["text"], ["bm25"]))
    index = milvus.prepare_index_params()
    index.add_index("dense", index_type="HNSW", metric_type="IP")
    index.add_index("image", index_type="FLAT", metric_type="L2")
    index.add_index("bm25", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    index.add_index("splade", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    milvus.create_collection(name, schema=schema, index_params=index)
    vectors = rows.embedded(LOCAL_64, TEXTS)
    made = [
        row_of(i, text, vector) for i, (text, vector) in enumerate(zip(TEXTS, vectors, strict=True))
    ]
    milvus.insert(name, made)
    milvus.flush(name)
    return name


def row_of(i: int, text: str, dense: Any) -> dict[str, Any]:
    others = {"image": [i / 7, -1.0, 0.1], "splade": {i + 1: 0.3, 4_000_000_000: 1.5}}
    return {"pk": f"{i:03}", "text": text, "tenant": f"t{i % 5}", "dense": dense, **others}


def contents(world: World, name: str) -> list[dict[str, Any]]:
    """Everything but the embedded vector, in the order of the keys."""
    found = world.milvus.query(
        name, filter='pk >= ""', output_fields=["*"], limit=1000, consistency_level="Strong"
    )
    told = [{n: v for n, v in row.items() if n != "dense"} for row in found]
    return sorted(told, key=lambda row: row["pk"])


def by_words(world: World, name: str, words: str) -> list[str]:
    """Keys found by Milvus' own text search."""
    [hits] = world.milvus.search(
        name, data=[words], anns_field="bm25", limit=3, consistency_level="Strong"
    )
    return [hit["pk"] for hit in hits]


def test_functions_partition_keys_and_other_vectors_go_there_and_back(world: World) -> None:
    name = seeded(world)
    wish = {"bot_id": unique_name("bot"), "collection": name, **LOCAL_64.model_dump()}
    refused = expect(422, world.owner.post("/bots", wish))
    assert "several float vector fields: 'image', 'dense'" in refused["detail"]
    made = expect(201, world.owner.post("/bots", {**wish, "vector_field": "dense"}))
    assert "dense" == made["vector_field"]
    bot = BotHandle(world.owner, made["bot_id"], made["alias"], name, LOCAL_64, History({}))
    untouched, words = contents(world, name), " ".join(TEXTS[7].split()[:8])

    run = bot.migrate(LOCAL_256)

    new, _ = bot.pair()
    assert untouched == contents(world, new)
    assert by_words(world, name, words) == by_words(world, new, words)
    told = world.milvus.describe_collection(new)
    dims = {f["name"]: f["params"].get("dim") for f in told["fields"]}
    assert (LOCAL_256.dimension, 3) == (dims["dense"], dims["image"])
    assert ["bm25"] == [function["name"] for function in told["functions"]]
    assert ["tenant"] == [f["name"] for f in told["fields"] if f.get("is_partition_key")]
    written = {n: value for n, value in untouched[3].items() if n != "bm25"}
    moved = {**written, "tenant": "t9", "image": [9.0, 9.0, 9.0], "splade": {5: 0.25}}
    [dense] = rows.embedded(LOCAL_256, [moved["text"]])
    world.milvus.upsert(new, [{**moved, "dense": dense}])

    run.roll_back().ends("completed")

    assert (name, LOCAL_64) == bot.pair()
    expected = [*untouched[:3], moved, *untouched[4:]]
    found = contents(world, name)
    assert [{**row, "bm25": None} for row in expected] == [{**row, "bm25": None} for row in found]
