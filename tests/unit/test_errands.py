"""Every call to a provider takes its turn and is paid for, whoever makes it and for whatever."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from devstack.provider import vector_for
from migrations.embedding.embed import embed_texts, find_dimension
from migrations.embedding.work import PATIENCE_SECONDS
from migrations.model.bots import Caller, Role
from migrations.model.config import OverLong
from migrations.model.errors import (
    InvalidVectors,
    PermanentError,
    ProviderRateLimited,
    ProviderUnavailable,
    ReembedError,
    StateStoreUnavailable,
    Superseded,
    TextRefused,
    TimedOut,
    UnknownModel,
)
from migrations.model.requests import BotRegistration, EstimateRequest, StartRequest
from migrations.model.states import Phase, Status
from migrations.phases import validation
from migrations.ports.limiter import Rules
from migrations.process import call_slots
from migrations.process.call_slots import CallSlots
from tests.fakes.clock import FakeClock
from tests.fakes.embedders import LARGE, SMALL
from tests.fakes.limiter import CalledOutOfTurn
from tests.fakes.state_store import FakeMigrationStore
from tests.fakes.world import OWNER, World

UNLISTED = {"unlisted": 4}


def register(world: World) -> Any:
    return world.system.register_bot(OWNER, BotRegistration("zoo", "zoo", "fake", "small"))


def validate(world: World) -> Any:
    return world.manager.validate_change(OWNER, "bot", "fake", "large")


def estimate(world: World) -> Any:
    return world.manager.estimate_migration_time(OWNER, EstimateRequest("bot", "fake", "large"))


def start(world: World) -> Any:
    return world.system.start_migration(OWNER, StartRequest("bot", "fake", "unlisted"))


#: What a caller may ask for over HTTP, whose bot pays, and how many requests it takes.
ERRANDS = {
    "registration": (register, "zoo", 2),
    "validation": (validate, "bot", 3),
    "estimate": (estimate, "bot", 1),
    "a dimension": (start, "bot", 1),
}
Errand = Callable[[World], Any]
each_errand = pytest.mark.parametrize(
    ("errand", "bot_id", "requests"), ERRANDS.values(), ids=ERRANDS
)


def a_world(**how: Any) -> World:
    """With a second collection, "zoo", and a model of which nothing is known."""
    world = World(**how)
    vectors = [vector_for("small", f"text {i}", SMALL.dimension) for i in range(3)]
    rows = [{"pk": str(i), "text": f"text {i}", "vector": v} for i, v in enumerate(vectors)]
    world.vectors.seed("zoo", rows, SMALL.dimension)
    world.embedders.unlisted = dict(UNLISTED)
    return world


def paid(world: World) -> int:
    """All that the ledger knows of."""
    runs = sum(world.store.tokens_used(migration.id) for migration in world.store._all())
    return runs + sum(world.store._errands.values())


# --- turns and the ledger ----------------------------------------------------------------


def test_a_call_past_the_limiter_fails_in_every_test() -> None:
    world = World()
    with pytest.raises(CalledOutOfTurn):
        world.embedders.get(SMALL).ask(["a text"])


@each_errand
def test_an_errand_takes_turns_before_those_of_migrations_and_is_paid_by_the_bot(
    errand: Errand, bot_id: str, requests: int
) -> None:
    world = a_world()
    errand(world)
    assert requests == world.embedders.calls
    assert [("query", "")] * requests == [(t.purpose, t.flow) for t in world.limiter.granted]
    assert world.limiter.granted == [ticket for ticket, _ in world.limiter.settled]
    billed = world.embedders.billed
    assert 0 < billed == sum(tokens for _, tokens in world.limiter.settled)
    assert billed == world.store.tokens_of_errands(bot_id) == paid(world)


def test_an_errand_for_anothers_bot_is_paid_by_its_owner() -> None:
    paid_by = []

    class Ledger(FakeMigrationStore):
        def record_errand(self, owner: str, bot_id: str, *about: Any) -> None:
            paid_by.append((owner, bot_id, about[2]))

    boss = Caller("boss", Role.ADMIN)
    world = a_world(store_class=Ledger)
    world.manager.validate_change(boss, "bot", "fake", "large")
    assert [("owner", "bot", "validation")] * 3 == paid_by


def test_a_run_pays_for_all_it_asks_its_validation_too() -> None:
    world = World(["", *[f"text {i}" for i in range(11)], "poison"])
    world.embedders.refuse("poison")
    begun = len(world.limiter.granted)
    migration = world.complete(max_failed_ratio=0.2)
    assert Status.COMPLETED == migration.status
    assert world.embedders.billed == world.store.tokens_used(migration.id) == paid(world)
    turns = world.limiter.granted[begun:]
    assert {("migration", str(migration.id))} == {(t.purpose, t.flow) for t in turns}
    assert len(turns) == world.embedders.calls


def test_the_dimension_of_a_model_is_asked_for_when_nobody_knows_it() -> None:
    world = a_world()
    assert 4 == start(world).migration.config.to_dimension
    assert 16 == find_dimension(world.errand(), "fake", "large")
    assert 1 == world.embedders.calls
    with pytest.raises(UnknownModel):
        find_dimension(world.errand(), "fake", "no such model")


def test_equal_texts_are_sent_once_and_each_text_has_a_vector_or_a_reason() -> None:
    world = World()
    world.embedders.refuse("poison")
    texts = ["one", "two", "one", "poison", "long " * 9000]
    answers = embed_texts(world.errand(), LARGE, texts, "estimate")
    assert ({"one", "two"}, set(texts[3:])) == (answers.vectors.keys(), answers.refused.keys())
    assert (LARGE.dimension,) == answers.of("one").shape
    with pytest.raises(TextRefused, match="refused: poison"):
        answers.of("poison")
    assert 0 == world.embedders.embedded["large", texts[4]], "it was not sent"
    split = embed_texts(world.errand(), LARGE, texts[4:], "estimate", over_long=OverLong.SPLIT)
    assert (1, {texts[4]}) == (split.shortened, set(split.vectors))


# --- patience of errands -----------------------------------------------------------------


def hangs(world: World, texts: Sequence[str]) -> None:
    world.clock.sleep(60)
    raise ProviderUnavailable("It did not answer in time.")


FAULTS = {
    "hangs": (lambda w: setattr(w.embedders, "on_embed", lambda texts: hangs(w, texts)), 60),
    "refuses": (lambda w: w.embedders.fail(ProviderUnavailable(), times=None), 0),
    "is limited": (lambda w: w.embedders.fail(ProviderRateLimited(), times=None), 0),
    "leaves no turn": (lambda w: limited(w, Rules(requests=0.001)), 0),
}


def limited(world: World, rules: Rules) -> None:
    world.limiter.limit("fake", rules)
    world.limiter.acquire(world.limiter.ticket("fake", 1))


@pytest.mark.parametrize(("fault", "call_seconds"), FAULTS.values(), ids=FAULTS)
def test_an_errand_gives_up_with_the_providers_own_error_in_bounded_time(
    fault: Callable[[World], None], call_seconds: float
) -> None:
    world = World()
    fault(world)
    begun = world.clock.monotonic()
    with pytest.raises((ProviderUnavailable, ProviderRateLimited)):
        embed_texts(world.errand(), LARGE, ["a text"], "estimate")
    assert world.clock.monotonic() - begun <= PATIENCE_SECONDS + call_seconds


@pytest.mark.parametrize("fault", [fault for fault, _ in FAULTS.values()], ids=FAULTS)
@each_errand
def test_a_provider_that_does_not_answer_is_said_so_by_every_errand(
    fault: Callable[[World], None], errand: Errand, bot_id: str, requests: int
) -> None:
    world = a_world()
    fault(world)
    begun = world.clock.monotonic()
    try:
        found = repr(errand(world))
    except ReembedError as error:
        found = error.message
    assert "answer" in found or "limit" in found
    assert world.clock.monotonic() - begun <= 2 * (PATIENCE_SECONDS + 60)
    assert [] == world.store.active()


def test_an_errand_rides_out_a_hiccup_and_a_short_wait_for_its_turn() -> None:
    world = World()
    world.embedders.fail(ProviderUnavailable())
    limited(world, Rules(requests=30))
    assert {"a text"} == embed_texts(world.errand(), LARGE, ["a text"], "x").vectors.keys()
    assert world.clock.monotonic() > 0


def test_an_errand_that_is_told_to_wait_for_long_does_not_and_everybody_else_does() -> None:
    world = World()
    world.embedders.fail(ProviderRateLimited("In an hour.", retry_after_seconds=3600))
    with pytest.raises(ProviderRateLimited, match="In an hour"):
        embed_texts(world.errand(), LARGE, ["a text"], "estimate")
    assert (0, 3600) == (world.clock.monotonic(), world.limiter.wait_seconds("fake"))
    with pytest.raises(ProviderRateLimited, match="has no room for 3600 s") as refused:
        embed_texts(world.errand(), LARGE, ["a text"], "estimate")
    assert 3600 == refused.value.retry_after_seconds
    assert (1, 0) == (world.embedders.calls, world.clock.monotonic())


class TickingClock(FakeClock):
    """Each look at it takes a second."""

    def monotonic(self) -> float:
        self.sleep(1)
        return super().monotonic()


def test_an_errand_does_not_wait_for_ever_for_one_of_the_processes_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(call_slots, "ASK_SECONDS", 0.001)
    world, slots = World(), CallSlots(1)
    errand = world.errand()
    errand.services = replace(world.services, calls=slots, clock=TickingClock())
    with (
        slots.one("fake", lambda: None),
        pytest.raises(ProviderUnavailable, match="Too many calls"),
    ):
        embed_texts(errand, LARGE, ["a text"], "estimate")
    assert 0 == world.embedders.calls


def test_a_nonsensical_answer_is_not_asked_for_again_by_an_errand() -> None:
    world = World()
    world.embedders.fail(InvalidVectors("All zero."))
    answers = embed_texts(world.errand(), LARGE, ["a text"], "estimate")
    assert ("All zero.", 1) == (answers.refused["a text"].message, world.embedders.calls)


class LostLedger(FakeMigrationStore):
    """Nothing can be written into the ledger of errands."""

    def record_errand(self, *about: Any) -> None:
        raise StateStoreUnavailable


@each_errand
def test_a_ledger_that_does_not_answer_is_not_taken_for_a_silent_provider(
    errand: Errand, bot_id: str, requests: int
) -> None:
    world = a_world(store_class=LostLedger)
    with pytest.raises(StateStoreUnavailable):
        errand(world)
    assert world.clock.monotonic() <= PATIENCE_SECONDS


def test_an_estimates_pace_is_that_of_the_call_without_waiting_for_the_turn() -> None:
    world = World(40, settings={"provider_concurrency": 2})
    world.embedders.on_embed = lambda texts: world.clock.sleep(0.5)
    limited(world, Rules(requests=30))
    wish = EstimateRequest("bot", "fake", "large", batch_size=10)
    estimate = world.manager.estimate_migration_time(OWNER, wish).estimate
    assert "one request of 20 texts took 0.500 s" in estimate.basis[1]
    assert (4 + 4) * 60 / 30 == pytest.approx(estimate.duration_seconds), "to fill and to verify it"


# --- a run's own -------------------------------------------------------------------------


def test_a_run_waits_for_turns_of_its_old_model_however_long() -> None:
    world = World()
    run = world.run_of(world.start())
    limited(world, Rules(requests=0.1))
    assert [] == validation.execute(run).warnings
    assert world.clock.monotonic() > PATIENCE_SECONDS


@pytest.mark.parametrize("hours", [0, 1])
def test_a_run_gives_up_an_old_model_that_does_not_answer(hours: int) -> None:
    world = World()
    migration = world.start(retry_delay=0.5, unproven_text=True)
    gone = ProviderUnavailable("It is gone.", retry_after_seconds=3600.0 * hours or None)
    world.embedders.fail(gone, times=None, model="small")
    (warning,) = validation.execute(world.run_of(migration)).warnings
    assert "The old model does not answer (It is gone.)" in warning
    assert world.clock.monotonic() <= 2 * PATIENCE_SECONDS


def test_a_hiccup_of_the_old_model_does_not_leave_the_vectors_unjudged() -> None:
    world = World()
    migration = world.start()
    world.embedders.fail(ProviderUnavailable(), times=2, model="small")
    assert [] == validation.execute(world.run_of(migration)).warnings


def test_nonsense_of_the_old_model_is_not_asked_for_again() -> None:
    world = World()
    migration = world.start(max_retries=3, unproven_text=True)
    world.embedders.fail(InvalidVectors("All zero."), times=None, model="small")
    (warning,) = validation.execute(world.run_of(migration)).warnings
    assert "The old model does not answer (All zero.)" in warning
    assert 1 + 3 + 1 == world.embedders.calls, "three halves, and then a text of our own"


@pytest.mark.parametrize("skipped", [0, 1], ids=["the new model", "the old model"])
def test_a_cancel_during_validations_calls_is_no_finding(skipped: int) -> None:
    world = World()
    migration = world.start_at(Phase.VALIDATION)
    calls = [lambda: None] * skipped
    with (
        world.at("validation.before_call", *calls, lambda: world.system.cancel(OWNER, "bot")),
        pytest.raises(Superseded),
    ):
        validation.execute(world.run_of(migration))
    assert skipped == world.embedders.calls


@pytest.mark.parametrize("skipped", [0, 1], ids=["the new model", "the old model"])
def test_a_time_that_is_up_during_validations_calls_is_no_finding(skipped: int) -> None:
    world = World()
    migration = world.start(timeout_seconds=60)
    calls = [lambda: None] * skipped
    with (
        world.at("validation.before_call", *calls, lambda: world.clock.sleep(61)),
        pytest.raises(TimedOut) as raised,
    ):
        validation.execute(world.run_of(migration))
    assert isinstance(raised.value, PermanentError)
