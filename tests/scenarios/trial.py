"""A model that is tried on some chunks."""

from __future__ import annotations

from tests.harness.bots import expect
from tests.harness.world import LARGE, World


def leaves_nothing_behind(world: World) -> None:
    """Milvus makes the scratch collection, takes the chunks, answers from it, and drops it."""
    bot = world.seed_bot(80)
    untouched, before = world.digest(bot), set(world.milvus.list_collections())
    paid = world.provider.stats()["tokens"]
    wish = LARGE.canonical | {"chunks": 60}
    found = expect(200, bot.api.post(f"/bots/{bot.bot_id}/trial", wish))
    checks = {check["name"]: check for check in found["checks"]}
    assert (80, 60, 60) == (found["chunks"], found["sampled"], found["moved"])
    assert checks["content"]["passed"], checks["content"]
    assert 1.0 == checks["retrieval"]["details"]["recall_after"]
    assert 60 == checks["neighbourhoods"]["details"]["compared"]
    assert world.provider.stats()["tokens"] - paid == found["tokens"]
    assert 80 == found["whole"]["chunks"]
    assert before == set(world.milvus.list_collections())
    assert untouched == world.digest(bot)
