"""Starting, cancelling and rolling back, as callers see it."""

from __future__ import annotations

import uuid

import pytest

from migrations.model.bots import Caller
from migrations.model.errors import (
    AlreadyRolledBack,
    AlreadySwitched,
    BotNotFound,
    IdempotencyConflict,
    InvalidConfiguration,
    MigrationInProgress,
    MigrationNotFound,
    NoActiveMigration,
    NotAllowed,
    ProviderKeyMissing,
    RollbackUnavailable,
    SameModel,
    SwitchInProgress,
    TooManyMigrations,
    UnknownModel,
    UnknownProvider,
)
from migrations.model.requests import BotRegistration, StartRequest
from migrations.model.states import Kind, Phase, Status
from migrations.way_back.kept import retire
from tests.fakes.embedders import LARGE, SMALL
from tests.fakes.world import ADMIN, ALIAS, OWNER, SOURCE, World, kill

STRANGER = Caller("stranger")
WISH = StartRequest("bot", LARGE.provider, LARGE.model)
HOUR = 3600.0


def switching(world: World) -> None:
    """A migration whose worker has died between intent and switch."""
    world.start_at(Phase.FINALIZATION)
    with world.at("finalization.before_switch", kill):
        world.work(world.pending().pop())
    world.queue.clear()


def rolling_back(world: World) -> None:
    world.start_at(Phase.DATA_MIGRATION)
    world.system.cancel(OWNER, "bot")


# --- starting --------------------------------------------------------------------------


def test_what_is_not_asked_for_comes_from_the_settings() -> None:
    world = World(settings={"default_batch_size": 7, "retry_delay": 1.5, "max_retries": 5})
    config = world.system.start_migration(OWNER, WISH).migration.config
    assert (7, 1.5, 5, 3600) == (
        config.batch_size,
        config.retry_delay,
        config.max_retries,
        config.timeout_seconds,
    )
    assert (SMALL, LARGE) == (config.source, config.target)
    assert config.enable_rollback
    assert config.verify_migration


def test_a_pause_of_zero_seconds_is_asked_for_and_not_left_out() -> None:
    wish = StartRequest("bot", "fake", "large", retry_delay=0.0, max_retries=0)
    config = World().system.start_migration(OWNER, wish).migration.config
    assert (0.0, 0) == (config.retry_delay, config.max_retries)


def test_the_target_is_named_after_alias_generation_and_migration() -> None:
    migration = World().system.start_migration(OWNER, WISH).migration
    assert f"live__g2_{migration.id.hex[:8]}" == migration.target_collection


def test_a_start_of_the_same_key_and_request_gives_the_first_migration() -> None:
    world = World()
    first = world.system.start_migration(OWNER, WISH, "key")
    again = world.system.start_migration(OWNER, WISH, "key")
    assert (first.migration.id, True, False) == (again.migration.id, first.created, again.created)


def test_a_start_of_the_same_key_is_answered_after_the_switch_too() -> None:
    world = World()
    first = world.system.start_migration(OWNER, WISH, "key")
    world.deliver()
    assert LARGE == world.bot.live.embedding
    assert first.migration.id == world.system.start_migration(OWNER, WISH, "key").migration.id


def test_a_key_used_for_another_request_is_refused() -> None:
    world = World()
    world.system.start_migration(OWNER, WISH, "key")
    with pytest.raises(IdempotencyConflict):
        world.system.start_migration(OWNER, StartRequest("bot", "fake", "large", 4), "key")


@pytest.mark.parametrize(
    ("wish", "refusal"),
    [
        (StartRequest("bot", "fake", "small"), SameModel),
        (StartRequest("bot", "nobody", "large"), UnknownProvider),
        (StartRequest("bot", "fake", "enormous"), UnknownModel),
        (StartRequest("bot", "fake", "large", 17), InvalidConfiguration),
        (StartRequest("nobot", "fake", "large"), BotNotFound),
    ],
)
def test_a_wish_that_cannot_be_is_refused(wish: StartRequest, refusal: type[Exception]) -> None:
    world = World()
    with pytest.raises(refusal):
        world.system.start_migration(OWNER, wish)
    assert [] == world.store.active()


def test_another_dimension_of_the_same_model_is_another_embedding() -> None:
    wish = StartRequest("bot", "fake", "small", 4)
    assert 4 == World().system.start_migration(OWNER, wish).migration.config.to_dimension


def test_a_provider_without_its_key_is_refused() -> None:
    world = World()
    world.embedders.without_key("fake")
    with pytest.raises(ProviderKeyMissing):
        world.system.start_migration(OWNER, WISH)


def test_a_second_start_is_refused_and_names_the_first() -> None:
    world = World()
    first = world.start()
    with pytest.raises(MigrationInProgress, match=str(first.id)):
        world.start()


def test_a_start_while_a_rollback_is_under_way_names_the_rollback() -> None:
    world = World()
    back = world.system.rollback(OWNER, world.complete().id).migration
    with pytest.raises(MigrationInProgress, match=str(back.id)):
        world.start()  # of the model that is live until the rollback has switched


def test_more_than_the_limit_of_bots_at_once_is_refused() -> None:
    world = World(settings={"max_concurrent_migrations": 3, "max_migrations_per_owner": 3})
    world.start()
    for name in ["b2", "b3", "b4"]:
        world.vectors.seed(name, [], SMALL.dimension)
        world.system.register_bot(OWNER, BotRegistration(name, name, "fake", "small"))
    for name in ["b2", "b3"]:
        world.system.start_migration(OWNER, StartRequest(name, "fake", "large"))
    with pytest.raises(TooManyMigrations):
        world.system.start_migration(OWNER, StartRequest("b4", "fake", "large"))
    world.deliver()
    assert world.system.start_migration(OWNER, StartRequest("b4", "fake", "large")).created


def with_bots(world: World, owner: Caller, *names: str) -> list[StartRequest]:
    world.store.add_grant(owner.owner, "*", by=ADMIN.owner)
    for name in names:
        world.vectors.seed(name, [], SMALL.dimension)
        world.system.register_bot(owner, BotRegistration(name, name, "fake", "small"))
    return [StartRequest(name, "fake", "large") for name in names]


def test_one_owner_cannot_take_every_place_by_default() -> None:
    world = World()
    greedy, patient = Caller("greedy"), Caller("patient")
    first, second, third = with_bots(world, greedy, "g1", "g2", "g3")
    (modest,) = with_bots(world, patient, "p1")
    for wish in (first, second):
        world.system.start_migration(greedy, wish)
    with pytest.raises(TooManyMigrations, match="this owner's bots") as refused:
        world.system.start_migration(greedy, third)
    assert "owner" == refused.value.details["limit_of"]
    with pytest.raises(TooManyMigrations, match="this owner's bots"):
        world.system.start_migration(ADMIN, third)  # the bot's owner counts, whoever asks
    assert world.system.start_migration(patient, modest).created
    world.system.cancel(greedy, "g1")
    world.settle()
    assert world.system.start_migration(greedy, third).created


def test_a_timeout_is_bounded_and_an_operator_can_raise_the_bound() -> None:
    with pytest.raises(InvalidConfiguration, match="REEMBED_MAX_TIMEOUT_SECONDS"):
        World().start(timeout_seconds=172_801)
    assert 172_800 == World().start(timeout_seconds=172_800).config.timeout_seconds
    raised = World(settings={"max_timeout_seconds": 2_592_000})
    assert 2_592_000 == raised.start(timeout_seconds=2_592_000).config.timeout_seconds


def test_the_default_timeout_is_the_operators_own_and_as_long_as_they_like() -> None:
    settings = {"max_timeout_seconds": 60, "default_timeout_seconds": 3600}
    assert 3600 == World(settings=settings).start().config.timeout_seconds


# --- whose is it -----------------------------------------------------------------------


def test_another_owners_bot_does_not_exist_for_a_caller() -> None:
    world = World()
    for action in (world.system.bot, world.system.status, world.system.cancel):
        with pytest.raises(BotNotFound):
            action(STRANGER, "bot")
    with pytest.raises(BotNotFound):
        world.system.start_migration(STRANGER, WISH)
    assert [] == world.system.bots(STRANGER)


def test_another_owners_migration_does_not_exist_for_a_caller() -> None:
    world = World()
    migration = world.start()
    for action in (world.system.progress, world.system.result, world.system.rollback):
        with pytest.raises(MigrationNotFound):
            action(STRANGER, migration.id)


def test_a_migration_that_nobody_made_is_not_found() -> None:
    with pytest.raises(MigrationNotFound):
        World().system.progress(OWNER, uuid.uuid4())


def test_an_admin_sees_everybodys() -> None:
    world = World()
    migration = world.start()
    assert ["bot"] == [bot.bot_id for bot in world.system.bots(ADMIN)]
    assert [migration.id] == [each.migration_id for each in world.system.active(ADMIN)]
    assert migration.id == world.system.progress(ADMIN, migration.id).migration_id


def test_only_an_admin_may_list_what_is_active() -> None:
    with pytest.raises(NotAllowed):
        World().system.active(OWNER)


def test_what_has_ended_is_not_active() -> None:
    world = World()
    world.complete()
    assert [] == world.system.active(ADMIN)


# --- cancelling --------------------------------------------------------------------------


@pytest.mark.parametrize("phase", list(Phase)[:6])
def test_cancelling_before_any_phase_leaves_the_bot_as_it_was(phase: Phase) -> None:
    world = World()
    before = world.bot, world.contents(SOURCE)
    migration = world.start_at(phase)
    world.system.cancel(OWNER, "bot")
    world.settle()
    now = world.now(migration)
    assert (Status.ROLLED_BACK, "cancelled") == (now.status, (now.error or {})["code"])
    assert before == (world.bot, world.contents(SOURCE))
    assert [SOURCE] == world.vectors.names()


def test_cancelling_twice_is_answered_like_once() -> None:
    world = World()
    rolling_back(world)
    assert world.system.cancel(OWNER, "bot").epoch == world.system.cancel(OWNER, "bot").epoch
    world.settle()
    assert 1 == world.ran.count("migrations.rollback.finish")


def test_cancelling_during_the_switch_is_refused() -> None:
    world = World()
    switching(world)
    with pytest.raises(SwitchInProgress):
        world.system.cancel(OWNER, "bot")
    world.settle()
    assert LARGE == world.bot.live.embedding


def test_cancelling_after_the_switch_points_to_rollback() -> None:
    world = World()
    world.start_at(Phase.CLEANUP)
    with pytest.raises(AlreadySwitched):
        world.system.cancel(OWNER, "bot")


def test_there_is_nothing_to_cancel_without_a_live_migration() -> None:
    world = World()
    with pytest.raises(NoActiveMigration):
        world.system.cancel(OWNER, "bot")
    world.complete()
    with pytest.raises(NoActiveMigration):
        world.system.cancel(OWNER, "bot")


def test_a_bot_can_migrate_after_a_cancelled_attempt() -> None:
    world = World()
    rolling_back(world)
    world.settle()
    assert Status.COMPLETED == world.complete().status


# --- rolling back ------------------------------------------------------------------------


def test_before_the_switch_a_rollback_cancels() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    started = world.system.rollback(OWNER, migration.id)
    assert (migration.id, False) == (started.migration.id, started.created)
    world.settle()
    assert Status.ROLLED_BACK == world.now(migration).status


def test_after_the_switch_a_rollback_is_a_run_of_its_own_that_brings_all_back() -> None:
    world = World()
    before = world.contents(SOURCE)
    migration = world.complete()
    back = world.system.rollback(OWNER, migration.id).migration
    world.deliver()
    assert (Kind.REVERSE, Status.COMPLETED) == (back.kind, world.now(back).status)
    assert Status.ROLLED_BACK == world.now(migration).status
    assert (SOURCE, SMALL, 3) == (
        world.bot.live.collection,
        world.bot.live.embedding,
        world.bot.live.generation,
    )
    assert SOURCE == world.vectors.resolve_alias(ALIAS)
    assert before == world.contents(SOURCE)


def test_what_was_written_since_the_switch_survives_the_rollback() -> None:
    world = World()
    migration = world.complete()
    live = migration.target_collection
    world.write("new", "inserted", collection=live)
    world.write("k003", "updated", collection=live)
    world.vectors.remove(live, "k004")
    world.system.rollback(OWNER, migration.id)
    world.deliver()
    assert world.texts_of(live) == world.texts_of(SOURCE)
    assert [] == world.wrongly_embedded(SOURCE, SMALL)


def test_a_rollback_can_be_rolled_back() -> None:
    world = World()
    migration = world.complete()
    back = world.system.rollback(OWNER, migration.id).migration
    world.deliver()
    world.write("new", "written in between")
    world.system.rollback(OWNER, back.id)
    world.deliver()
    assert Status.ROLLED_BACK == world.now(back).status
    assert (migration.target_collection, LARGE, 4) == (
        world.bot.live.collection,
        world.bot.live.embedding,
        world.bot.live.generation,
    )
    assert world.texts_of(SOURCE) == world.texts_of(migration.target_collection)
    assert [] == world.wrongly_embedded(migration.target_collection, LARGE)


def test_a_cancelled_rollback_leaves_both_collections_and_can_be_asked_for_again() -> None:
    world = World()
    migration = world.complete()
    world.system.rollback(OWNER, migration.id)
    world.deliver(before="migrations.phase.verification")
    world.system.cancel(OWNER, "bot")
    world.settle()
    assert sorted([SOURCE, migration.target_collection]) == world.vectors.names()
    assert LARGE == world.bot.live.embedding
    world.system.rollback(OWNER, migration.id)
    world.deliver()
    assert SMALL == world.bot.live.embedding


def test_rolling_back_twice_is_refused() -> None:
    world = World()
    migration = world.complete()
    world.system.rollback(OWNER, migration.id)
    with pytest.raises(AlreadyRolledBack):
        world.system.rollback(OWNER, migration.id)
    world.deliver()
    with pytest.raises(AlreadyRolledBack):
        world.system.rollback(OWNER, migration.id)


def test_what_is_rolling_back_cannot_be_rolled_back() -> None:
    world = World()
    rolling_back(world)
    with pytest.raises(AlreadyRolledBack):
        world.system.rollback(OWNER, world.store.latest("bot").id)


def test_what_is_switching_must_complete_first() -> None:
    world = World()
    switching(world)
    with pytest.raises(SwitchInProgress):
        world.system.rollback(OWNER, world.store.latest("bot").id)


def test_what_has_switched_but_not_cleaned_up_must_complete_first() -> None:
    world = World()
    migration = world.start_at(Phase.CLEANUP)
    with pytest.raises(SwitchInProgress):
        world.system.rollback(OWNER, migration.id)


def test_what_has_failed_without_rollback_has_nothing_to_go_back_to() -> None:
    world = World()
    migration = world.start(enable_rollback=False)
    world.store.roll_back(migration.id, 1, SameModel())
    with pytest.raises(NoActiveMigration):
        world.system.rollback(OWNER, migration.id)


def test_after_the_retention_window_a_rollback_is_refused() -> None:
    world = World(settings={"retention_hours": 72})
    migration = world.complete()
    world.clock.sleep(73 * HOUR)
    with pytest.raises(RollbackUnavailable, match="retention window closed"):
        world.system.rollback(OWNER, migration.id)


def test_after_retiring_the_refusal_says_that_the_window_has_closed() -> None:
    world = World(settings={"retention_hours": 72})
    migration = world.complete()
    world.clock.sleep(73 * HOUR)
    assert retire(world.services, migration.id)
    with pytest.raises(RollbackUnavailable, match="was retired at"):
        world.system.rollback(OWNER, migration.id)


def test_after_another_switch_only_the_last_can_be_taken_back() -> None:
    world = World()
    first = world.complete()
    world.complete(model="small", dimension=4)
    with pytest.raises(RollbackUnavailable, match="switched again since"):
        world.system.rollback(OWNER, first.id)


def test_a_previous_collection_that_is_gone_is_a_blocker() -> None:
    world = World()
    migration = world.complete()
    world.vectors.drop(SOURCE)
    with pytest.raises(RollbackUnavailable, match="is gone"):
        world.system.rollback(OWNER, migration.id)


def test_a_previous_model_whose_key_is_gone_is_a_blocker_before_anything_begins() -> None:
    world = World()
    migration = world.complete()
    world.embedders.without_key("fake")
    with pytest.raises(RollbackUnavailable, match="previous model"):
        world.system.rollback(OWNER, migration.id)
    assert not world.system.status(OWNER, "bot").rollback.ready


def test_the_status_says_whether_and_until_when_a_rollback_is_possible() -> None:
    world = World(settings={"retention_hours": 72})
    assert not world.system.status(OWNER, "bot").rollback.ready
    world.complete()
    status = world.system.status(OWNER, "bot")
    assert status.rollback.ready
    assert 72 * HOUR == (status.rollback.expires_at - world.clock.now()).total_seconds()
    assert 12 == status.rollback.chunks_to_compare


def test_a_result_tells_how_it_ended() -> None:
    world = World()
    migration = world.complete()
    result = world.system.result(OWNER, migration.id)
    assert result.succeeded
    assert (12, 0, 2) == (result.total_chunks, result.failed_chunks, result.generation)
    assert result.tokens_used > 0
