"""What one answer decides, and what only several do: failing texts, verdicts, time-outs, bills."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from migrations.embedding.asking import OWN_TEXTS
from migrations.embedding.embed import Outcome, embed
from migrations.model.errors import (
    DimensionMismatch,
    InvalidConfiguration,
    InvalidVectors,
    ProviderAuthenticationFailed,
    ProviderQuotaExhausted,
    ProviderRefuses,
    ProviderTooSlow,
    ProviderUnavailable,
    ReembedError,
    Superseded,
    TextRefused,
    TimedOut,
    UnknownModel,
)
from migrations.model.states import Phase, Status
from migrations.process.standings import REMEMBERED_MODELS, Standing, Standings
from migrations.run.run import Run
from tests.fakes.embedders import LARGE
from tests.fakes.world import OWNER, SOURCE, World

TEXTS = [f"text {i}" for i in range(15)] + ["poison"]


def run_in(world: World, **changes: object) -> Run:
    return world.run_of(world.start_at(Phase.DATA_MIGRATION, **changes))


def embedded(world: World, run: Run) -> Outcome:
    chunks = [c for page in world.vectors.scan(world.vectors.describe(SOURCE)) for c in page]
    return embed(run, chunks, purpose="data_migration")


def sizes_seen(world: World) -> list[int]:
    """The numbers of texts of all requests from now on."""
    sizes: list[int] = []
    world.embedders.on_embed = lambda texts: sizes.append(len(texts))
    return sizes


#: What may befall one text for good, though none of it says that it is about a text.
LASTING = {
    "a server error": ProviderUnavailable("The stub answered with status 500: CUDA error"),
    "a time-out": ProviderTooSlow(),
    "nonsense": InvalidVectors("All zero."),
    "a firewall's 403": ProviderAuthenticationFailed(),
    "an ingress' 404": UnknownModel(),
    "a 400 about dimensions": InvalidConfiguration(),
    "another dimension": DimensionMismatch(),
    "a refusal": TextRefused(),
}
each_lasting = pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING)


@each_lasting
def test_a_text_that_keeps_failing_is_left_aside_and_its_neighbours_are_embedded(
    fault: ReembedError,
) -> None:
    world = World(TEXTS)
    run = run_in(world)
    world.embedders.fail(fault, times=None, containing="poison")
    calls = world.embedders.calls
    outcome = embedded(world, run)
    ((chunk, reason),) = outcome.refused
    assert ("k015", 15) == (chunk.key, len(outcome.chunks))
    assert fault.message in reason.message
    assert world.embedders.calls - calls < 25, "halves, not singles"
    assert world.clock.monotonic() < 60


@each_lasting
def test_what_befalls_a_request_once_decides_nothing(fault: ReembedError) -> None:
    world = World(TEXTS)
    run = run_in(world)
    world.embedders.fail(fault)
    outcome = embedded(world, run)
    assert (16, []) == (len(outcome.chunks), outcome.refused)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (ProviderAuthenticationFailed(), ProviderAuthenticationFailed),
        (ProviderQuotaExhausted(), ProviderQuotaExhausted),
        (UnknownModel(), UnknownModel),
        (InvalidConfiguration(), InvalidConfiguration),
        (DimensionMismatch(), DimensionMismatch),
        (TextRefused("Contact sales."), ProviderRefuses),
        (InvalidVectors("All zero."), InvalidVectors),
    ],
)
def test_what_a_text_of_our_own_is_told_too_ends_the_work_soon(
    fault: ReembedError, told: type[ReembedError]
) -> None:
    world = World(TEXTS)
    run = run_in(world)
    world.embedders.fail(fault, times=None)
    calls = world.embedders.calls
    with pytest.raises(told) as raised:
        embedded(world, run)
    assert told is type(raised.value)
    assert fault.message in raised.value.message
    assert world.embedders.calls - calls <= 8


def test_an_account_that_is_refused_is_asked_about_by_one_batch_for_all() -> None:
    world = World(60)
    migration = world.start_at(Phase.DATA_MIGRATION, batch_size=1)
    world.embedders.fail(TextRefused("Contact sales."), times=None)
    calls = world.embedders.calls
    world.deliver()
    error = world.now(migration).error or {}
    assert ("provider-refuses", "Any text is refused. Contact sales.") == (
        error["code"],
        error["message"],
    )
    assert 4 == world.embedders.calls - calls


def test_an_outage_makes_no_text_suspect_however_long_it_lasts() -> None:
    world = World(TEXTS)
    run = run_in(world, timeout_seconds=36_000)
    world.embedders.fail(ProviderUnavailable(), times=60)
    sizes = sizes_seen(world)
    assert [] == embedded(world, run).refused
    assert {1, 16} == set(sizes), "the whole request, and a text of our own"


def test_a_verdict_that_cannot_be_confirmed_is_waited_out() -> None:
    world = World(TEXTS)
    run = run_in(world)
    world.embedders.fail(UnknownModel("404"))
    world.embedders.fail(ProviderUnavailable())  # the probe's
    assert [] == embedded(world, run).refused


def slow(world: World, seconds_per_text: float, patience_seconds: float) -> None:
    """A provider that needs so long for a text, asked by a client that waits so long."""

    def embed_slowly(texts: Sequence[str]) -> None:
        needed = seconds_per_text * len(texts)
        world.clock.sleep(min(needed, patience_seconds))
        if needed > patience_seconds:
            raise ProviderTooSlow

    world.embedders.on_embed = embed_slowly


def test_a_time_out_makes_requests_smaller_from_then_on() -> None:
    world = World(50)
    run = run_in(world)
    slow(world, 4.0, 60.0)
    texts = world.embedders.texts
    assert 50 == len(embedded(world, run).chunks)
    sizes = sizes_seen(world)
    assert 50 == len(embedded(world, run).chunks)
    assert max(sizes) < 15
    assert world.embedders.texts - texts <= 2 * 50, "those that timed out are not counted"


def test_requests_grow_again_once_a_slow_provider_is_quick() -> None:
    standing = Standing()
    standing.took_too_long(50)
    standing.took_too_long(50)  # the others that were under way
    assert 25 == standing.most_texts
    standing.answered(25, 20.0, 60.0)
    standing.answered(5, 0.1, 60.0)
    assert 25 == standing.most_texts, "twice as many might take too long, and five tell nothing"
    standing.answered(25, 1.0, 60.0)
    assert 50 == standing.most_texts


def test_a_single_text_that_takes_too_long_is_no_reason_to_ask_for_none() -> None:
    standing = Standing()
    standing.took_too_long(1)
    assert 1 == standing.most_texts


def test_a_probe_that_was_waited_for_is_not_made_again() -> None:
    standing, gone = Standing(), UnknownModel("gone")
    found: list[ReembedError | None] = []
    waits = threading.Event()

    def ask_while_another_waits() -> ReembedError:
        other.start()
        assert waits.wait(10)
        return gone

    other = threading.Thread(target=lambda: found.append(standing.probe(never, waits.set)))
    assert gone is standing.probe(ask_while_another_waits, lambda: None)
    other.join()
    assert [gone] == found


def never() -> None:
    raise AssertionError("it was asked already")


def test_only_so_many_models_are_remembered() -> None:
    standings = Standings()
    first = standings.of(LARGE)
    assert first is standings.of(LARGE)
    for number in range(REMEMBERED_MODELS):
        standings.of(LARGE.model_copy(update={"model": f"invented {number}"}))
    assert first is not standings.of(LARGE)


# --- the bill -----------------------------------------------------------------------------


def billed(error: ReembedError, tokens: int) -> ReembedError:
    error.billed_tokens = tokens
    return error


@pytest.mark.parametrize("fault", [InvalidVectors(), DimensionMismatch()])
def test_answers_that_are_thrown_away_are_in_the_ledger(fault: ReembedError) -> None:
    world = World(TEXTS)
    run = run_in(world)
    paid, before = world.store.tokens_used(run.migration.id), world.embedders.billed
    world.embedders.fail(billed(fault, 7), times=None, containing="poison")
    outcome = embedded(world, run)
    spent = world.store.tokens_used(run.migration.id) - paid
    assert spent == outcome.tokens == world.embedders.billed - before


def test_an_answer_that_comes_when_the_run_has_ended_is_in_the_ledger() -> None:
    world = World(TEXTS)
    run = run_in(world)
    paid, before = world.store.tokens_used(run.migration.id), world.embedders.billed

    def cancel(texts: Sequence[str]) -> None:
        world.system.cancel(OWNER, "bot")

    world.embedders.on_embed = cancel
    embedded(world, run)
    with pytest.raises(Superseded):
        run.must_go_on()
    assert 0 < world.embedders.billed - before
    assert world.embedders.billed - before == world.store.tokens_used(run.migration.id) - paid


# --- what is said in the end ----------------------------------------------------------------


def test_a_run_whose_time_is_up_says_what_it_was_waiting_for() -> None:
    world = World(TEXTS)
    migration = world.start_at(Phase.DATA_MIGRATION, timeout_seconds=60)
    world.embedders.fail(ProviderUnavailable("The stub is away."), times=None)
    world.deliver()
    error = world.now(migration).error or {}
    assert (Status.ROLLED_BACK, "timed-out") == (world.now(migration).status, error["code"])
    assert error["message"].endswith("It was waiting: The stub is away.")


def test_a_run_that_waits_for_nothing_only_says_that_its_time_is_up() -> None:
    world = World(TEXTS)
    migration = world.start_at(Phase.DATA_MIGRATION, timeout_seconds=60)
    world.clock.sleep(61)
    world.store.roll_back(migration.id, migration.epoch, TimedOut("It took too long."))
    assert "It took too long." == (world.now(migration).error or {})["message"]


def test_validation_tries_the_model_with_two_different_texts() -> None:
    world = World()
    run_in(world)
    assert 2 == len(set(OWN_TEXTS))
    assert {1} == {world.embedders.embedded["large", text] for text in OWN_TEXTS}
