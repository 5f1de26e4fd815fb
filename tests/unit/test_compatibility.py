"""What a change would mean: checked, estimated, described, before anything is touched."""

from __future__ import annotations

import pytest

from migrations.embedding.estimate import READINGS
from migrations.model.bots import Caller
from migrations.model.errors import BotNotFound, ProviderUnavailable, SameModel, UnknownModel
from migrations.model.requests import EstimateRequest, StartRequest
from migrations.model.states import Status
from migrations.ports.limiter import Rules
from tests.fakes.embedders import LARGE, SMALL
from tests.fakes.world import OWNER, SOURCE, World


def test_a_change_that_is_possible_passes_and_touches_nothing() -> None:
    world = World()
    before = world.contents(SOURCE)
    validation = world.manager.validate_change(OWNER, "bot", "fake", "large")
    assert (LARGE, True) == (validation.target, validation.report.passed)
    assert (before, [SOURCE]) == (world.contents(SOURCE), world.vectors.names())


def test_a_change_to_a_model_that_does_not_answer_is_a_finding() -> None:
    world = World()
    world.embedders.fail(ProviderUnavailable("The provider is away."), times=None)
    report = world.manager.validate_change(OWNER, "bot", "fake", "large").report
    assert ["The provider is away."] == [check.message for check in report.errors]


def test_a_change_to_the_live_embedding_is_refused() -> None:
    with pytest.raises(SameModel):
        World().manager.validate_change(OWNER, "bot", "fake", "small")


def test_a_change_to_an_unknown_model_is_refused() -> None:
    with pytest.raises(UnknownModel):
        World().manager.validate_change(OWNER, "bot", "fake", "enormous")


@pytest.mark.parametrize("ask", ["validate_change", "dimension_info", "estimate_migration_time"])
def test_another_owners_bot_does_not_exist_for_a_caller(ask: str) -> None:
    wishes = {
        "validate_change": ("bot", "fake", "large"),
        "dimension_info": ("bot",),
        "estimate_migration_time": (EstimateRequest("bot"),),
    }
    with pytest.raises(BotNotFound):
        getattr(World().manager, ask)(Caller("stranger"), *wishes[ask])


def test_dimension_info_shows_the_collections_and_the_models_dimension() -> None:
    info = World().manager.dimension_info(OWNER, "bot")
    assert 8 == info.collection_dimension
    assert "small" == info.current.model  # type: ignore[union-attr]
    assert {"small", "large"} <= {known.model for known in info.known_models}


def test_an_estimate_counts_chunks_batches_tokens_bytes_and_money() -> None:
    world = World(["1234"] * 90 + ["12345678"] * 11)
    answer = world.manager.estimate_migration_time(
        OWNER, EstimateRequest("bot", "fake", "large", batch_size=50)
    )
    estimate = answer.estimate
    assert (LARGE, 101, 3) == (answer.target, estimate.chunks, estimate.batches)
    in_mean = (90 * 1 + 11 * 2) / 101
    assert round(in_mean * 2 * 101) + round(in_mean * 70) == estimate.tokens
    assert "101 more for verification, and 70 by the present model" in estimate.basis[0]
    assert 101 * LARGE.dimension * 4 == estimate.vector_bytes
    assert 0.0 == estimate.cost_usd
    assert 5 == len(estimate.basis)


def test_an_estimate_times_one_request_and_scales_it() -> None:
    world = World(40, settings={"provider_concurrency": 2})
    world.embedders.on_embed = lambda texts: world.clock.sleep(0.5)
    wish = EstimateRequest("bot", "fake", "large", batch_size=10)
    duration = world.manager.estimate_migration_time(OWNER, wish).estimate.duration_seconds
    assert 2 * 4 * 0.5 / 2 == pytest.approx(duration), "to fill it and to verify all of it"


def test_an_estimate_knows_that_a_batch_may_be_several_requests() -> None:
    world = World(40, settings={"provider_concurrency": 2, "verify_sample": 1})
    world.embedders.max_inputs_per_request = 4
    world.embedders.on_embed = lambda texts: world.clock.sleep(0.5)
    wish = EstimateRequest("bot", "fake", "large", batch_size=10)
    estimate = world.manager.estimate_migration_time(OWNER, wish).estimate
    probe = 5 * 0.5  # twenty texts, in requests of four
    assert (4 * 3 + 1) * probe / 2 == pytest.approx(estimate.duration_seconds, abs=0.1)


@pytest.mark.parametrize(
    ("rules", "seconds", "which"),
    [
        (Rules(requests=6), 60 * 5 / 6, "requests"),
        (Rules(tokens=60), 60 * 82 / 60, "tokens"),
        (Rules(requests=6000, tokens=60_000), 0.5, None),
    ],
)
def test_an_estimate_keeps_to_the_providers_limit(
    rules: Rules, seconds: float, which: str | None
) -> None:
    world = World(["12345678"] * 40, settings={"verify_sample": 1})
    world.limiter.limit("fake", rules)
    world.embedders.on_embed = lambda texts: world.clock.sleep(0.5)
    wish = EstimateRequest("bot", "fake", "large", batch_size=10)
    estimate = world.manager.estimate_migration_time(OWNER, wish).estimate
    assert seconds == pytest.approx(estimate.duration_seconds, abs=1)
    assert (which is not None) == ("decides" in estimate.basis[1])
    assert (which or "") in estimate.basis[1]


def test_a_change_that_cannot_be_made_in_time_is_told_so() -> None:
    world = World(120)
    world.limiter.limit("fake", Rules(requests=2, burst_seconds=100))
    validation = world.manager.validate_change(OWNER, "bot", "fake", "large")
    assert [] == [check.name for check in validation.report.warnings]
    world.limiter.limit("fake", Rules(tokens=3, burst_seconds=7200))
    report = world.manager.validate_change(OWNER, "bot", "fake", "large").report
    (told,) = [check for check in report.warnings if check.name == "deadline"]
    assert "limit of 3 tokens a minute" in told.message
    assert "larger timeout_seconds" in told.message
    assert report.passed


def test_an_estimate_counts_the_time_of_reading_the_collections() -> None:
    world = World(40)
    world.vectors.before("scan", lambda: world.clock.sleep(2))
    wish = EstimateRequest("bot", "fake", "large")
    duration = world.manager.estimate_migration_time(OWNER, wish).estimate.duration_seconds
    assert 2 * READINGS == pytest.approx(duration)


def test_an_estimate_with_the_catalogues_price_is_money() -> None:
    world = World(["x" * 4_000_000])
    wish = EstimateRequest("bot", "openai", "text-embedding-3-small")
    cost = world.manager.estimate_migration_time(OWNER, wish).estimate.cost_usd
    assert 2 * 0.02 == cost, "the one chunk is embedded again for verification"


def test_an_estimate_without_a_model_is_for_the_present_one() -> None:
    answer = World().manager.estimate_migration_time(OWNER, EstimateRequest("bot"))
    assert SMALL == answer.target


def test_an_estimate_says_so_when_the_model_does_not_answer() -> None:
    world = World()
    world.embedders.fail(ProviderUnavailable("away"), times=None)
    wish = EstimateRequest("bot", "fake", "large")
    estimate = world.manager.estimate_migration_time(OWNER, wish).estimate
    assert 0.0 == estimate.duration_seconds
    assert any("did not answer (away)" in sentence for sentence in estimate.basis)


def test_an_estimate_of_an_empty_collection_is_nothing() -> None:
    estimate = World(0).manager.estimate_migration_time(OWNER, EstimateRequest("bot")).estimate
    assert (0, 0, 0, 0.0) == (
        estimate.chunks,
        estimate.batches,
        estimate.tokens,
        estimate.duration_seconds,
    )


def test_a_start_with_progress_answers_the_first_progress() -> None:
    world = World()
    wish = StartRequest("bot", LARGE.provider, LARGE.model)
    first = world.manager.start_migration_with_progress(OWNER, wish)
    assert Status.PENDING == first.status
    world.deliver()
    later = world.manager.get_migration_progress_detailed(OWNER, first.migration_id)
    assert Status.COMPLETED == later.status
    assert world.manager.rollback_migration(OWNER, first.migration_id).created
