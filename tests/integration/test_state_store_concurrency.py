"""Two writers at once on the real PostgreSQL: exactly one effect, and one line of history."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text

from migrations.lifecycle.change import Change
from migrations.model import messages
from migrations.model.errors import (
    BotNotFound,
    CollectionInUse,
    MigrationInProgress,
    NoLongerKept,
    PermanentError,
    ReembedError,
    RollbackUnavailable,
    Superseded,
    SwitchInProgress,
    TooManyMigrations,
    TransitionRefused,
)
from migrations.model.left_behind import End
from migrations.model.requests import BotChange
from migrations.model.runs import (
    Due,
    Lease,
    Migration,
    NewMigration,
    Round,
    RunnerLease,
    Step,
    SweeperLease,
)
from migrations.model.states import DRIVEN, Phase, Status
from migrations.store import SqlMigrationStore
from migrations.store.engine import Database
from migrations.store.guarded import apply, lock_run
from tests.contract.state_store_world import (
    LIMIT,
    ONCE,
    RETENTION_HOURS,
    SWEEPS,
    Memory,
    World,
    a_start,
    emptied,
    on_postgres,
)

#: A race has to be run more than once to be a race; each round has a bot of its own.
ROUNDS = 4
Action = Callable[[], Any]


@pytest.fixture(scope="module")
def store(module_database_url: str) -> Iterator[SqlMigrationStore]:
    store = SqlMigrationStore(module_database_url)
    yield store
    store.close()


@pytest.fixture(scope="module")
def memory(store: SqlMigrationStore, module_database_url: str) -> Iterator[Memory]:
    engine = create_engine(module_database_url)
    yield Memory(store, engine)
    engine.dispose()


@pytest.fixture
def state(memory: Memory) -> World:
    emptied(memory.engine)
    return on_postgres(memory)


def at_once(*actions: Action) -> list[Any]:
    """Answers (or errors) of actions that begin at the same moment, in their order."""
    line = threading.Barrier(len(actions))

    def run(action: Action) -> Any:
        line.wait()
        try:
            return action()
        except ReembedError as error:
            return error

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


def kinds(answers: list[Any]) -> list[str]:
    return sorted(type(answer).__name__ for answer in answers)


def test_of_two_starts_of_a_bot_one_is_refused(state: World) -> None:
    for _ in range(ROUNDS):
        bot = state.bot(f"bot-{uuid4()}")
        news = [a_start(bot), a_start(bot)]
        answers = at_once(*(lambda new=new: state.store.create(new, 1000) for new in news))
        assert ["MigrationInProgress", "tuple"] == kinds(answers)
        live = state.store.live(bot.bot_id)
        assert live is not None
        assert ["started"] == state.told(live)
        (refusal,) = (answer for answer in answers if isinstance(answer, MigrationInProgress))
        assert str(live.id) == refusal.details["migration_id"]


def test_of_two_equal_requests_under_one_key_both_get_the_one_migration(state: World) -> None:
    for _ in range(ROUNDS):
        bot = state.bot(f"bot-{uuid4()}")
        news = [a_start(bot, idempotency_key="k", request_digest="d") for _ in range(2)]
        answers = at_once(*(lambda new=new: state.store.create(new, 1000) for new in news))
        assert [False, True] == sorted(created for _, created in answers)
        assert 1 == len({migration.id for migration, _ in answers})


def test_starts_of_one_owners_bots_together_do_not_pass_the_owners_limit(state: World) -> None:
    bots = [state.bot(f"bot-{uuid4()}") for _ in range(5)]
    answers = at_once(
        *(lambda bot=bot: state.store.create(a_start(bot), 1000, of_one_owner=2) for bot in bots)
    )
    assert 3 == sum(isinstance(answer, TooManyMigrations) for answer in answers)


def test_starts_of_many_bots_together_do_not_pass_the_limit(state: World) -> None:
    for _ in range(3):
        bots = [state.bot(f"bot-{uuid4()}") for _ in range(LIMIT + 3)]
        answers = at_once(
            *(lambda bot=bot: state.store.create(a_start(bot), LIMIT) for bot in bots)
        )
        assert 3 == sum(isinstance(answer, TooManyMigrations) for answer in answers)
        driven = [m for m in state.store.active() if m.status in DRIVEN]
        assert LIMIT == len(driven)
        for migration in driven:
            state.store.request_cancel(migration.id, "somebody")
            state.store.finish_rollback(migration.id, 2)


def test_two_workers_switch_once(state: World) -> None:
    for _ in range(ROUNDS):
        migration = ready(state, Status.SWITCHING)
        first, second = twice(lambda m=migration: state.store.switch(m.id, 1, RETENTION_HOURS))
        assert first == second == state.store.bot(migration.bot_id)
        assert 2 == first.live.generation
        assert 1 == state.told(migration).count("switched")


def test_the_switch_is_a_single_transaction_with_no_reading_before_it(state: World) -> None:
    """Whoever reads by the alias waits from its intent on for every further round trip."""
    migration = ready(state, Status.SWITCHING)
    begun: list[Connection] = []

    def note(connection: Connection) -> None:
        begun.append(connection)

    event.listen(Engine, "begin", note)
    try:
        state.store.switch(migration.id, 1, RETENTION_HOURS)
    finally:
        event.remove(Engine, "begin", note)
    assert 1 == len(begun)


def test_either_the_intent_to_switch_or_the_cancel_comes_first(state: World) -> None:
    for _ in range(ROUNDS):
        migration = ready(state, Status.RUNNING)
        begun, cancelled = at_once(
            lambda m=migration: state.store.begin_switch(m.id, 1),
            lambda m=migration: state.store.request_cancel(m.id, "somebody"),
        )
        if state.now(migration).status is Status.SWITCHING:
            assert (None, SwitchInProgress) == (begun, type(cancelled))
        else:
            assert (Superseded, Status.ROLLING_BACK) == (type(begun), cancelled.status)
        assert 1 == len({"switch_begun", "cancel_requested"} & set(state.told(migration)))


def test_either_the_switch_or_the_turning_round_happens(state: World) -> None:
    for _ in range(ROUNDS):
        migration = ready(state, Status.SWITCHING)
        switched, turned = at_once(
            lambda m=migration: state.store.switch(m.id, 1, RETENTION_HOURS),
            lambda m=migration: state.store.roll_back(m.id, 1, PermanentError()),
        )
        bot = state.store.bot(migration.bot_id)
        if turned:
            assert (Superseded, 1) == (type(switched), bot.live.generation)
            assert Status.ROLLING_BACK is state.now(migration).status
        else:
            assert (bot, 2) == (switched, bot.live.generation)
            assert Status.SWITCHED is state.now(migration).status


def test_two_cancels_turn_round_once(state: World) -> None:
    for _ in range(ROUNDS):
        migration = ready(state, Status.RUNNING)
        first, second = twice(lambda m=migration: state.store.request_cancel(m.id, "somebody"))
        assert first == second == state.now(migration)
        assert 2 == first.epoch
        assert 1 == state.told(migration).count("cancel_requested")
        assert 1 == len(state.messages(migration))


def test_two_watchdogs_redrive_once(state: World) -> None:
    for _ in range(ROUNDS):
        migration = ready(state, Status.RUNNING)
        assert [False, True] == sorted(twice(lambda m=migration: state.store.redrive(m.id, 1)))
        assert 2 == state.now(migration).epoch
        assert 1 == state.told(migration).count("redriven")


def test_a_redrive_goes_on_behind_a_phase_that_was_completed_just_before(state: World) -> None:
    for _ in range(ROUNDS):
        migration = state.drive(state.start(state.bot(f"bot-{uuid4()}")), Phase.VERIFICATION)
        completed, redriven = at_once(
            lambda m=migration: state.store.complete_phase(m.id, 1, Phase.VERIFICATION),
            lambda m=migration: state.store.redrive(m.id, 1),
        )
        assert redriven
        done = Phase.VERIFICATION in state.now(migration).completed_phases
        assert (completed is None) is done
        start = Phase.FINALIZATION if done else Phase.VERIFICATION
        assert [messages.run(migration.id, 2, start)] == state.messages(migration)
        end(state, migration)


def test_two_workers_finish_once(state: World) -> None:
    for _ in range(ROUNDS):
        migration = ready(state, Status.SWITCHED)
        assert [None, None] == twice(lambda m=migration: state.store.finish(m.id, 1))
        assert 1 == state.told(migration).count("completed")


def test_two_ends_of_a_rollback_are_answered_alike(state: World) -> None:
    for _ in range(ROUNDS):
        migration = ready(state, Status.ROLLING_BACK)
        answers = twice(lambda m=migration: state.store.finish_rollback(m.id, 2))
        assert [Status.ROLLED_BACK] * 2 == answers
        assert 1 == state.told(migration).count("rolled_back")


def test_the_last_two_batches_start_catching_up_once(state: World) -> None:
    for _ in range(ROUNDS):
        migration = state.drive(state.start(state.bot(f"bot-{uuid4()}")), Phase.DATA_MIGRATION)
        follow_up = messages.catch_up(migration.id, 1)
        answers = twice(
            lambda m=migration, f=follow_up: state.store.take_step(m.id, 1, Step.CATCHING_UP, f)
        )
        assert [False, True] == sorted(answers)
        assert 1 == state.messages(migration).count(follow_up)
        end(state, migration)


@pytest.mark.parametrize("lease_of", [lambda m: RunnerLease(m.id, 1), lambda m: SweeperLease(m.id)])
def test_one_of_two_workers_gets_a_lease(
    state: World, lease_of: Callable[[Migration], Lease]
) -> None:
    for _ in range(ROUNDS):
        lease = lease_of(ready(state, Status.SWITCHED))  # it may be run and swept
        answers = at_once(
            *(
                lambda lease=lease, name=name: state.store.take_lease(lease, name, 60)
                for name in ("me", "you")
            )
        )
        assert [False, True] == sorted(answers)


def test_a_chunk_that_fails_in_two_batches_at_once_is_one_with_two_attempts(state: World) -> None:
    migration = ready(state, Status.RUNNING)
    at_once(
        *[lambda: state.store.record_failed_chunk(migration.id, "key", "text-refused", "no")] * 4
    )
    assert [4] == [chunk.attempts for chunk in state.store.failed_chunks(migration.id)]


def test_a_round_is_one_of_two_watchdogs_that_claim_it_at_once(
    state: World, module_database_url: str
) -> None:
    other = SqlMigrationStore(module_database_url)
    for _ in range(ROUNDS):
        claimed = at_once(
            *(lambda s=s: s.claim_round(Round.JUDGING, 60) for s in (state.store, other))
        )
        assert [False, True] == sorted(claimed)
        state.pass_time(61)
    other.close()


def test_two_watchdogs_that_claim_bots_at_once_get_different_ones(
    state: World, module_database_url: str
) -> None:
    other = SqlMigrationStore(module_database_url)
    known = {state.bot(bot_id).bot_id for bot_id in "abcd"}
    for _ in range(ROUNDS):
        slices = at_once(*(lambda s=s: s.claim_bots(2, 0) for s in (state.store, other)))
        assert known == {bot.bot_id for bots in slices for bot in bots}
        assert [] == state.store.claim_bots(2, 0)  # the last slice was a full one
    other.close()


def test_either_the_way_back_is_retired_or_it_is_taken(state: World) -> None:
    for _ in range(ROUNDS):
        forward = state.complete(ready(state, Status.SWITCHING))
        state.pass_time(RETENTION_HOURS * 3600)
        retired, back = at_once(
            lambda m=forward: state.store.retire(m.id, 1, "ab", 24),
            lambda m=forward: state.start_back(m),
        )
        kept = state.store.bot(forward.bot_id).previous is not None
        if retired:
            assert (False, RollbackUnavailable) == (kept, type(back))
        else:
            assert (True, Status.PENDING) == (kept, back.status)
        assert retired is (state.store.kept(forward.source_collection) is not None)


def test_a_start_that_takes_over_waits_for_the_drop_and_is_then_refused(state: World) -> None:
    undone = held_target(state)
    state.pass_time(25 * 3600)
    new = taking_over(state, undone)
    with ThreadPoolExecutor(1) as pool:
        with state.store.lock_kept(undone.target_collection) as may_drop:
            assert may_drop
            started = pool.submit(state.store.create, new, 1000)
            assert still_waiting(started)
        with pytest.raises(NoLongerKept):
            started.result()
    assert state.store.live(undone.bot_id) is None


def test_either_the_held_target_is_dropped_or_it_is_taken_over(state: World) -> None:
    for _ in range(ROUNDS):
        undone = held_target(state)
        state.pass_time(25 * 3600)
        name = undone.target_collection

        def drop(name: str = name) -> bool:
            with state.store.lock_kept(name) as may_drop:
                return may_drop

        new = taking_over(state, undone)
        dropped, started = at_once(drop, lambda n=new: state.store.create(n, 1000))
        assert dropped is isinstance(started, NoLongerKept)
        assert state.store.kept(name) is None


def test_of_two_watchdogs_one_enqueues_what_is_due(state: World) -> None:
    for _ in range(ROUNDS):
        forward = state.complete(ready(state, Status.SWITCHING))
        state.pass_time(RETENTION_HOURS * 3600)
        for _ in range(2):  # what was never claimed, and what was
            answers = twice(lambda: state.store.claim_due(Due.SWEEP, SWEEPS))
            assert 1 == sum(forward.id in answer for answer in answers)
            answers = twice(lambda: state.store.claim_due(Due.RETIRE, ONCE))
            assert 1 == sum(forward.id in answer for answer in answers)
            state.pass_time(301)
        assert state.store.retire(forward.id, 1, "ab", 0)
        for _ in range(2):
            answers = twice(lambda: state.store.claim_due(Due.DROP, ONCE))
            assert 1 == sum(forward.id in answer for answer in answers)
            state.pass_time(301)
        kinds_sent = [message["kind"] for message in state.messages(forward)]
        assert [2, 2, 2] == [kinds_sent.count(k) for k in ("sweep", "retire", "drop_held")]


def test_what_is_over_is_not_due_any_more(state: World, module_database_url: str) -> None:
    """The table says what is to come; it does not grow with what has been."""
    forward = state.complete(ready(state, Status.SWITCHING))
    claims = {Due.SWEEP: SWEEPS, Due.RETIRE: ONCE, Due.DROP: ONCE}.items()
    database = Database(module_database_url)

    def known_to_come() -> list[str]:
        for what, pauses in claims:
            state.store.claim_due(what, pauses)
        with database.transaction() as session:
            return list(session.scalars(text("SELECT what FROM due ORDER BY what")))

    assert ["retire", "sweep"] == known_to_come()
    state.pass_time(RETENTION_HOURS * 3600)
    assert state.store.retire(forward.id, 1, "ab", 0)
    assert ["drop"] == known_to_come()
    with state.store.lock_kept(forward.source_collection, End.RELEASED) as may_release:
        assert may_release
    assert [] == known_to_come()
    database.close()


def held_target(state: World) -> Migration:
    """A rolled back migration of a new bot, whose target is held for 24 hours."""
    undone = ready(state, Status.ROLLED_BACK)
    assert state.store.keep_target(undone.id, 5, 24)
    return undone


def taking_over(state: World, undone: Migration) -> NewMigration:
    bot = state.store.bot(undone.bot_id)
    return a_start(bot, target_collection=undone.target_collection, target_adopted=True)


def test_a_bot_is_not_registered_on_a_collection_while_it_is_dropped(state: World) -> None:
    with ThreadPoolExecutor(1) as pool:
        with state.store.lock_for_drop("bot_g1") as is_nobodys:
            assert is_nobodys
            registered = pool.submit(state.bot)
            assert still_waiting(registered)
        assert "bot_g1" == registered.result().live.collection


def test_either_the_collection_is_registered_or_a_run_takes_it_over(state: World) -> None:
    for _ in range(ROUNDS):
        undone = held_target(state)
        new, name = taking_over(state, undone), undone.target_collection
        live = replace(state.store.bot(undone.bot_id).live, collection=name)
        other = f"other-{uuid4()}"
        registered, started = at_once(
            lambda o=other, v=live: state.bot(o, live=v),
            lambda n=new: state.store.create(n, 1000),
        )
        assert isinstance(registered, CollectionInUse)  # kept before, filled afterwards
        assert not isinstance(started, ReembedError)


def test_either_a_bot_is_removed_or_a_run_of_it_starts(state: World) -> None:
    for _ in range(ROUNDS):
        bot_id = ready(state, Status.COMPLETED).bot_id
        new = a_start(state.store.bot(bot_id))
        removed, started = at_once(
            lambda b=bot_id: state.store.remove_bot(b), lambda n=new: state.store.create(n, 1000)
        )
        if isinstance(started, BotNotFound):
            assert bot_id == removed.bot.bot_id
        else:
            assert isinstance(removed, MigrationInProgress)
            assert state.store.live(bot_id) is not None


def test_no_drop_goes_on_once_the_bot_was_told_to_keep_its_originals(state: World) -> None:
    forward = state.complete(ready(state, Status.SWITCHING))
    state.store.change_bot(forward.bot_id, BotChange(drop_originals=True))
    state.pass_time(RETENTION_HOURS * 3600)
    assert state.store.retire(forward.id, 1, "ab", 0)
    with ThreadPoolExecutor(1) as pool:
        with state.store.lock_kept(forward.source_collection) as may_drop:
            assert may_drop
            wish = BotChange(drop_originals=False)
            changed = pool.submit(state.store.change_bot, forward.bot_id, wish)
            assert still_waiting(changed)
        assert not changed.result().drop_originals


def test_a_drop_waits_for_the_start_of_a_run_into_its_collection(state: World) -> None:
    """Either order is safe: the start is refused by the lock's holder, or the drop is."""
    for _ in range(ROUNDS):
        bot = state.bot(f"bot-{uuid4()}")
        new = replace(a_start(bot), target_collection=f"{bot.bot_id}_kept")

        def drop(collection: str = new.target_collection) -> bool:
            with state.store.lock_for_drop(collection) as is_nobodys:
                started = state.store.live(bot.bot_id) is not None  # noqa: B023 # called at once
                assert started is not is_nobodys
                return is_nobodys

        at_once(lambda n=new: state.store.create(n, 1000), drop)


def test_heartbeats_go_on_while_a_collection_is_held(state: World) -> None:
    """An undo drops under this lock; the watchdog must not take it for dead meanwhile."""
    migration = ready(state, Status.ROLLING_BACK)
    with ThreadPoolExecutor(1) as pool, state.store.lock_for_drop(migration.target_collection):
        assert pool.submit(state.store.heartbeat, migration.id, 2).result(timeout=5)


def test_a_message_of_an_older_epoch_is_neither_sent_nor_kept(
    state: World, module_database_url: str
) -> None:
    migration = state.start()
    database = Database(module_database_url)
    with database.transaction() as session:
        session.execute(text("UPDATE migrations SET epoch = 2"))
    assert [] == state.store.unsent(0) == state.store.unsent_of(migration.id)
    state.store.redrive(migration.id, 2)
    with database.transaction() as session:
        assert [3] == list(session.scalars(text("SELECT epoch FROM outbox")))
    database.close()


def test_a_message_that_was_sent_is_forgotten_after_a_day(
    state: World, module_database_url: str
) -> None:
    state.start()
    state.store.mark_sent([message.id for message in state.store.unsent(0)])
    database = Database(module_database_url)
    for seconds, kept in ((80_000, 1), (10_000, 0)):
        state.pass_time(seconds)
        state.store.unsent(0)
        with database.transaction() as session:
            assert kept == session.scalar(text("SELECT count(*) FROM outbox"))
    database.close()


def test_a_run_that_has_completed_has_no_runner_any_more(
    state: World, module_database_url: str
) -> None:
    migration = ready(state, Status.SWITCHED)
    assert state.store.take_lease(RunnerLease(migration.id, 1), "me", 60)
    state.store.finish(migration.id, 1)
    database = Database(module_database_url)
    with database.transaction() as session:
        found = session.execute(text("SELECT runner, runner_until FROM migrations"))
        assert [(None, None)] == [tuple(row) for row in found]
    database.close()


def test_what_was_decided_about_a_row_that_has_moved_is_not_written(
    state: World, module_database_url: str
) -> None:
    """The update's own guard, should the row's lock ever be forgotten."""
    migration = ready(state, Status.RUNNING)
    database = Database(module_database_url)
    with database.transaction() as session:
        held = lock_run(session, migration.id)
    state.store.redrive(migration.id, 1)
    with pytest.raises(Superseded), database.transaction() as session:
        apply(session, held, Change({"waiting_for": "nobody"}))
    assert state.now(migration).waiting_for is None
    database.close()


def test_a_change_that_the_table_of_transitions_does_not_have_is_not_written(
    state: World, module_database_url: str
) -> None:
    migration = ready(state, Status.RUNNING)
    database = Database(module_database_url)
    with pytest.raises(TransitionRefused), database.transaction() as session:
        apply(session, lock_run(session, migration.id), Change({"status": Status.COMPLETED}))
    assert Status.RUNNING is state.now(migration).status
    database.close()


def ready(state: World, status: Status) -> Migration:
    """A migration of a new bot in ``status``; those before it are out of the limit's way."""
    for migration in state.store.active():
        end(state, migration)
    return state.reach(status)


def end(state: World, migration: Migration) -> None:
    now = state.now(migration)
    if now.status is Status.SWITCHED:
        state.store.finish(now.id, now.epoch)
    elif now.status is not Status.SWITCHING:
        turned = state.store.request_cancel(now.id, "somebody")
        state.store.finish_rollback(turned.id, turned.epoch)
    else:
        state.store.roll_back(now.id, now.epoch, PermanentError())
        state.store.finish_rollback(now.id, now.epoch + 1)


def twice(action: Action) -> list[Any]:
    return at_once(action, action)


def still_waiting(future: Future[Any]) -> bool:
    try:
        future.result(timeout=0.3)
    except StillWaiting:
        return True
    return False
