"""What nobody else can notice: silence, deadlines, forgotten messages, strayed aliases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from migrations import watchdog
from migrations.model.errors import (
    CheckpointsUnavailable,
    StateStoreUnavailable,
    VectorStoreUnavailable,
)
from migrations.model.requests import BotRegistration
from migrations.model.runs import Round
from migrations.model.states import Phase, Status
from migrations.model.texts import FieldRecipe
from migrations.process.outbox import FORGOTTEN_AFTER_SECONDS, resend, send_of
from migrations.target.alias import reconcile
from tests.contract.state_store_world import World as StateWorld
from tests.fakes.embedders import SMALL
from tests.fakes.state_store import FakeMigrationStore
from tests.fakes.world import ALIAS, OWNER, SOURCE, World

# --- silence and deadlines ---------------------------------------------------------


def test_a_silent_migration_is_driven_again_at_the_next_epoch() -> None:
    world = World(settings={"stalled_after_seconds": 12})
    migration = world.start_at(Phase.BACKUP_CREATION)
    world.queue.clear()
    world.clock.sleep(11)
    world.watchdog.look()
    assert 1 == world.now(migration).epoch
    world.clock.sleep(2)
    world.watchdog.look()
    assert 2 == world.now(migration).epoch
    world.settle()
    assert Status.COMPLETED == world.now(migration).status


def test_what_is_driven_again_is_sent_at_once_however_short_the_patience() -> None:
    world = World(settings={"stalled_after_seconds": 1})
    migration = world.start_at(Phase.BACKUP_CREATION)
    world.queue.clear()
    world.dispatcher.sent.clear()
    world.clock.sleep(2)
    world.watchdog.look()
    assert [(2, "run")] == [(sent["epoch"], sent["kind"]) for sent in world.dispatcher.sent]
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status


def test_what_has_run_out_of_time_is_turned_round_at_once() -> None:
    world = World()
    world.start_at(Phase.BACKUP_CREATION, timeout_seconds=60)
    world.queue.clear()
    world.dispatcher.sent.clear()
    world.clock.sleep(61)
    world.watchdog.look()
    assert "compensate" in [sent["kind"] for sent in world.dispatcher.sent]


class NotWatchedForAMoment(FakeMigrationStore):
    """PostgreSQL is away when the watchdog looks."""

    away = False

    def claim_round(self, what: Round, pause_seconds: float) -> bool:
        if self.away:
            raise StateStoreUnavailable
        return super().claim_round(what, pause_seconds)


def test_who_could_not_speak_because_postgresql_was_away_may_speak_first() -> None:
    settings = {"stalled_after_seconds": 12, "heartbeat_seconds": 3}
    world = World(settings=settings, store_class=NotWatchedForAMoment)
    migration = world.start_at(Phase.BACKUP_CREATION)
    world.store.away = True
    world.clock.sleep(20)
    world.watchdog.look()
    world.store.away = False
    world.watchdog.look()
    assert 1 == world.now(migration).epoch
    world.clock.sleep(6)
    world.watchdog.look()
    assert 2 == world.now(migration).epoch


def test_a_migration_that_speaks_is_left_alone() -> None:
    world = World(settings={"stalled_after_seconds": 12})
    migration = world.start_at(Phase.BACKUP_CREATION)
    for _ in range(10):
        world.clock.sleep(10)
        world.store.heartbeat(migration.id, 1)
        world.watchdog.look()
    assert 1 == world.now(migration).epoch


@pytest.mark.parametrize(("line", "epoch"), [(0, 2), (3, 1)])
def test_who_cannot_be_waiting_in_line_is_not_given_more_time(line: int, epoch: int) -> None:
    world = World(settings={"stalled_after_seconds": 12})
    silent = world.start_at(Phase.DATA_MIGRATION)
    world.work(world.pending().pop())
    state = StateWorld(world.store, world.clock.sleep, raise_generation=lambda _: None)
    busy = state.drive(state.start(state.bot("another")), Phase.DATA_MIGRATION)
    world.clock.sleep(13)
    world.store.heartbeat(busy.id, 1)
    world.dispatcher.line = line
    world.watchdog.look()
    assert epoch == world.now(silent).epoch


def test_a_completed_migration_is_never_driven_again() -> None:
    world = World()
    migration = world.complete()
    world.look_later()
    assert migration == world.now(migration)


@pytest.mark.parametrize("phase", list(Phase))
def test_a_lost_chain_is_made_up_for_from_any_phase(phase: Phase) -> None:
    world = World()
    migration = world.start_at(phase)
    world.queue.clear()
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert 1 == world.told(migration).count("switched")


def test_a_passed_deadline_rolls_back_even_if_every_task_is_stuck() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION, timeout_seconds=60)
    world.queue.clear()
    world.clock.sleep(61)
    world.watchdog.look()
    assert "timed-out" == (world.now(migration).error or {})["code"]
    world.settle()
    assert Status.ROLLED_BACK == world.now(migration).status


def test_a_deadline_that_passes_after_the_switch_is_no_reason_to_act() -> None:
    world = World()
    migration = world.start_at(Phase.CLEANUP, timeout_seconds=60)
    world.clock.sleep(61)
    world.watchdog.look()
    world.settle()
    assert Status.COMPLETED == world.now(migration).status


def test_only_one_of_two_watchdogs_acts_at_a_time() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION, timeout_seconds=60)
    world.clock.sleep(61)
    assert world.store.claim_round(Round.JUDGING, 1)  # by another
    world.watchdog.look()
    assert Status.RUNNING == world.now(migration).status
    world.clock.sleep(1)
    world.watchdog.look()
    assert Status.ROLLING_BACK == world.now(migration).status


def test_a_duty_that_fails_does_not_keep_the_others_from_theirs() -> None:
    world = World()
    world.dispatcher.fails_with = CheckpointsUnavailable()
    world.start()
    world.vectors.point_alias(ALIAS, stray(world))
    world.clock.sleep(FORGOTTEN_AFTER_SECONDS)
    world.watchdog.look()
    assert SOURCE == world.vectors.resolve_alias(ALIAS)


def test_a_database_that_is_away_does_not_end_the_watchdog() -> None:
    world = World()
    world.store.reachable = False
    world.watchdog.look()


# --- the outbox ---------------------------------------------------------------------


def test_a_message_that_was_not_sent_is_swept_after_a_while() -> None:
    world = World()
    world.dispatcher.fails_with = CheckpointsUnavailable()
    world.start()
    world.dispatcher.fails_with = None
    assert 0 == resend(world.services)
    world.clock.sleep(FORGOTTEN_AFTER_SECONDS)
    assert 1 == resend(world.services)
    assert ["run"] == [message["kind"] for message in world.dispatcher.sent]
    assert 0 == resend(world.services)


def test_a_message_that_was_sent_is_not_sent_again() -> None:
    world = World()
    migration = world.start()
    send_of(world.services, migration.id)
    assert 1 == len(world.dispatcher.sent)


def test_a_message_that_cannot_be_sent_at_all_does_not_keep_back_those_after_it() -> None:
    world = World()
    world.dispatcher.fails_with = CheckpointsUnavailable()
    poison = world.start()
    state = StateWorld(world.store, world.clock.sleep, raise_generation=lambda _: None)
    state.start(state.bot("another"))
    world.dispatcher.fails_with = None
    send = world.dispatcher.send

    def choke(message: Mapping[str, Any]) -> None:
        if message["migration_id"] == str(poison.id):
            raise KeyError(message["kind"])
        send(message)

    world.dispatcher.send = choke  # type: ignore[method-assign]
    world.clock.sleep(FORGOTTEN_AFTER_SECONDS)
    assert 1 == resend(world.services)


def test_a_message_of_an_older_epoch_is_never_sent() -> None:
    world = World()
    world.dispatcher.fails_with = CheckpointsUnavailable()
    migration = world.start()
    world.store.redrive(migration.id, 1)
    world.dispatcher.fails_with = None
    world.clock.sleep(FORGOTTEN_AFTER_SECONDS)
    resend(world.services)
    assert [2] == [message["epoch"] for message in world.dispatcher.sent]


# --- aliases ---------------------------------------------------------------------------


def stray(world: World) -> str:
    world.vectors.seed("elsewhere", [], SMALL.dimension)
    return "elsewhere"


def test_an_alias_that_agrees_is_not_touched() -> None:
    world = World()
    assert not reconcile(world.services, "bot")
    assert 0 == world.vectors.calls["point_alias"]


def test_a_strayed_alias_is_put_right() -> None:
    world = World()
    world.vectors.point_alias(ALIAS, stray(world))
    assert reconcile(world.services, "bot")
    assert SOURCE == world.vectors.resolve_alias(ALIAS)


def test_a_dropped_alias_is_made_again() -> None:
    world = World()
    world.vectors.drop_alias(ALIAS)
    world.watchdog.look()
    assert SOURCE == world.vectors.resolve_alias(ALIAS)


def test_a_late_change_of_the_alias_by_a_zombie_is_put_right() -> None:
    world = World()
    migration = world.complete()
    world.vectors.point_alias(ALIAS, SOURCE)
    world.watchdog.look()
    assert migration.target_collection == world.vectors.resolve_alias(ALIAS)


def test_a_switch_that_passes_between_reading_and_setting_wins() -> None:
    world = World()
    bot, elsewhere = world.bot, stray(world)
    world.vectors.drop_alias(ALIAS)

    def switched_meanwhile() -> None:
        moved = replace(bot.live, collection=elsewhere, generation=2)
        world.store._bots["bot"] = replace(bot, live=moved)

    world.vectors.before("point_alias", switched_meanwhile)
    reconcile(world.services, "bot")
    assert elsewhere == world.vectors.resolve_alias(ALIAS)


def test_an_alias_that_does_not_follow_is_an_outage_to_wait_for() -> None:
    world = World()
    world.vectors.drop_alias(ALIAS)
    world.vectors.point_alias = lambda *_: None  # type: ignore[method-assign]  # lost each time
    with pytest.raises(VectorStoreUnavailable):
        reconcile(world.services, "bot")


def test_one_bots_alias_that_cannot_be_set_does_not_keep_the_others_from_theirs() -> None:
    world = World()
    world.vectors.seed("zoo", [{"pk": "a", "text": "ape"}], SMALL.dimension, "zoo_live")
    world.system.register_bot(
        OWNER, BotRegistration("zoo", "zoo_live", "fake", "small", recipe=FieldRecipe(field="text"))
    )
    world.vectors.drop(SOURCE)
    world.vectors.drop_alias(ALIAS)
    world.vectors.drop_alias("zoo_live")
    world.watchdog.look()
    assert "zoo" == world.vectors.resolve_alias("zoo_live")


def test_the_bots_take_turns_when_there_are_more_than_a_slice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchdog, "SLICE", 1)
    world = World()
    world.vectors.seed("zoo", [{"pk": "a", "text": "ape"}], SMALL.dimension, "zoo_live")
    world.system.register_bot(
        OWNER, BotRegistration("zoo", "zoo_live", "fake", "small", recipe=FieldRecipe(field="text"))
    )
    world.vectors.drop_alias(ALIAS)
    world.vectors.drop_alias("zoo_live")
    mended = []
    for _ in range(2):
        world.clock.sleep(2)
        world.watchdog.look()
        mended.append((world.vectors.resolve_alias(ALIAS), world.vectors.resolve_alias("zoo_live")))
    assert [(SOURCE, None), (SOURCE, "zoo")] == mended
