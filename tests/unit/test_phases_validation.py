"""The first phase: each thing that stands in the way has its sentence, and nothing is touched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from devstack.provider import vector_for
from migrations.model.errors import (
    DimensionMismatch,
    ProviderAuthenticationFailed,
    ProviderRateLimited,
    ProviderUnavailable,
    ValidationFailed,
    VectorStoreUnavailable,
)
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.phases import backup_creation, validation
from migrations.proof.preflight import examine
from tests.fakes.embedders import LARGE, SMALL, FakeEmbedders
from tests.fakes.world import ALIAS, OWNER, SOURCE, World


def refusal(world: World, **changes: object) -> str:
    """The sentence with which a started migration's validation ends."""
    migration = world.start(**changes)
    with pytest.raises(ValidationFailed) as raised:
        validation.execute(world.run_of(migration))
    return raised.value.message


def warnings(world: World) -> list[str]:
    found: list[str] = validation.execute(world.run_of(world.start())).warnings
    return found


def test_a_bot_without_faults_passes_without_warnings_as_often_as_it_is_asked() -> None:
    world = World()
    run = world.run_of(world.start())
    before = world.contents(SOURCE)
    first, second = validation.execute(run), validation.execute(run)
    assert [] == first.warnings == second.warnings
    assert first == second
    assert before == world.contents(SOURCE)


def test_a_redis_that_evicts_is_warned_of_and_one_that_is_away_is_not_asked_twice() -> None:
    world = World()
    world.checkpoints.evicts_by = "allkeys-lru"
    (warning,) = warnings(world)
    assert "maxmemory-policy allkeys-lru" in warning
    away = World()
    run = away.run_of(away.start())
    away.checkpoints.reachable = False
    assert [] == validation.execute(run).warnings


@pytest.mark.parametrize("phase", [validation, backup_creation])
def test_undoing_it_changes_nothing_whether_it_ran_or_not(phase: object) -> None:
    world = World()
    run = world.run_of(world.start())
    before = world.contents(SOURCE), world.vectors.names(), world.bot
    phase.undo(run)  # type: ignore[attr-defined]
    phase.execute(run)  # type: ignore[attr-defined]
    phase.undo(run)  # type: ignore[attr-defined]
    assert before == (world.contents(SOURCE), world.vectors.names(), world.bot)


def test_a_source_that_is_gone_is_refused() -> None:
    world = World()
    world.vectors.drop(SOURCE)
    assert "no collection or alias 'source'" in refusal(world)


def test_a_source_that_milvus_forgets_while_it_is_examined_is_loaded_again() -> None:
    world = World()
    migration = world.start_at(Phase.VALIDATION)
    forget = lambda: world.vectors.release(SOURCE)  # noqa: E731
    world.vectors.before("describe", forget)
    world.settle()
    assert Status.COMPLETED == world.now(migration).status


def test_a_source_that_a_restarted_milvus_has_forgotten_is_loaded() -> None:
    world = World()
    world.vectors.release(SOURCE)
    world.complete()
    assert world.vectors.is_loaded(SOURCE)


def test_a_source_that_is_not_loaded_is_a_finding_beforehand() -> None:
    world = World()
    world.vectors.release(SOURCE)
    report = examine(world.errand(), world.bot, LARGE).report
    assert ["The collection is not loaded; load it first."] == [
        check.message for check in report.errors
    ]


def test_a_source_of_another_dimension_than_registered_is_refused() -> None:
    world = World()
    held = world.vectors._collections[SOURCE]
    held.schema = replace(held.schema, dimension=9)
    expected = "The collection holds 9 dimensions; the bot is registered with 8."
    assert expected in refusal(world)


def test_a_schema_that_cannot_be_carried_over_is_refused_with_its_reasons() -> None:
    world = World()
    held = world.vectors._collections[SOURCE]
    held.schema = replace(held.schema, unsupported=("It has two vector fields.",))
    assert "It has two vector fields." in refusal(world)


def test_a_key_that_the_provider_refuses_is_refused() -> None:
    world = World()
    world.embedders.fail(ProviderAuthenticationFailed("The key is refused."))
    assert "The key is refused." == refusal(world)


def test_a_model_that_answers_with_another_dimension_is_refused() -> None:
    world = World()
    world.embedders.fail(DimensionMismatch("16 were wanted, 15 came."))
    assert "16 were wanted, 15 came." == refusal(world)


def test_a_model_that_does_not_answer_is_waited_for() -> None:
    world = World()
    migration = world.start(retry_delay=5.0)
    world.embedders.fail(ProviderUnavailable(), times=5)
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert world.clock.monotonic() > 60


def test_a_milvus_that_does_not_answer_is_waited_for() -> None:
    world = World()
    world.vectors.fail("describe", VectorStoreUnavailable(), times=5)
    assert [] == warnings(world)


@pytest.mark.parametrize(("ratio", "passes"), [(0.0, False), (0.19, False), (0.2, True)])
def test_empty_texts_are_refused_beyond_the_permitted_ratio(ratio: float, passes: bool) -> None:
    world = World(["", "", *[f"text {i}" for i in range(8)]])
    if passes:
        validation.execute(world.run_of(world.start(max_failed_ratio=ratio)))
    else:
        assert "10 texts: 2 empty" in refusal(world, max_failed_ratio=ratio)


def test_a_text_longer_than_the_model_takes_is_refused() -> None:
    world = World(["x" * (4 * 8192 + 1), "text"])
    assert "1 longer than the model takes" in refusal(world)


def test_a_text_as_long_as_the_model_takes_passes() -> None:
    assert [] == warnings(World(["x" * (4 * 8192), "text"]))


def test_all_that_is_wrong_is_said_at_once() -> None:
    world = World()
    held = world.vectors._collections[SOURCE]
    held.schema = replace(held.schema, dimension=9)
    world.embedders.fail(ProviderAuthenticationFailed("The key is refused."))
    sentence = refusal(world)
    assert "holds 9 dimensions" in sentence
    assert "The key is refused." in sentence


def test_a_strayed_alias_is_a_warning() -> None:
    world = World()
    world.vectors.seed("elsewhere", [], SMALL.dimension)
    world.vectors.point_alias(ALIAS, "elsewhere")
    assert ["does not point to 'source'"] == [
        warning[len("The alias 'live' ") :].split(";")[0] for warning in warnings(world)
    ]


def embedded_as(world: World, places: range, text: str) -> None:
    """The source's rows at these places get the vector of another text."""
    for i in places:
        key = f"k{i:03}"
        fields, _ = world.contents(SOURCE)[key]
        world.vectors.put(SOURCE, {**fields, "vector": vector_for("small", text.format(i), 8)})


def test_a_text_field_that_is_not_what_was_embedded_is_refused() -> None:
    world = World()
    embedded_as(world, range(12), "title {}")
    assert "of 12 chunks with a median cosine of" in refusal(world)
    assert "'text' may not be the text that was embedded" in refusal(World(12, embedders=Drifted()))


class Drifted(FakeEmbedders):
    """The model "small" no longer answers quite what it did when the vectors were made."""

    def answer(self, ref, texts):  # type: ignore[no-untyped-def]
        answer = super().answer(ref, texts)
        if ref != SMALL:
            return answer
        drifts = [vector_for("drift", text, ref.dimension) for text in texts]
        return replace(answer, vectors=(answer.vectors + 0.08 * np.array(drifts)).astype("f4"))


def test_what_would_refuse_the_way_back_is_refused_before_the_switch() -> None:
    """A title or prefix leaves such a cosine, which verification of the way back would refuse."""
    world = World(embedders=Drifted())
    migration = world.complete()
    assert Status.ROLLED_BACK == migration.status
    assert "validation-failed" == (migration.error or {})["code"]
    assert 0.98 < _median(migration) < 0.999


def _median(migration: Migration) -> float:
    (check,) = [c for c in (migration.error or {})["details"]["checks"] if c["name"] == "fidelity"]
    return float(check["details"]["median_cosine"])


def test_fewer_than_half_that_are_not_of_their_text_are_a_warning_with_their_number() -> None:
    world = World()
    embedded_as(world, range(5), "title {}")
    (warning,) = warnings(world)
    assert "with a median cosine of 1.0000; 5 are below 0.999." in warning


def test_the_sample_is_taken_from_everywhere_and_not_from_the_first_page() -> None:
    world = World(4_100)  # a page has 4,000
    for i in range(1_000, 4_100):
        vector = vector_for("small", f"title {i}", 8)
        world.vectors.put(SOURCE, {"pk": f"k{i:03}", "text": f"text {i}", "vector": vector})
    assert "of 50 chunks with a median cosine of" in refusal(world)


def test_a_text_that_the_old_model_refuses_does_not_hide_the_others() -> None:
    world = World()
    embedded_as(world, range(12), "title {}")
    world.embedders.refuse("text 7")
    assert "of 11 chunks with a median cosine of" in refusal(world)


def test_texts_that_are_all_longer_than_the_old_model_takes_prove_nothing() -> None:
    world = World(["x" * (4 * 8192 + 1), "y" * (4 * 8192 + 1)])
    migration = world.start(over_long="truncate", unproven_text=True)
    _, warning = validation.execute(world.run_of(migration)).warnings
    assert "longer than the old model takes. Nothing shows" in warning


def test_an_old_model_that_answers_with_another_dimension_is_refused() -> None:
    world = World()
    migration = world.start()
    world.embedders.fail(DimensionMismatch("8 were wanted, 9 came."), times=None, model="small")
    with pytest.raises(ValidationFailed, match="8 were wanted, 9 came"):
        validation.execute(world.run_of(migration))


def test_a_rate_limit_of_the_old_model_is_waited_out_within_a_run() -> None:
    world = World()
    embedded_as(world, range(12), "title {}")
    migration = world.start()
    limited = ProviderRateLimited("Too many requests.")
    world.embedders.fail(limited, model="small")
    with pytest.raises(ValidationFailed, match="may not be the text"):
        validation.execute(world.run_of(migration))
    world.embedders.fail(limited, times=None, model="small")
    report = examine(world.errand(), world.bot, LARGE).report
    assert ["The old model does not answer (Too many requests.)"] == [
        check.message.split(",")[0] for check in report.errors
    ]


def test_a_milvus_that_does_not_answer_is_not_taken_for_a_silent_old_model() -> None:
    world = World()
    world.vectors.fail("fetch", VectorStoreUnavailable())
    assert [] == warnings(world)


def test_without_an_old_model_somebody_has_to_answer_for_the_text() -> None:
    world = World()
    gone = ProviderUnavailable("The old one is gone.")
    world.embedders.fail(gone, times=None, model="small")
    refused = world.complete()
    assert Status.ROLLED_BACK == refused.status
    told = (refused.error or {})["message"]
    assert "The old model does not answer (The old one is gone.)" in told
    assert "Nothing shows that the text field 'text' is what was embedded" in told
    assert "start with unproven_text true" in told
    agreed = world.complete(unproven_text=True)
    assert Status.COMPLETED == agreed.status
    (warning,) = agreed.warnings
    assert "it was started with unproven_text" in warning


def test_a_way_back_needs_nobody_to_answer_for_the_text() -> None:
    world = World()
    migration = world.complete()
    world.embedders.fail(ProviderUnavailable("It is gone."), times=None, model="large")
    back = world.system.rollback(OWNER, migration.id).migration
    world.settle()
    assert Status.COMPLETED == world.now(back).status


def test_vectors_that_nearly_agree_are_faithful() -> None:
    class Rounding(FakeEmbedders):
        def answer(self, ref, texts):  # type: ignore[no-untyped-def]
            answer = super().answer(ref, texts)
            noise = np.random.default_rng(1).normal(scale=0.003, size=answer.vectors.shape)
            return replace(answer, vectors=(answer.vectors + noise).astype(np.float32))

    assert [] == warnings(World(embedders=Rounding()))


def test_what_was_mended_or_written_a_moment_ago_counts() -> None:
    world = World(["", "b"])
    world.vectors.lagging = True  # nobody sees it who does not wait for it
    world.write("k000", "mended")
    world.write("new", "new")
    migration = world.start_at(Phase.NEW_COLLECTION_CREATION)
    assert Status.RUNNING == migration.status
    info = migration.rollback_info
    assert info is not None
    assert 3 == info.chunk_count


def test_an_empty_collection_passes() -> None:
    assert [] == warnings(World(0))


def test_a_way_back_without_its_collection_is_refused() -> None:
    world = World()
    migration = world.complete()
    back = world.system.rollback(OWNER, migration.id).migration
    world.vectors.drop(SOURCE)
    world.settle()
    assert Status.ROLLED_BACK == world.now(back).status
    assert "there is nothing to go back to" in (world.now(back).error or {})["message"]


def test_the_backup_describes_what_there_was() -> None:
    world = World()
    migration = world.start_at(Phase.NEW_COLLECTION_CREATION)
    info = migration.rollback_info
    assert info is not None
    assert (SOURCE, SMALL, 1, ALIAS, 12) == (
        info.collection,
        info.embedding,
        info.generation,
        info.alias,
        info.chunk_count,
    )
    assert dict(world.vectors.describe(SOURCE).description) == info.collection_schema


def test_the_backups_digest_is_the_same_for_the_same_content_and_changes_with_any_field() -> None:
    digests = [_digest(World(["a", "b"])), _digest(World(["a", "b"]))]
    changed = World(["a", "b"])
    changed.write("k001", "b", page=2)
    assert digests[0] == digests[1]
    assert digests[0] != _digest(changed)


def test_the_backup_takes_what_validation_has_read() -> None:
    world = World()
    migration = world.start_at(Phase.BACKUP_CREATION)
    scans = world.vectors.calls["scan"]
    info = backup_creation.execute(world.run_of(migration)).info
    assert scans == world.vectors.calls["scan"]
    assert (12, _digest(World())) == (info.chunk_count, info.content_digest)


def test_the_backup_reads_for_itself_what_has_come_since_validation() -> None:
    world, same = World(["a", "b"]), World(["a", "b", "c"])
    migration = world.start_at(Phase.BACKUP_CREATION)
    world.write("k002", "c")
    info = backup_creation.execute(world.run_of(migration)).info
    assert (3, _digest(same)) == (info.chunk_count, info.content_digest)


def _digest(world: World) -> str:
    info = backup_creation.execute(world.run_of(world.start())).info
    digest: str = info.content_digest
    return digest


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([""], None),
        (["", ""], "loaded in 2 replicas; the new one"),
        (["fast"], "loaded in 1 replica, in the resource groups fast; the new one"),
    ],
)
def test_replicas_that_are_not_carried_are_warned_of(groups: list[str], words: str | None) -> None:
    world = World()
    world.vectors.replica_groups = groups
    report = world.manager.validate_change(OWNER, "bot", "fake", "large").report
    assert report.passed
    told = [check.message for check in report.warnings if check.name == "replicas"]
    assert [words is not None] * len(told) == [str(words) in message for message in told]
    assert len(told) == (words is not None)
