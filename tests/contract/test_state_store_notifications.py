"""What is to be told: once decided, sent by one at a time, given up in the end."""

from __future__ import annotations

from migrations.model.notifications import Delivery, NewDelivery, Standing
from migrations.model.states import Status
from tests.contract.state_store_world import HOUR, WINDOW_SECONDS, World

LEASE = 60


def untold(state: World) -> list[str]:
    return [one.event.name for one in state.store.untold(100)]


def decided(state: World, *endpoints: str, message_id: str = "msg_1") -> None:
    """All events are told by one message to each endpoint."""
    ids = [one.event_id for one in state.store.untold(100)]
    body = {"type": "migration.started", "odd": 'é"\n'}
    state.store.tell(ids, [NewDelivery(one, message_id, body) for one in endpoints])


def claimed(state: World, *endpoints: str, limit: int = 10) -> list[Delivery]:
    return state.store.claim_deliveries(endpoints or ("ops",), limit, LEASE)


def test_an_event_is_untold_from_when_it_is_written_until_somebody_has_decided(
    state: World,
) -> None:
    migration = state.start()
    (one,) = state.store.untold(100)
    assert ("started", migration) == (one.event.name, one.migration)
    decided(state, "ops")
    assert [] == untold(state)
    state.reach(Status.FAILED)
    assert {"started", "phase_begun", "failed"} <= set(untold(state))
    assert 2 == len(state.store.untold(2))


def test_a_message_that_is_there_already_stays_as_it_is(state: World) -> None:
    state.start()
    decided(state, "ops", "chat")
    state.store.tell([], [NewDelivery("ops", "msg_1", {}), NewDelivery("ops", "msg_2", {})])
    found = claimed(state, "ops", "chat")
    assert ["msg_1", "msg_1", "msg_2"] == [one.message_id for one in found]
    assert {"type": "migration.started", "odd": 'é"\n'} == found[0].body


def test_one_that_is_claimed_is_nobody_elses_until_the_lease_has_ended(state: World) -> None:
    state.start()
    decided(state, "ops")
    (one,) = claimed(state)
    assert (1, []) == (one.attempts, claimed(state))
    state.pass_time(LEASE + 1)
    (again,) = claimed(state)
    assert (one.id, 2) == (again.id, again.attempts)


def test_only_known_endpoints_and_so_many_are_claimed_the_longest_due_first(state: World) -> None:
    state.start()
    decided(state, "ops", "gone")
    state.pass_time(1)
    decided(state, "ops", message_id="msg_2")
    assert ["msg_1"] == [one.message_id for one in claimed(state, limit=1)]
    assert ["msg_2"] == [one.message_id for one in claimed(state)]
    assert [] == state.store.claim_deliveries([], 10, LEASE)


def test_what_was_taken_is_not_sent_again(state: World) -> None:
    state.start()
    decided(state, "ops")
    (one,) = claimed(state)
    state.store.delivered(one.id)
    state.pass_time(25 * HOUR)
    assert ([], []) == (claimed(state), state.store.give_up_older(24))


def test_what_was_postponed_is_due_again_after_that(state: World) -> None:
    state.start()
    decided(state, "ops")
    (one,) = claimed(state)
    state.store.postpone(one.id, 300, "It answered 500.")
    state.pass_time(290)
    assert [] == claimed(state)
    state.pass_time(15)
    assert [2] == [one.attempts for one in claimed(state)]


def test_what_nobody_has_taken_for_a_day_is_given_up_once(state: World) -> None:
    state.start()
    decided(state, "ops", "gone")
    state.pass_time(23 * HOUR)
    decided(state, "ops", message_id="msg_2")
    assert [] == state.store.give_up_older(24)
    state.pass_time(1.1 * HOUR)
    given_up = state.store.give_up_older(24)
    assert {("ops", "msg_1"), ("gone", "msg_1")} == {(g.endpoint, g.message_id) for g in given_up}
    assert [] == state.store.give_up_older(24)
    (left,) = claimed(state)
    state.store.give_up(left.id, "It wants no more of them.")
    state.pass_time(LEASE + 1)
    assert [] == claimed(state)


def test_a_message_outlives_its_bot(state: World) -> None:
    migration = state.reach(Status.ROLLED_BACK)
    decided(state, "ops")
    state.store.remove_bot(migration.bot_id)
    assert ["msg_1"] == [one.message_id for one in claimed(state)]
    assert [] == untold(state)


def test_a_way_back_that_ends_soon_is_an_event_once(state: World) -> None:
    migration = state.reach(Status.COMPLETED)
    assert 0 == state.store.warn_of_ends(24)
    state.pass_time(WINDOW_SECONDS - 23 * HOUR)
    assert (1, 0) == (state.store.warn_of_ends(24), state.store.warn_of_ends(24))
    (event,) = [one for one in state.store.events(migration.id) if one.name == "way_back_ends"]
    previous = state.store.bot(migration.bot_id).previous
    assert previous is not None
    assert previous.expires_at.isoformat() == event.detail["expires_at"]


def test_a_window_shorter_than_the_warning_or_closed_is_not_warned_of(state: World) -> None:
    state.reach(Status.COMPLETED)
    assert 0 == state.store.warn_of_ends(73)
    state.pass_time(WINDOW_SECONDS + 1)
    assert 0 == state.store.warn_of_ends(24)


def test_an_endpoint_stands_by_what_it_has_not_taken(state: World) -> None:
    for number in range(4):
        bodies = [NewDelivery(one, f"msg_{number}", {}) for one in ("ops", "chat", "quiet")]
        state.store.tell([], bodies)
    taken, first, second, _ = claimed(state, "ops")
    state.store.delivered(taken.id)
    state.store.postpone(first.id, 5, "It answered 500.")
    state.store.give_up(second.id, "It answered 410.")
    for one in claimed(state, "quiet"):
        state.store.delivered(one.id)
    assert [
        Standing("chat", 4, 0, None),
        Standing("ops", 2, 1, "It answered 410."),
    ] == state.store.standings()
