"""Who may come in, who may register what, and who did what: alike in memory and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import count

import pytest

from migrations.model.access import Deed, Token, TokenState, TrailSearch
from migrations.model.bots import Caller, Role
from migrations.model.errors import GrantNotFound, TokenNotFound, TokenRevoked
from tests.contract.state_store_world import World

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
AT_ONCE = timedelta(0)


@pytest.fixture
def digests() -> Iterator[str]:
    return (f"{number:064}" for number in count())


def issued(state: World, digest: str, lasts: timedelta | None = None, owner: str = "me") -> Token:
    return state.store.add_token("laptop", owner, Role.USER, digest, lasts)


# --- tokens -------------------------------------------------------------------


def test_a_token_is_known_by_its_digest_until_it_expires(state: World) -> None:
    state.store.add_token("laptop", "me", Role.USER, "a" * 64, MINUTE)
    root = state.store.add_token("root", "you", Role.ADMIN, "b" * 64, None)
    assert Caller("me", Role.USER) == state.store.caller_of("a" * 64)
    state.pass_time(61)
    assert state.store.caller_of("a" * 64) is None
    known = state.store.caller_of("b" * 64)
    assert known is not None
    assert (Caller("you", Role.ADMIN), root.id) == (known, known.token_id)
    assert state.store.caller_of("c" * 64) is None


def test_a_token_added_again_stands_for_what_was_said_last(state: World) -> None:
    state.store.add_token("laptop", "me", Role.USER, "a" * 64, None)
    state.store.add_token("laptop", "me", Role.ADMIN, "a" * 64, None)
    assert Caller("me", Role.ADMIN) == state.store.caller_of("a" * 64)


def test_tokens_are_listed_with_the_state_they_are_in(state: World, digests: Iterator[str]) -> None:
    lasting, brief, gone = (issued(state, next(digests), how) for how in (None, MINUTE, None))
    state.store.revoke_token(gone.id)
    state.pass_time(61)
    found = {token.id: token.state for token in state.store.tokens()}
    assert {
        lasting.id: TokenState.ACTIVE,
        brief.id: TokenState.EXPIRED,
        gone.id: TokenState.REVOKED,
    } == found
    assert sorted(found) == list(found)


@pytest.mark.parametrize("role", list(Role))
def test_a_token_of_each_role_is_kept_with_it(state: World, role: Role) -> None:
    assert role is state.store.add_token("n", "me", role, "a" * 64, None).role
    known = state.store.caller_of("a" * 64)
    assert known is not None
    assert role is known.role


def test_a_token_was_last_used_when_the_trail_has_it_last(
    state: World, digests: Iterator[str]
) -> None:
    used, unused = issued(state, next(digests)), issued(state, next(digests))
    for _ in range(2):
        state.pass_time(60)
        state.store.record_deed(Deed(used.id, "::1", "GET", "/bots", None, 200))
    newest, _ = state.store.trail(DAY, TrailSearch(10))
    last = {token.id: token.last_used_at for token in state.store.tokens()}
    assert {used.id: newest.at, unused.id: None} == last


def test_a_revoked_token_lets_nobody_in_and_stays_revoked_since_then(state: World) -> None:
    token = issued(state, "a" * 64)
    state.store.revoke_token(token.id)
    assert state.store.caller_of("a" * 64) is None
    (since,) = state.store.tokens()
    state.store.revoke_token(token.id)
    assert [since] == state.store.tokens()
    assert since.revoked_at is not None
    assert since == state.store.token_of("a" * 64)
    assert state.store.token_of("b" * 64) is None


def test_a_token_that_was_never_issued_is_neither_revoked_nor_rotated(state: World) -> None:
    with pytest.raises(TokenNotFound):
        state.store.revoke_token(404)
    with pytest.raises(TokenNotFound):
        state.store.rotate_token(404, "a" * 64, None, AT_ONCE)


@pytest.mark.parametrize(("keep", "good_seconds"), [(AT_ONCE, 0), (MINUTE, 60)])
def test_a_rotated_token_is_good_for_as_long_as_was_asked(
    state: World, keep: timedelta, good_seconds: int
) -> None:
    old = issued(state, "a" * 64)
    new = state.store.rotate_token(old.id, "b" * 64, None, keep)
    assert (old.name, old.owner, old.role, None) == (new.name, new.owner, new.role, new.expires_at)
    assert old.id < new.id
    assert Caller("me") == state.store.caller_of("b" * 64)
    assert bool(good_seconds) == (state.store.caller_of("a" * 64) is not None)
    state.pass_time(good_seconds + 1)
    assert state.store.caller_of("a" * 64) is None
    assert Caller("me") == state.store.caller_of("b" * 64)


@pytest.mark.parametrize(("lasts", "expected"), [(None, DAY), (MINUTE, MINUTE)])
def test_a_rotated_tokens_successor_lasts_as_long_as_it_was_meant_to(
    state: World, lasts: timedelta | None, expected: timedelta
) -> None:
    old = issued(state, "a" * 64, DAY)
    state.pass_time(3600)
    new = state.store.rotate_token(old.id, "b" * 64, lasts, AT_ONCE)
    assert new.expires_at is not None
    assert abs(new.expires_at - new.created_at - expected) < timedelta(seconds=1)


def test_rotation_never_prolongs_the_old_token(state: World) -> None:
    old = issued(state, "a" * 64, MINUTE)
    state.store.rotate_token(old.id, "b" * 64, None, DAY)
    state.pass_time(61)
    assert state.store.caller_of("a" * 64) is None


def test_a_revoked_token_is_not_rotated(state: World) -> None:
    old = issued(state, "a" * 64)
    state.store.revoke_token(old.id)
    with pytest.raises(TokenRevoked):
        state.store.rotate_token(old.id, "b" * 64, None, AT_ONCE)
    assert state.store.caller_of("b" * 64) is None


# --- the trail ----------------------------------------------------------------


def a_deed(token: Token, subject: str | None = "bot", status: int = 200) -> Deed:
    return Deed(token.id, "192.0.2.7", "POST", "/bots/<bot_id>", subject, status)


def test_the_trail_says_what_was_done_with_which_token_newest_first(state: World) -> None:
    mine, yours = issued(state, "a" * 64), issued(state, "b" * 64, owner="you")
    deeds = [a_deed(mine), a_deed(yours, None, 403), a_deed(mine, "other")]
    for deed in deeds:
        state.store.record_deed(deed)
    found = state.store.trail(DAY, TrailSearch(limit=10))
    assert deeds[::-1] == [entry.deed for entry in found]
    assert ["me", "you", "me"] == [entry.owner for entry in found]
    assert {"laptop"} == {entry.token_name for entry in found}
    assert found[1:2] == state.store.trail(DAY, TrailSearch(limit=10, token_id=yours.id))
    assert found[1:2] == state.store.trail(DAY, TrailSearch(limit=10, owner="you"))
    assert found[2:] == state.store.trail(DAY, TrailSearch(limit=10, subject="bot"))


def test_the_trail_is_read_in_pages(state: World) -> None:
    token = issued(state, "a" * 64)
    for number in range(5):
        state.store.record_deed(a_deed(token, f"bot-{number}"))
    first = state.store.trail(DAY, TrailSearch(limit=2))
    second = state.store.trail(DAY, TrailSearch(limit=9, before=first[-1].id))
    assert ["bot-4", "bot-3"] == [entry.deed.subject for entry in first]
    assert ["bot-2", "bot-1", "bot-0"] == [entry.deed.subject for entry in second]


def test_the_trail_is_kept_for_a_while_whether_or_not_it_was_trimmed(state: World) -> None:
    token = issued(state, "a" * 64)
    state.store.record_deed(a_deed(token, "old"))
    state.pass_time(86_401)
    state.store.record_deed(a_deed(token, "new"))
    assert ["new"] == [entry.deed.subject for entry in state.store.trail(DAY, TrailSearch(limit=9))]
    state.store.trim_trail(token.id, DAY, 100)
    kept = state.store.trail(10 * DAY, TrailSearch(limit=9))
    assert ["new"] == [entry.deed.subject for entry in kept]


def test_a_tokens_trail_is_trimmed_at_the_cost_of_no_others(state: World) -> None:
    busy, quiet = issued(state, "a" * 64), issued(state, "b" * 64)
    state.store.record_deed(a_deed(quiet, "quiet"))
    for number in range(4):
        state.store.record_deed(a_deed(busy, f"bot-{number}"))
    state.store.trim_trail(busy.id, DAY, 2)
    left = [entry.deed.subject for entry in state.store.trail(DAY, TrailSearch(limit=9))]
    assert ["bot-3", "bot-2", "quiet"] == left
    state.store.trim_trail(quiet.id, DAY, 2)
    assert left == [entry.deed.subject for entry in state.store.trail(DAY, TrailSearch(limit=9))]


# --- grants -------------------------------------------------------------------


def test_a_grant_is_given_once_listed_and_taken_back(state: World) -> None:
    zoo = state.store.add_grant("me", "zoo_*", by="ops")
    assert ("me", "zoo_*", "ops") == (zoo.owner, zoo.pattern, zoo.granted_by)
    assert zoo == state.store.add_grant("me", "zoo_*", by="somebody else")
    bar = state.store.add_grant("me", "bar", by="ops")
    yours = state.store.add_grant("you", "zoo_*", by="ops")
    assert [bar, zoo] == state.store.grants("me")
    assert [bar, zoo, yours] == state.store.grants()
    state.store.remove_grant(zoo.id)
    assert [bar] == state.store.grants("me")
    with pytest.raises(GrantNotFound):
        state.store.remove_grant(zoo.id)
