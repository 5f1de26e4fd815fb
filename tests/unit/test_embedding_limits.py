"""Embedding under a limit: one turn for each real request, settled, and put off when it is long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from migrations.embedding.asking import quick_estimate
from migrations.embedding.embed import embed
from migrations.model.chunks import Embedded
from migrations.model.errors import Postponed, ProviderRateLimited
from migrations.model.states import Phase, Status
from migrations.ports.embedders import Embedder
from migrations.ports.limiter import Rules
from migrations.process.call_slots import CallSlots
from migrations.run.run import LONGEST_WAIT_SECONDS
from tests.fakes.embedders import LARGE
from tests.fakes.world import OWNER, SOURCE, World

WAITS_FOR_EVER = Rules(requests=0.001)


def limited(world: World, rules: Rules) -> World:
    """From now on the target's provider has this limit."""
    world.limiter.limit("fake", rules)
    world.limiter.granted.clear()
    return world


def chunks_of(world: World) -> list:  # type: ignore[type-arg]
    schema = world.vectors.describe(SOURCE)
    return [c for page in world.vectors.scan(schema) for c in page]


def test_each_real_request_has_a_turn_of_its_own_and_is_settled_by_its_usage() -> None:
    world = World(7)
    run = world.run_of(world.start_at(Phase.DATA_MIGRATION))
    world.embedders.max_inputs_per_request = 3
    calls = world.embedders.calls
    world.limiter.granted.clear()
    world.limiter.settled.clear()
    outcome = embed(run, chunks_of(world), purpose="data_migration")
    assert 3 == world.embedders.calls - calls
    assert 3 == len(world.limiter.granted) == len(world.limiter.settled)
    assert outcome.tokens == sum(tokens for _, tokens in world.limiter.settled)
    assert {str(run.migration.id)} == {ticket.flow for ticket in world.limiter.granted}


def test_an_answer_is_not_paid_for_again_because_the_next_request_failed() -> None:
    world = World(6)
    run = world.run_of(world.start_at(Phase.DATA_MIGRATION))
    world.embedders.max_inputs_per_request = 2
    world.embedders.fail(ProviderRateLimited(), containing="text 3")
    before = world.embedders.embedded.copy()
    embed(run, chunks_of(world), purpose="data_migration")
    assert {1} == set((world.embedders.embedded - before).values())


def test_the_next_call_is_made_while_an_answer_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(1)
    run = world.run_of(world.start_at(Phase.DATA_MIGRATION))
    run.services = replace(run.services, calls=CallSlots(1))
    embedder = type(run.services.embedders.get(LARGE))
    ask, read = embedder.ask, []

    def ask_and_read_later(self: Embedder, texts: Sequence[str]) -> Callable[[], Embedded]:
        answer = ask(self, texts)

        def read_while_another_calls() -> Embedded:
            with run.services.calls.one("fake", no_slot_is_free):
                read.append(texts)
            return answer()

        return read_while_another_calls

    monkeypatch.setattr(embedder, "ask", ask_and_read_later)
    embed(run, chunks_of(world), purpose="data_migration")
    assert 1 == len(read)


def no_slot_is_free() -> None:
    raise AssertionError("the slot is held while the answer is read")


def test_halves_of_a_refused_request_have_turns_too() -> None:
    world = World(["good", "poison", "fine", "well"])
    run = world.run_of(world.start_at(Phase.DATA_MIGRATION))
    world.embedders.refuse("poison")
    calls = world.embedders.calls
    world.limiter.granted.clear()
    embed(run, chunks_of(world), purpose="data_migration")
    assert 5 == world.embedders.calls - calls == len(world.limiter.granted)


def test_the_limiter_is_told_of_every_refusal() -> None:
    world = World()
    run = world.run_of(world.start_at(Phase.DATA_MIGRATION))
    world.embedders.fail(ProviderRateLimited(), times=2)
    embed(run, chunks_of(world), purpose="data_migration")
    assert ["fake", "fake"] == world.limiter.refusals


def test_a_limited_migration_takes_as_long_as_its_limit_says() -> None:
    world = World(60)
    migration = world.start_at(Phase.DATA_MIGRATION, batch_size=1, verify_migration=False)
    limited(world, Rules(requests=60))
    begun = world.clock.monotonic()
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert 59 == pytest.approx(world.clock.monotonic() - begun, abs=1)


def test_a_batch_that_waits_too_long_is_put_off_and_nothing_is_sent() -> None:
    world = World()
    run = world.run_of(world.start_at(Phase.DATA_MIGRATION))
    limited(world, WAITS_FOR_EVER)
    embed(run, chunks_of(world)[:1], purpose="data_migration")
    calls, begun = world.embedders.calls, world.clock.monotonic()
    with pytest.raises(Postponed):
        embed(run, chunks_of(world)[1:2], purpose="data_migration")
    assert LONGEST_WAIT_SECONDS == pytest.approx(world.clock.monotonic() - begun)
    assert calls == world.embedders.calls


def test_the_waits_of_a_batchs_slices_are_added_up() -> None:
    world = World()
    run = world.run_of(world.start_at(Phase.DATA_MIGRATION))
    limited(world, Rules(requests=0.25))  # one call in four minutes
    begun = world.clock.monotonic()
    chunks = chunks_of(world)
    for chunk in chunks[:3]:  # the first had its turn at once, the others waited 480 seconds
        embed(run, [chunk], purpose="data_migration")
    with pytest.raises(Postponed):
        embed(run, chunks[3:4], purpose="data_migration")
    assert LONGEST_WAIT_SECONDS == pytest.approx(world.clock.monotonic() - begun)


def test_a_provider_that_asks_for_an_hour_puts_a_batch_off_at_once() -> None:
    world = World()
    run = world.run_of(world.start_at(Phase.DATA_MIGRATION))
    world.embedders.fail(ProviderRateLimited(retry_after_seconds=3600.0))
    begun = world.clock.monotonic()
    with pytest.raises(Postponed):
        embed(run, chunks_of(world), purpose="data_migration")
    assert begun == world.clock.monotonic()
    assert 3600 == world.limiter.wait_seconds("fake")


@pytest.mark.parametrize("purpose", ["catch_up", "verification"])
def test_a_phase_waits_for_its_turn_however_long(purpose: str) -> None:
    world = World()
    run = world.run_of(world.start_at(Phase.DATA_MIGRATION, timeout_seconds=36_000))
    world.embedders.fail(ProviderRateLimited(retry_after_seconds=3600.0))
    assert 12 == len(embed(run, chunks_of(world), purpose=purpose).chunks)


def test_postponed_batches_are_opened_again_and_the_migration_completes() -> None:
    world = World(6, settings={"max_timeout_seconds": 360_000})
    migration = world.start_at(Phase.DATA_MIGRATION, timeout_seconds=360_000)
    world.embedders.fail(ProviderRateLimited(retry_after_seconds=3600.0))
    world.settle()
    assert Status.COMPLETED == world.now(migration).status
    assert world.texts_of(SOURCE) == world.texts_of(world.now(migration).target_collection)
    assert [] == world.wrongly_embedded(world.now(migration).target_collection, LARGE)


def test_a_wait_ends_when_the_migration_is_cancelled() -> None:
    world = World()
    migration = world.start_at(Phase.DATA_MIGRATION)
    limited(world, WAITS_FOR_EVER)
    sleep, slept = world.clock.sleep, [0]

    def cancel_then_sleep(seconds: float) -> None:
        slept[0] += 1
        if slept[0] == 5:
            world.system.cancel(OWNER, "bot")
        sleep(seconds)

    world.clock.sleep = cancel_then_sleep  # type: ignore[method-assign]
    world.settle()
    assert Status.ROLLED_BACK == world.now(migration).status
    assert world.clock.monotonic() < LONGEST_WAIT_SECONDS


@pytest.mark.parametrize(
    ("texts", "tokens"), [([], 0), (["abcd" * 10], 11), (["a", "b"], 2), (["héé" * 10], 21)]
)
def test_the_quick_estimate_goes_by_length(texts: list[str], tokens: int) -> None:
    assert tokens == quick_estimate(texts)
