"""Collections whose keys Milvus gives: LangChain's quick start, there and back, with writers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any

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


def seeded(world: World) -> str:
    """As langchain-milvus makes it for add_documents() without ids."""
    name, milvus = unique_name("c"), world.milvus
    schema = milvus.create_schema(auto_id=True, enable_dynamic_field=False)
    schema.add_field("source", DataType.VARCHAR, max_length=65535)
    schema.add_field("text", DataType.VARCHAR, max_length=65535)
    schema.add_field("pk", DataType.INT64, is_primary=True, auto_id=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=LOCAL_64.dimension)
    index = milvus.prepare_index_params()
    index.add_index("vector", index_type="AUTOINDEX", metric_type="L2")
    milvus.create_collection(name, schema=schema, index_params=index)
    add(world, name, TEXTS, LOCAL_64)
    milvus.flush(name)
    return name


def add(world: World, name: str, texts: Sequence[str], model: EmbeddingRef) -> list[int]:
    """What the application does; the keys that it is told."""
    added = [
        {"source": f"page {len(text)}", "text": text, "vector": vector}
        for text, vector in zip(texts, rows.embedded(model, list(texts)), strict=True)
    ]
    return list(world.milvus.insert(name, added)["ids"])


def remove(world: World, name: str, text: str) -> None:
    (key,) = [key for key, held in texts_by_key(world, name).items() if held == text]
    world.milvus.delete(name, ids=[key])


def texts_by_key(world: World, name: str) -> dict[int, str]:
    found = world.milvus.query(
        name,
        filter="pk >= 0",
        output_fields=["text"],
        limit=1000,
        consistency_level="Strong",
    )
    return {row["pk"]: row["text"] for row in found}


def texts_in(world: World, name: str) -> Counter[str]:
    return Counter(texts_by_key(world, name).values())


def bot_of(world: World, name: str) -> BotHandle:
    wish = {"bot_id": unique_name("bot"), "collection": name, **LOCAL_64.model_dump()}
    made = expect(201, world.owner.post("/bots", wish))
    return BotHandle(world.owner, made["bot_id"], made["alias"], name, LOCAL_64, History({}))


def key_map(world: World, migration_id: str) -> dict[int, int]:
    """Asked for in pages."""
    pairs: dict[int, int] = {}
    after: dict[str, Any] = {}
    while True:
        where = f"/embeddings/migration/{migration_id}/keys?limit=25" + "".join(
            f"&after={value}" for value in after.values()
        )
        page = expect(200, world.owner.get(where))
        pairs |= {pair["old"]: pair["new"] for pair in page["keys"]}
        if page["next_after"] is None:
            return pairs
        after = {"after": page["next_after"]}


def test_it_goes_there_and_back_with_what_was_written_meanwhile(world: World) -> None:
    there_and_back(world)


def test_the_same_on_the_real_milvus(standalone_world: World) -> None:
    there_and_back(standalone_world)


def there_and_back(world: World) -> None:
    bot = bot_of(world, seeded(world))
    run = bot.migrate(LOCAL_256, keys="reassign")
    new, _ = bot.pair()
    old_texts, new_texts = texts_by_key(world, bot.collection), texts_by_key(world, new)
    assert Counter(TEXTS) == Counter(new_texts.values())
    pairs = key_map(world, run.id)
    assert (set(old_texts), set(new_texts)) == (set(pairs), set(pairs.values()))
    assert [] == [old for old, new in pairs.items() if old_texts[old] != new_texts[new]]

    add(world, bot.alias, ["A chunk that came after the switch."], LOCAL_256)
    remove(world, bot.alias, TEXTS[0])
    expected = texts_in(world, new)
    run.roll_back().ends("completed")
    assert (bot.collection, LOCAL_64) == bot.pair()
    assert expected == texts_in(world, bot.collection)
    kept = texts_by_key(world, bot.collection)
    assert [] == [key for key, text in old_texts.items() if kept.get(key, text) != text]
    add(world, bot.alias, ["The application goes on as before."], LOCAL_64)
    assert 1 == texts_in(world, bot.collection)["The application goes on as before."]


def test_new_keys_are_agreed_to_or_the_run_is_refused(world: World) -> None:
    bot = bot_of(world, seeded(world))
    found = expect(200, bot.api.post(bot.where("validate-change"), LOCAL_256.model_dump()))
    assert not found["compatible"]
    (error,) = bot.start(LOCAL_256).ends("rolled_back")["errors"]
    assert "keys: reassign" in error["message"]


def test_a_worker_that_dies_leaves_nothing_missing_and_nothing_twice(world: World) -> None:
    bot = bot_of(world, seeded(world))
    run = bot.start(LOCAL_256, keys="reassign", batch_size=5)
    run.wait_for(lambda seen: seen["processed_chunks"] >= 10)
    world.kill("batch")
    world.restart(["batch"])
    run.ends("completed")
    assert Counter(TEXTS) == texts_in(world, bot.pair()[0])
