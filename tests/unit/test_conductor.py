"""Phases, batches and undos under every kind of fault: waited out, turned round, or left alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from migrations.model import task_names as names
from migrations.model.chunks import ALL_KEYS
from migrations.model.config import MAX_TIMEOUT_SECONDS
from migrations.model.errors import (
    CheckpointsUnavailable,
    ProviderAuthenticationFailed,
    ProviderRateLimited,
    ProviderUnavailable,
    StateStoreUnavailable,
    Superseded,
    TimedOut,
    TransitionRefused,
    VectorStoreRefused,
    VectorStoreUnavailable,
)
from migrations.model.runs import Lease, Migration, RunnerLease
from migrations.model.states import Phase, Status
from tests.fakes.embedders import LARGE
from tests.fakes.state_store import AwayAtTheBeginning, FakeMigrationStore
from tests.fakes.world import OWNER, SOURCE, AttentivePulse, World, kill

QUIESCE, FINISH = names.QUIESCE, names.FINISH_ROLLBACK
UNDO_TARGET = names.undo_task(Phase.NEW_COLLECTION_CREATION)


# --- work that has lost its right -----------------------------------------------------


def test_a_phase_of_an_older_epoch_does_nothing() -> None:
    world = World()
    migration = world.start()
    world.store.redrive(migration.id, 1)
    before = world.now(migration)
    with pytest.raises(Superseded):
        world.conductor.run_phase(migration.id, 1, Phase.VALIDATION)
    assert before == world.now(migration)


def test_a_batch_of_an_older_epoch_neither_pays_nor_writes() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.store.redrive(migration.id, 1)
    calls = world.embedders.calls
    assert {"outcome": "superseded"} == world.conductor.run_batch(migration.id, 1, 0, ALL_KEYS)
    assert calls == world.embedders.calls
    assert {} == world.texts_of(migration.target_collection)


@pytest.mark.parametrize("action", ["advance", "catch_up", "quiesce", "finish_rollback"])
def test_any_other_work_of_an_older_epoch_is_superseded(action: str) -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.store.redrive(migration.id, 1)
    more = {"advance": (0,)}.get(action, ())
    with pytest.raises(Superseded):
        getattr(world.conductor, action)(migration.id, 1, *more)


def test_an_undo_of_an_older_epoch_drops_nothing() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.system.cancel(OWNER, "bot")
    world.store.redrive(migration.id, 2)
    with pytest.raises(Superseded):
        world.conductor.undo_phase(migration.id, 2, Phase.NEW_COLLECTION_CREATION)
    assert world.vectors.exists(migration.target_collection)


class RedrivenBetween(FakeMigrationStore):
    """A migration is driven again just after a worker heard that it may go on."""

    armed = False

    def migration(self, migration_id: UUID) -> Migration:
        if self.armed:
            self.armed = False
            self.redrive(migration_id, 1)
        return super().migration(migration_id)


def test_work_does_not_take_on_the_epoch_that_superseded_it() -> None:
    world = World(store_class=RedrivenBetween, pulse=AttentivePulse(every_seconds=60))
    world.start_at(Phase.DATA_MIGRATION)
    world.work(world.pending().pop())
    wave = world.pending()[0]
    world.store.armed = True
    assert {"outcome": "superseded"} == wave.call()


def test_a_doubled_phase_finds_its_runner_at_work() -> None:
    world = World()
    migration = world.start_at(Phase.BACKUP_CREATION)
    refused: list[Exception] = []

    def again() -> None:
        try:
            world.conductor.run_phase(migration.id, 1, Phase.BACKUP_CREATION)
        except Superseded as error:
            refused.append(error)

    with world.at("backup_creation.before_run", lambda: world.elsewhere(again)):
        world.deliver()
    assert 1 == len(refused)
    assert Status.COMPLETED == world.now(migration).status


def test_a_doubled_last_phase_that_awaits_its_turn_gets_none_before_the_run_has_ended() -> None:
    gets_its_turn: list[bool] = []

    class AskedForTheTurn(FakeMigrationStore):
        def finish(self, migration_id: UUID, epoch: int) -> None:
            lease = RunnerLease(migration_id, epoch)
            gets_its_turn.append(self.take_lease(lease, "the second delivery", 60))
            super().finish(migration_id, epoch)
            gets_its_turn.append(self.take_lease(lease, "the second delivery", 60))

    world = World(store_class=AskedForTheTurn)
    migration = world.start_at(Phase.CLEANUP)
    world.deliver()
    assert [False, False] == gets_its_turn
    assert Status.COMPLETED == world.now(migration).status


class ItsTurnComesLate(FakeMigrationStore):
    """The first who wants to be the runner has to wait, and much happens meanwhile."""

    meanwhile: Callable[[], None] | None = None

    def take_lease(self, lease: Lease, holder: str, seconds: int) -> bool:
        if self.meanwhile is not None and isinstance(lease, RunnerLease):
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
            return False
        return super().take_lease(lease, holder, seconds)


@pytest.mark.parametrize("phase", [Phase.BACKUP_CREATION, Phase.VERIFICATION])
def test_a_doubled_phase_whose_turn_comes_after_it_was_completed_does_nothing(
    phase: Phase,
) -> None:
    world = World(store_class=ItsTurnComesLate)
    migration = world.start_at(phase)
    ran: list[Phase] = []
    world.store.meanwhile = lambda: world.deliver(before="migrations.phase.cleanup")
    with (
        world.at(f"{phase}.before_run", lambda: ran.append(phase)),
        pytest.raises(Superseded),
    ):
        world.conductor.run_phase(migration.id, 1, phase)
    assert [phase] == ran
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert [] == world.failures


def test_a_doubled_chain_ends_at_its_first_task() -> None:
    world = World()
    migration = world.start()
    world.pending().append(world.pending()[0])
    world.deliver()
    assert 2 == world.ran.count(names.phase_task(Phase.VALIDATION))
    assert 1 == world.ran.count(names.phase_task(Phase.BACKUP_CREATION))
    assert Status.COMPLETED == world.now(migration).status


# --- passing faults ---------------------------------------------------------------------


def test_a_provider_outage_is_waited_out_and_shown_meanwhile() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION, retry_delay=2.0)
    world.embedders.fail(ProviderUnavailable("The stub is away."), times=4)
    shown: list[str | None] = []
    world.embedders.on_embed = lambda texts: shown.append(world.now(migration).waiting_for)
    begun = world.clock.monotonic()
    world.deliver()
    away = "The stub is away."
    assert [None, None, None, away, away, away, None] == shown[:7], "three were probes"
    assert 0.75 * (2 + 4 + 8) <= world.clock.monotonic() - begun <= 14
    assert Status.COMPLETED == world.now(migration).status


def test_a_rate_limit_is_waited_out_by_everybody_as_long_as_it_says() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.embedders.fail(ProviderRateLimited(retry_after_seconds=40.0))
    begun = world.clock.monotonic()
    world.deliver()
    assert 40 <= world.clock.monotonic() - begun < 60
    assert Status.COMPLETED == world.now(migration).status


def test_a_rate_limit_met_by_one_batch_holds_back_every_other() -> None:
    world = World()
    world.start_at(Phase.DATA_MIGRATION)
    world.embedders.fail(ProviderRateLimited(retry_after_seconds=40.0))
    held_back: list[float] = []
    sleep = world.clock.sleep

    def look_and_sleep(seconds: float) -> None:
        held_back.append(world.limiter.wait_seconds("fake"))
        sleep(seconds)

    world.clock.sleep = look_and_sleep  # type: ignore[method-assign]
    world.deliver()
    assert 40 == pytest.approx(max(held_back), rel=0.1)


@pytest.mark.parametrize("method", ["read", "upsert", "scan", "scan_keys", "create_like", "count"])
def test_an_outage_of_milvus_is_waited_out(method: str) -> None:
    world = World()
    migration = world.start_at(Phase.NEW_COLLECTION_CREATION)
    world.vectors.fail(method, VectorStoreUnavailable(), times=6)
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status


def test_an_outage_of_redis_is_waited_out() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION, retry_delay=1.0)
    world.checkpoints.reachable = False
    later = world.clock.monotonic() + 100
    sleep = world.clock.sleep

    def sleep_until_it_is_back(seconds: float) -> None:
        sleep(seconds)
        world.checkpoints.reachable = world.clock.monotonic() > later

    world.clock.sleep = sleep_until_it_is_back  # type: ignore[method-assign]
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status


class AwayOnce(FakeMigrationStore):
    """One reading of a migration fails when it is asked to."""

    away = False

    def migration(self, migration_id: UUID) -> Migration:
        if self.away:
            self.away = False
            raise StateStoreUnavailable
        return super().migration(migration_id)


def test_a_hiccup_of_postgresql_before_a_phase_does_not_roll_back() -> None:
    world = World(store_class=AwayOnce)
    migration = world.start_at(Phase.BACKUP_CREATION)
    world.store.away = True
    world.settle()
    assert Status.COMPLETED == world.now(migration).status


def test_no_outage_of_postgresql_is_so_long_that_a_phase_runs_without_having_begun() -> None:
    world = World(
        store_class=AwayAtTheBeginning, settings={"max_timeout_seconds": MAX_TIMEOUT_SECONDS}
    )
    migration = world.start_at(Phase.BACKUP_CREATION, timeout_seconds=MAX_TIMEOUT_SECONDS)
    world.store.refused_beginnings = 1_500
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert Phase.BACKUP_CREATION.value in world.now(migration).phase_times


def test_a_hiccup_of_postgresql_before_a_batch_does_not_roll_back() -> None:
    world = World(store_class=AwayOnce)
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.work(world.pending().pop())
    world.store.away = True
    assert "postponed" == world.pending().pop(0).call()["outcome"]
    world.settle()
    assert Status.COMPLETED == world.now(migration).status


# --- checkpoints lost -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "point",
    ["data_migration.planned", "wave.before_dispatch", "batch.before_mark", "batch.after_upsert"],
)
def test_lost_checkpoints_are_planned_again_and_nothing_held_is_paid_for_again(point: str) -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION, verify_migration=False)
    with world.at(point, world.checkpoints.lose_everything):
        world.deliver()  # at once, without waiting for the watchdog
    assert Status.COMPLETED == world.now(migration).status
    assert world.texts_of(SOURCE) == world.texts_of(migration.target_collection)
    paid = {text: n for (model, text), n in world.embedders.embedded.items() if model == "large"}
    assert {1} == set(paid.values())


def test_a_wave_that_ends_after_redis_forgot_it_drives_the_run_again() -> None:
    world = World()
    migration = world.start()
    world.deliver(before=names.ADVANCE)
    world.checkpoints.lose_everything()
    world.work(world.pending().pop(0))
    assert 2 == world.now(migration).epoch
    world.settle()
    assert Status.COMPLETED == world.now(migration).status


# --- lasting faults -----------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [p for p in Phase if p is not Phase.CLEANUP])
def test_an_unexpected_exception_in_a_phase_turns_it_round_with_its_words(phase: Phase) -> None:
    world = World()
    migration = world.start_at(phase)

    def slip() -> None:
        raise ZeroDivisionError("a slip")

    with world.at(f"{phase}.before_run", slip):
        world.settle()
    now = world.now(migration)
    assert Status.ROLLED_BACK == now.status
    assert "Unexpected ZeroDivisionError: a slip" == (now.error or {})["message"]
    assert [SOURCE] == world.vectors.names()


def test_an_unexpected_exception_in_a_batch_turns_the_migration_round() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)

    def slip() -> None:
        raise ZeroDivisionError("a slip")

    with world.at("batch.before_read", slip):
        world.deliver()
    assert Status.ROLLED_BACK == world.now(migration).status
    assert [SOURCE] == world.vectors.names()


def test_a_refused_key_ends_the_run_at_once_and_pays_for_nothing_more() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.embedders.fail(ProviderAuthenticationFailed(), times=None)
    calls = world.embedders.calls
    world.deliver()
    assert "provider-authentication" == (world.now(migration).error or {})["code"]
    assert calls + 2 == world.embedders.calls, "the batch, and a text of our own"


def test_what_a_failed_run_made_is_kept_when_rollback_was_not_wanted() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION, enable_rollback=False)
    world.embedders.fail(ProviderAuthenticationFailed(), times=None)
    world.settle()
    assert Status.FAILED == world.now(migration).status
    assert world.vectors.exists(migration.target_collection)
    assert SOURCE == world.bot.live.collection


def test_a_run_that_takes_too_long_rolls_back() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION, timeout_seconds=60, retry_delay=5.0)
    world.embedders.fail(ProviderUnavailable(), times=None)
    world.deliver()
    assert Status.ROLLED_BACK == world.now(migration).status
    assert "timed-out" == (world.now(migration).error or {})["code"]
    took = world.now(migration).finished_at - migration.created_at  # type: ignore[operator]
    assert took < timedelta(seconds=75)


# --- compensation ---------------------------------------------------------------------------------


def test_undos_run_newest_first_after_all_batches_have_ended() -> None:
    world = World()
    migration = world.start()
    world.deliver(before=names.ADVANCE)
    world.system.cancel(OWNER, "bot")
    world.queue.clear()
    world.ran.clear()
    world.deliver()
    undone = [Phase.DATA_MIGRATION, Phase.NEW_COLLECTION_CREATION, Phase.BACKUP_CREATION]
    undos = [names.undo_task(phase) for phase in [*undone, Phase.VALIDATION]]
    assert [QUIESCE, *undos, FINISH] == world.ran
    assert Status.ROLLED_BACK == world.now(migration).status


def test_compensation_waits_for_a_batch_in_flight() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.work(world.pending().pop())
    with world.checkpoints.lease(migration.id, 1, 0, seconds=10):
        world.system.cancel(OWNER, "bot")
        begun = world.clock.monotonic()
        world.conductor.quiesce(migration.id, 2)
    assert 10 == pytest.approx(world.clock.monotonic() - begun, abs=0.5)


def test_a_batch_that_has_not_heard_of_the_turn_begins_nothing_once_undoing_has() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.work(world.pending().pop())
    world.system.cancel(OWNER, "bot")
    world.conductor.quiesce(migration.id, 2)
    with world.checkpoints.lease(migration.id, 1, 0, seconds=10) as held:
        assert not held


def test_compensation_does_not_wait_for_ever_for_a_batch_of_a_dead_worker() -> None:
    world = World(settings={"quiesce_seconds": 30})
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.work(world.pending().pop())
    with world.checkpoints.lease(migration.id, 1, 0, seconds=1000):
        world.system.cancel(OWNER, "bot")
        begun = world.clock.monotonic()
        world.conductor.quiesce(migration.id, 2)
    assert 30 == pytest.approx(world.clock.monotonic() - begun, abs=0.5)


def test_without_redis_compensation_waits_until_every_worker_has_heard() -> None:
    world = World(settings={"heartbeat_seconds": 3})
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.conductor.run_phase(migration.id, 1, Phase.DATA_MIGRATION)
    world.system.cancel(OWNER, "bot")
    world.checkpoints.reachable = False
    begun = world.clock.monotonic()
    world.conductor.quiesce(migration.id, 2)
    assert 6 == pytest.approx(world.clock.monotonic() - begun, abs=0.5)


def test_compensation_before_data_migration_waits_for_no_batch() -> None:
    world = World(settings={"heartbeat_seconds": 3})
    migration = world.start_at(Phase.DATA_MIGRATION)
    world.system.cancel(OWNER, "bot")
    begun = world.clock.monotonic()
    world.conductor.quiesce(migration.id, 2)
    assert begun == world.clock.monotonic()


def test_a_failing_undo_does_not_stop_the_others_and_needs_an_operator() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    world.vectors.fail("drop", VectorStoreRefused("not now"), times=100)
    world.system.cancel(OWNER, "bot")
    world.deliver()
    now = world.now(migration)
    assert Status.NEEDS_OPERATOR == now.status
    assert [Phase.NEW_COLLECTION_CREATION] == list(now.undo_errors)
    assert names.undo_task(Phase.VALIDATION) in world.ran
    assert "not now" in (now.error or {})["diagnosis"]
    assert "cancelled" == (now.error or {})["code"]
    assert f"celery -A worker reembed repair {migration.id}" == (now.error or {})["repair"]


def test_repairing_runs_the_failed_undo_again() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION)
    world.vectors.fail("drop", VectorStoreRefused("not now"), times=100)
    world.system.cancel(OWNER, "bot")
    world.deliver()
    world.vectors.recover()
    world.ran.clear()
    world.system.repair(migration.id)
    world.deliver()
    assert Status.ROLLED_BACK == world.now(migration).status
    assert [QUIESCE, UNDO_TARGET, FINISH] == world.ran
    assert [SOURCE] == world.vectors.names()


def test_what_has_been_rolled_back_cannot_be_repaired() -> None:
    world = World()
    migration = world.start()
    world.system.cancel(OWNER, "bot")
    world.deliver()
    with pytest.raises(TransitionRefused):
        world.system.repair(migration.id)


def test_an_undo_that_fails_less_often_than_it_is_tried_succeeds() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION, max_retries=2)
    world.vectors.fail("drop", VectorStoreRefused("not now"), times=2)
    world.system.cancel(OWNER, "bot")
    world.deliver()
    assert Status.ROLLED_BACK == world.now(migration).status


def test_an_outage_is_waited_out_by_an_undo_too() -> None:
    world = World()
    migration = world.start_at(Phase.VERIFICATION, max_retries=1)
    world.vectors.fail("drop", VectorStoreUnavailable(), times=20)
    world.system.cancel(OWNER, "bot")
    world.deliver()
    assert Status.ROLLED_BACK == world.now(migration).status
    assert [SOURCE] == world.vectors.names()


def test_a_target_that_is_made_while_its_run_is_undone_does_not_stay_behind() -> None:
    world = World()
    migration = world.start_at(Phase.NEW_COLLECTION_CREATION)

    def cancelled_and_undone() -> None:
        world.system.cancel(OWNER, "bot")
        world.elsewhere(world.deliver)

    world.vectors.before("create_like", cancelled_and_undone)
    world.deliver()
    assert Status.ROLLED_BACK == world.now(migration).status
    assert [SOURCE] == world.vectors.names()


def test_a_target_that_is_made_late_stays_when_a_new_worker_drives_the_run() -> None:
    world = World()
    migration = world.start_at(Phase.NEW_COLLECTION_CREATION)
    world.vectors.before("create_like", lambda: world.elsewhere(world.look_later))
    world.work(world.pending().pop())
    assert 2 == world.now(migration).epoch
    assert world.vectors.exists(migration.target_collection)
    world.settle()
    assert Status.COMPLETED == world.now(migration).status


@pytest.mark.parametrize("point", [f"{p}.before_undo" for p in list(Phase)[:5]])
def test_a_compensation_whose_worker_dies_is_finished_by_another(point: str) -> None:
    world = World()
    migration = world.start_at(Phase.FINALIZATION)
    world.system.cancel(OWNER, "bot")
    with world.at(point, kill):
        world.settle()
    assert Status.ROLLED_BACK == world.now(migration).status
    assert [SOURCE] == world.vectors.names()
    assert 1 == world.told(migration).count("rolled_back")


def test_a_broker_that_is_away_costs_time_and_nothing_else() -> None:
    world = World()
    world.dispatcher.fails_with = CheckpointsUnavailable()
    migration = world.start()
    assert [] == world.pending()
    world.dispatcher.fails_with = None
    world.settle()
    assert Status.COMPLETED == world.now(migration).status


def test_a_late_timeout_does_not_touch_a_run_that_has_switched() -> None:
    world = World()
    migration = world.complete(timeout_seconds=60)
    world.clock.sleep(61)
    assert not world.store.roll_back(migration.id, migration.epoch, TimedOut())
    assert LARGE == world.bot.live.embedding
