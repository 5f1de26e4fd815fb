"""The way back, before the switch and after it, and back again."""

from __future__ import annotations

from tests.harness import rows
from tests.harness.bots import BotHandle, expect
from tests.harness.readers import BotReader, first_answer
from tests.harness.world import LARGE, SMALL, World
from tests.harness.writers import Operation, Outcome, write


def answers(world: World, bot: BotHandle) -> list[tuple[str, float]]:
    """The three nearest chunks of a question, with their scores, from what is live."""
    collection, ref = bot.pair()
    question = rows.embedded(ref, ["a question nobody has asked"])[0]
    (hits,) = world.milvus.search(collection, data=[question], limit=3, timeout=30)
    return [(hit["id"], round(hit["distance"], 6)) for hit in hits]


def test_a_rollback_before_the_switch_undoes_the_run_itself(world: World) -> None:
    bot = world.seed_bot(40)
    row, untouched = bot.row(), world.digest(bot)
    with world.driver.paused("verification.before_run") as held:
        run = bot.start(LARGE)
        held.wait()
        assert run == run.roll_back()
    run.ends("rolled_back")
    assert row == bot.row()
    assert untouched == world.digest(bot)
    world.assert_all_well(bot)


def test_a_rollback_after_the_switch_brings_the_old_answers_back_once_while_the_bot_answers(
    world: World,
) -> None:
    bot = world.seed_bot(60)
    untouched, old_answers = world.digest(bot), answers(world, bot)
    run = bot.migrate(LARGE)
    status = bot.status()
    assert (True, []) == (status["rollback_ready"], status["rollback_blockers"])
    with BotReader(world.servers.milvus_url, bot.pair, bot.history.initial) as reader:
        with world.driver.paused("validation.before_run") as held:
            reverse = run.roll_back()
            held.wait()
            during = expect(409, run.ask_rollback())
        assert "reverse" == reverse.ends("completed")["kind"]
        reader.assert_answered()
    assert reverse != run
    run.ends("rolled_back")
    after = expect(409, run.ask_rollback())
    assert ["/problems/already-rolled-back"] * 2 == [during["type"], after["type"]]
    assert reverse.id == during["migration_id"]
    assert (bot.collection, SMALL) == bot.pair()
    assert 3 == bot.row()["generation"]
    assert untouched == world.digest(bot)
    assert old_answers == answers(world, bot)
    world.assert_all_well(bot)


def test_a_rollback_keeps_what_was_written_since_and_so_does_its_own_rollback(
    world: World,
) -> None:
    bot = world.seed_bot(60)
    run = bot.migrate(LARGE)
    new = bot.pair()[0]
    since(world, bot, {"k000001": "changed since", "k000002": None, "n1": "new since"}, LARGE)
    reverse = run.roll_back()
    reverse.ends("completed")
    assert (bot.collection, SMALL) == bot.pair()
    world.assert_all_well(bot)
    assert "n1" == first_answer(world.milvus, bot.alias, SMALL, "new since")

    since(world, bot, {"k000003": "changed later", "n1": None, "n2": "new later"}, SMALL)
    reverse.roll_back().ends("completed")
    assert (new, LARGE) == bot.pair()
    world.assert_all_well(bot)
    assert "n2" == first_answer(world.milvus, bot.alias, LARGE, "new later")


def test_a_failed_rollback_leaves_the_bot_where_it_is_and_can_be_tried_again(
    world: World,
) -> None:
    bot = world.seed_bot(20)
    run = bot.migrate(LARGE)
    row = bot.row()
    world.driver.on("verification.before_run", "raise")
    run.roll_back().ends("rolled_back")
    assert row == bot.row()
    world.assert_all_well(bot)
    run.roll_back().ends("completed")
    assert (bot.collection, SMALL) == bot.pair()
    world.assert_all_well(bot)


def test_only_the_last_switch_can_be_taken_back(world: World) -> None:
    bot = world.seed_bot(10)
    first = bot.migrate(LARGE)
    bot.migrate(SMALL)
    refused = expect(409, first.ask_rollback())
    assert "/problems/rollback-unavailable" == refused["type"]
    world.assert_all_well(bot)


def since(world: World, bot: BotHandle, texts: dict[str, str | None], ref: object) -> None:
    """Write through the alias, as an application does that has followed the switch."""
    assert ref == bot.pair()[1]
    write(world.milvus, bot.alias, bot.pair()[1], texts)
    bot.history.operations += [Operation(key, text, Outcome.OK) for key, text in texts.items()]
