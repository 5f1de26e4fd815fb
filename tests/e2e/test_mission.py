"""The mission's endpoints as documented, over HTTP, on real processes."""

from __future__ import annotations

import time
from typing import Any

from migrations.model.config import EmbeddingRef
from tests.harness import rows
from tests.harness.bots import Run, expect
from tests.harness.oracle import wrongly_embedded
from tests.harness.plain_http import fetch
from tests.harness.readers import BotReader
from tests.harness.world import LARGE, OWNER, SMALL, UNLISTED, World
from tests.scenarios import trial
from tests.services.databases import unique_name

PHASES = [
    "validation",
    "backup_creation",
    "new_collection_creation",
    "data_migration",
    "verification",
    "finalization",
    "cleanup",
]


def told(ref: EmbeddingRef) -> dict[str, Any]:
    """An embedding as the API answers it."""
    return ref.model_dump(mode="json") | {"fingerprint": ref.fingerprint}


def test_a_bot_is_moved_to_the_new_model_while_it_answers_and_nothing_is_lost(
    world: World,
) -> None:
    bot = world.seed_bot(120)
    untouched = world.digest(bot)
    with BotReader(world.servers.milvus_url, bot.pair, bot.history.initial) as reader:
        answer = bot.ask_start(LARGE, batch_size=10)
        run = Run(bot.api, expect(202, answer)["migration"]["migration_id"])
        done = run.ends("completed")
        reader.assert_answered()
    assert f"/embeddings/migration/{run.id}/progress" == answer.headers["Location"]
    assert (120, 120, 0) == (done["total_chunks"], done["processed_chunks"], done["failed_chunks"])
    assert PHASES == [phase["phase"] for phase in done["phases"] if phase["duration_seconds"]]
    assert (answer.body["migration"]["target_collection"], LARGE) == bot.pair()
    assert untouched == world.digest(bot), "the old collection was touched"
    world.assert_all_well(bot)


def test_a_postponed_switch_waits_is_reported_and_goes_on_when_it_is_asked_for(
    world: World,
) -> None:
    bot = world.seed_bot(60)
    run = bot.start(LARGE, postpone=True)
    waits = run.ends("waiting")
    assert ["postponed"] == waits["decision"]["waits_for"]
    assert SMALL == bot.pair()[1]
    page = bot.api.get(f"{waits['links']['report']}?format=html")
    assert 200 == page.status
    assert "Nobody has accepted it" in page.body
    for _ in range(2):
        expect(202, bot.api.post(waits["links"]["switch"]))
    done = run.ends("completed")
    assert OWNER == done["decision"]["accepted_by"]
    assert LARGE == bot.pair()[1]
    world.assert_all_well(bot)


def test_the_progress_tells_batches_chunks_tokens_and_rate_while_it_goes_on(world: World) -> None:
    bot = world.seed_bot(120)
    world.provider.control({"reset": True})
    with world.driver.paused("batch.before_read", batch=11) as held:
        run = bot.start(LARGE, batch_size=10)
        held.wait()
        seen = run.wait_for(lambda seen: seen["current_batch"] == 11)
    assert ("running", "data_migration", False) == (seen["status"], seen["phase"], seen["finished"])
    assert (120, 110, 12) == (seen["total_chunks"], seen["processed_chunks"], seen["total_batches"])
    assert 91 <= seen["percent"] <= 92
    assert seen["chunks_per_second"] > 0
    assert seen["estimated_completion"] is not None
    assert 0 < seen["tokens_used"] <= world.provider.stats()["tokens"]
    run.ends("completed")


def test_a_collection_is_registered_as_a_bot_and_listed_for_its_owner(world: World) -> None:
    name, bot_id = unique_name("c"), unique_name("bot")
    rows.make_collection(world.milvus, name, SMALL.dimension)
    wish = {"bot_id": bot_id, "collection": name, "provider": "stub", "model": SMALL.model}
    answer = world.owner.post("/bots", wish)
    made = expect(201, answer)
    assert f"/bots/{bot_id}" == answer.headers["Location"]
    expected = (OWNER, name, f"{name}_live", told(SMALL), 1, "id", "text", "vector")
    fields = ["owner", "collection", "alias", "embedding", "generation"]
    fields += ["key_field", "text_field", "vector_field"]
    assert expected == tuple(made[field] for field in fields)
    assert name == rows.points_to(world.milvus, made["alias"])
    assert made == expect(200, world.owner.get(f"/bots/{bot_id}"))
    assert bot_id in [bot["bot_id"] for bot in expect(200, world.owner.get("/bots"))["bots"]]


def test_validation_says_that_a_bot_can_go_and_touches_nothing(world: World) -> None:
    bot = world.seed_bot(30)
    untouched = world.digest(bot)
    before = set(world.milvus.list_collections())
    found = expect(200, bot.api.post(bot.where("validate-change"), LARGE.canonical))
    assert found["compatible"] is True
    assert [] == found["errors"]
    names = {check["name"] for check in found["checks"]}
    assert {"schema", "source", "target_model", "alias", "texts", "fidelity"} <= names
    assert before == set(world.milvus.list_collections())
    assert untouched == world.digest(bot)


def test_a_model_is_tried_on_some_chunks_and_nothing_is_left_of_it(world: World) -> None:
    trial.leaves_nothing_behind(world)


def test_validation_says_why_a_bot_cannot_go(world: World) -> None:
    bot = world.seed_bot({"a": "said", "b": ""} | {f"c{i}": f"more {i}" for i in range(8)}, LARGE)
    found = expect(200, bot.api.post(bot.where("validate-change"), SMALL.canonical))
    assert found["compatible"] is False
    assert any("1 empty" in sentence for sentence in found["errors"])


def test_an_estimate_counts_the_chunks_and_defaults_to_the_present_model(world: World) -> None:
    bot = world.seed_bot(70)
    path = bot.where("estimate-migration")
    world.provider.latency_seconds = 0.2
    for_large = expect(200, bot.api.post(path, LARGE.canonical | {"batch_size": 20}))
    assert (70, 4) == (for_large["chunks"], for_large["batches"])
    assert 70 * LARGE.dimension * 4 == for_large["vector_bytes"]
    assert for_large["duration_seconds"] >= 0.2
    assert for_large["tokens"] > 70
    assert told(SMALL) == expect(200, bot.api.post(path))["target"]


def test_the_dimension_info_names_the_collections_dimension_and_the_models(world: World) -> None:
    bot = world.seed_bot(5)
    found = expect(200, bot.api.get(bot.where("dimension-info")))
    assert (SMALL.dimension, True) == (found["collection_dimension"], found["consistent"])
    assert SMALL.dimension == found["current_model"]["default_dimension"]
    assert {SMALL.model, LARGE.model} <= {model["model"] for model in found["known_models"]}


def test_the_status_tells_the_newest_migration_and_the_way_back(world: World) -> None:
    bot = world.seed_bot(20)
    assert bot.status()["migration"] is None
    run = bot.migrate(LARGE)
    status = bot.status()
    assert (run.id, "completed") == (
        status["migration"]["migration_id"],
        status["migration"]["status"],
    )
    assert all(check["passed"] for check in status["migration"]["verification"]["checks"])
    assert told(LARGE) == status["bot"]["embedding"]
    assert bot.collection == status["bot"]["previous"]["collection"]


def test_an_admin_sees_every_live_migration(world: World) -> None:
    bot = world.seed_bot(5)
    with world.driver.paused("validation.before_run") as held:
        run = bot.start(LARGE)
        held.wait()
        active = expect(200, world.admin.get("/embeddings/migrations/active"))
    assert [run.id] == [one["migration_id"] for one in active["migrations"]]
    run.ends("completed")
    assert 0 == expect(200, world.admin.get("/embeddings/migrations/active"))["count"]


def test_a_model_the_settings_do_not_name_is_asked_for_its_dimension(world: World) -> None:
    bot = world.seed_bot(12)
    wish = {"provider": UNLISTED.provider, "model": UNLISTED.model}
    answer = bot.api.post(bot.where("start-migration"), wish)
    Run(bot.api, expect(202, answer)["migration"]["migration_id"]).ends("completed")
    assert UNLISTED == bot.pair()[1]
    world.assert_all_well(bot)


def test_an_empty_bot_and_one_with_a_single_chunk_are_moved_too(world: World) -> None:
    empty, single = world.seed_bot({}), world.seed_bot({"only": "the only chunk"})
    runs = [empty.start(LARGE), single.start(LARGE)]
    for bot, run in zip((empty, single), runs, strict=True):
        run.ends("completed")
        world.assert_all_well(bot)


def test_equal_texts_are_paid_once_and_every_chunk_gets_its_vector(world: World) -> None:
    bot = world.seed_bot({f"k{i:03}": f"text {i % 10}" for i in range(100)})
    world.provider.control({"reset": True})
    run = bot.start(LARGE, batch_size=50, verify_migration=False)
    run.ends("completed")
    # Ten a batch, and what validation asks with: two texts of our own, ten of the old
    # model, and those once more with one of our own.
    assert world.provider.stats()["texts"] <= 20 + 2 + 10 + 11
    found = rows.read_all(world.milvus, bot.pair()[0])
    assert 100 == len(found)
    assert [] == wrongly_embedded(found, LARGE)


def test_the_description_and_the_health_pages_need_no_token(world: World) -> None:
    for path in ("/healthz", "/readyz", "/openapi/openapi.json", "/openapi/swagger"):
        assert 200 == fetch(world.url + path).status, path


def test_all_is_well_where_workers_are_and_they_are_seen_by_what_they_read(world: World) -> None:
    found = expect(200, world.admin.get("/workers"))
    alive = [one for one in found["workers"] if one["alive"]]  # a test before may have killed one
    assert found["alive"] == len(alive) == 2
    assert {1} == {one["workers"] for one in found["queues"]}
    names = sorted(one["name"].partition("@")[0] for one in alive)
    assert ["batch", "control"] == names
    assert 200 == fetch(world.url + "/healthz/deep").status


def test_batches_that_outrun_the_task_that_sent_them_need_no_watchdog(world: World) -> None:
    bot = world.seed_bot(20)
    with world.driver.paused("data_migration.after_run") as held:
        run = bot.start(LARGE, batch_size=10)
        held.wait()
        run.wait_for(lambda seen: seen["current_batch"] == 2)
        # The last batch has asked for the catching up; its task is on its way by now.
        time.sleep(0.7)
    run.ends("completed")
    assert "redriven" not in [event["name"] for event in world.oracle.events(run.id)]
    world.assert_all_well(bot)
