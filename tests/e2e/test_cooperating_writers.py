"""Whoever writes through us loses nothing, whatever becomes of the bot and of its workers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import howto
from tests.harness.bots import expect
from tests.harness.world import LARGE, SMALL, World
from tests.harness.writers import Operation, Outcome
from tests.scenarios.cooperating import all_applied, writing


def test_what_is_written_through_a_run_its_switch_and_a_rollback_is_what_there_is(
    world: World,
) -> None:
    bot = world.seed_bot(80)
    with writing(world, bot) as writer:
        run = bot.start(LARGE, batch_size=10)
        run.ends("completed")
        assert LARGE == bot.pair()[1]
        reverse = run.roll_back()
        reverse.ends("completed")
    assert (bot.collection, SMALL) == bot.pair()
    seen = all_applied(bot)
    assert ([], 0) == (writer.told.refused, seen["failed_count"])
    assert len(bot.history.operations) == seen["last_position"]
    world.assert_all_well(bot)


@pytest.fixture
def how_to() -> Any:
    return howto.run(howto.pieces("writing.md")["In Python"])


def test_the_how_to_writes_before_and_after_a_switch(
    world: World, how_to: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    bot = world.seed_bot(20)
    bot_url = f"{world.url}/bots/{bot.bot_id}"
    chunks = how_to.Chunks(bot_url, world.owner_token)
    assert chunks.put({"k000001": {"text": "changed before"}}, wait=20)["applied"]
    bot.migrate(LARGE)
    how_to.add_a_page(bot_url, world.owner_token)
    assert chunks.delete(["k000002"], wait=20)["applied"]
    with pytest.raises(RuntimeError, match=r"chunks\[0\].fields.text"):
        chunks.put({"bad": {"text": 7}})
    changes = {"k000001": "changed before", "faq-17": "Invoices are sent on the first."}
    bot.history.operations += [Operation(k, text, Outcome.OK) for k, text in changes.items()]
    bot.history.operations.append(Operation("k000002", None, Outcome.OK))
    assert "" == capsys.readouterr().out
    world.assert_all_well(bot)


def test_a_text_that_is_refused_is_told_and_keeps_nobody_else_waiting(world: World) -> None:
    bot = world.seed_bot(10)
    poison = {"key": "bad", "fields": {"text": "poison of the provider"}}
    fine = {"key": "good", "fields": {"text": "a fine text"}}
    world.provider.misbehave("too_long", containing="poison of the provider")
    path = f"/bots/{bot.bot_id}/chunks"
    answer = expect(200, bot.api.put(f"{path}?wait=20", {"chunks": [poison, fine]}))
    assert ["bad"] == [failed["key"] for failed in answer["failed"]]
    bot.history.operations.append(Operation("good", "a fine text", Outcome.OK))
    world.assert_all_well(bot)
