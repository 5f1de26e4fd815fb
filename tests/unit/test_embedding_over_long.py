"""Texts longer than the model takes: each policy does what it says, and says that it did."""

from __future__ import annotations

import numpy as np
import pytest

from devstack.provider import tokens_of, vector_for
from migrations.embedding.over_long import CUT_TO, Parts, Policy, combined, cut, is_over_long
from migrations.model.config import OverLong
from migrations.model.errors import InvalidVectors, TextRefused, TextTooLong
from migrations.model.runs import LONGEST_INPUT, Migration
from migrations.model.states import Phase, Status
from tests.fakes.embedders import LARGE
from tests.fakes.world import OWNER, SOURCE, World

LIMIT = 50  # tokens, of which the fakes count one for four characters
LONG = "some words and more " * 41  # in pieces of unlike length


def world_with(*texts: str) -> World:
    world = World(list(texts))
    world.embedders.max_input_tokens = LIMIT
    return world


def completed(world: World, over_long: OverLong) -> dict:  # type: ignore[type-arg]
    """Vectors of the target by key."""
    migration = world.complete(over_long=over_long)
    assert Status.COMPLETED == migration.status, migration.error
    schema = world.vectors.describe(migration.target_collection)
    pages = world.vectors.scan(schema, with_vectors=True)
    return {c.key: c.vector for page in pages for c in page}


def warnings(world: World) -> list[str]:
    found = world.store.latest("bot")
    assert found is not None
    return [w for w in found.warnings if "longer than" in w]


# --- a migration ----------------------------------------------------------------


def test_by_default_an_over_long_text_stops_the_migration_before_anything_is_paid() -> None:
    world = world_with("short", LONG)
    migration = world.complete()
    assert Status.ROLLED_BACK == migration.status
    assert "1 longer than the model takes" in migration.error["message"]
    assert 0 == world.embedders.embedded[LARGE.model, "short"]


def test_a_refused_text_is_recorded_and_never_sent_when_failures_are_allowed() -> None:
    world = world_with("short", LONG, "other")
    migration = world.complete(max_failed_ratio=0.5)
    assert Status.COMPLETED == migration.status
    assert {"k000": "short", "k002": "other"} == world.texts_of(migration.target_collection)
    assert ["text-too-long"] == [c.code for c in world.store.failed_chunks(migration.id, 10)]
    assert 0 == world.embedders.embedded[LARGE.model, LONG]


def test_truncated_texts_are_embedded_by_their_beginning_and_counted() -> None:
    world = world_with("short", LONG)
    vectors = completed(world, OverLong.TRUNCATE)
    beginning = cut(LONG, int(LIMIT * CUT_TO), tokens_of)[0]
    np.testing.assert_array_equal(
        vector_for(LARGE.model, beginning, LARGE.dimension), vectors["k001"]
    )
    told = warnings(world)
    assert 1 == len(told)
    assert told[0].startswith("1 texts are longer than the 50 tokens")
    assert "beginning" in told[0]


def test_split_texts_get_the_mean_of_their_pieces_weighted_by_tokens() -> None:
    world = world_with("short", LONG)
    vectors = completed(world, OverLong.SPLIT)
    pieces = cut(LONG, int(LIMIT * CUT_TO), tokens_of)
    mean = np.average(
        [vector_for(LARGE.model, piece, LARGE.dimension) for piece in pieces],
        axis=0,
        weights=[tokens_of(piece) for piece in pieces],
    )
    np.testing.assert_allclose(mean / np.linalg.norm(mean), vectors["k001"], rtol=1e-5)
    assert 1 == pytest.approx(float(np.linalg.norm(vectors["k001"])), abs=1e-6)
    assert "pieces" in warnings(world)[0]


def test_the_whole_text_stays_in_the_target_whatever_was_embedded() -> None:
    world = world_with("short", LONG)
    migration = world.complete(over_long=OverLong.TRUNCATE)
    assert world.texts_of(SOURCE) == world.texts_of(migration.target_collection)


def test_a_piece_the_provider_refuses_refuses_its_text_and_no_other() -> None:
    world = world_with("short", LONG + "poison " + LONG, "other")
    world.embedders.refuse("poison")
    migration = world.complete(over_long=OverLong.SPLIT, max_failed_ratio=0.5)
    assert {"k000": "short", "k002": "other"} == world.texts_of(migration.target_collection)


def test_a_long_text_written_meanwhile_is_warned_of() -> None:
    world = world_with("short")
    migration = world.start(over_long=OverLong.TRUNCATE)
    world.deliver(before="migrations.catch_up")
    assert [] == warnings(world)
    world.write("z", LONG)
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status
    assert 1 == len(warnings(world))


def test_a_text_at_the_limit_is_sent_as_it_is() -> None:
    exact = "abcd" * LIMIT
    world = world_with(exact)
    completed(world, OverLong.TRUNCATE)
    assert 1 <= world.embedders.embedded[LARGE.model, exact]
    assert [] == warnings(world)


# --- a model that takes less than is known ------------------------------------------

REALLY = 20
LONGER = [f"number {i} " + LONG[i:] for i in range(12)]


def with_less(*texts: str, over_long: OverLong) -> tuple[World, Migration]:
    world = World(["short", *texts])
    world.embedders.takes[LARGE.model] = REALLY
    return world, world.complete(over_long=over_long)


@pytest.mark.parametrize("over_long", [OverLong.TRUNCATE, OverLong.SPLIT])
def test_what_is_refused_for_its_length_is_cut_shorter_and_the_limit_is_learned(
    over_long: OverLong,
) -> None:
    world, migration = with_less(*LONGER, over_long=over_long)
    assert Status.COMPLETED == migration.status, migration.error
    assert 13 == len(world.texts_of(migration.target_collection))
    assert any("max_input_tokens" in warning for warning in migration.warnings)
    assert REALLY / 2 < migration.totals[LONGEST_INPUT] <= REALLY / CUT_TO
    # Ten steps of three quarters lie between what the first text has and what is taken.
    futile = world.embedders.calls - len(world.embedders.embedded)
    assert futile < 30, "once learned, nothing is asked for in vain"


def test_shortened_texts_are_not_judged_by_a_worker_that_would_cut_them_otherwise() -> None:
    world = World(["short", *LONGER])
    world.embedders.takes[LARGE.model] = REALLY
    migration = world.start(over_long=OverLong.TRUNCATE)
    world.deliver(before="migrations.phase.verification")
    world.services.standings.of(LARGE).longest_input = 11  # of another text, that was refused again
    world.deliver()
    assert Status.COMPLETED == world.now(migration).status, world.now(migration).error
    assert any("12 more were shortened" in message for message in judged(world, migration))


def judged(world: World, migration: Migration) -> list[str]:
    return [check["message"] for check in (world.now(migration).verification or {})["checks"]]


def test_a_wrong_vector_of_a_short_text_is_found_beside_shortened_ones() -> None:
    world = World(["short", *LONGER])
    world.embedders.takes[LARGE.model] = REALLY
    migration = world.start(over_long=OverLong.TRUNCATE)
    world.deliver(before="migrations.phase.verification")
    row = {"pk": "k000", "text": "short", "vector": vector_for("large", "another", LARGE.dimension)}
    world.vectors.put(migration.target_collection, row)
    world.deliver()
    assert Status.ROLLED_BACK == world.now(migration).status


def test_a_text_may_not_be_shortened_unasked() -> None:
    world, migration = with_less(LONG, over_long=OverLong.REFUSE)
    assert Status.ROLLED_BACK == migration.status
    assert LONGEST_INPUT not in migration.totals
    assert "number of tokens" in str(world.store.failed_chunks(migration.id))


def test_a_text_that_is_refused_however_short_is_a_failed_chunk() -> None:
    world = World(["short", "poison " + LONG])
    world.embedders.fail(TextTooLong("Too many tokens."), times=None, containing="poison")
    migration = world.complete(over_long=OverLong.TRUNCATE, max_failed_ratio=0.5)
    assert Status.COMPLETED == migration.status
    assert ["k001"] == [chunk.key for chunk in world.store.failed_chunks(migration.id)]


def test_a_target_whose_texts_were_cut_nobody_knows_where_is_not_taken_over() -> None:
    world = World(["short", *LONGER], settings={"hold_hours": 24})
    world.embedders.takes[LARGE.model] = REALLY
    first = world.start(over_long=OverLong.TRUNCATE)
    world.deliver(before="migrations.phase.verification")
    world.system.cancel(OWNER, "bot")
    world.deliver()
    assert not world.start(over_long=OverLong.TRUNCATE).target_adopted
    assert world.store.kept(first.target_collection) is not None


# --- the rules ------------------------------------------------------------------


def test_a_text_of_few_characters_and_many_tokens_is_over_long() -> None:
    assert is_over_long("漢" * 30, 50, lambda text: len(text.encode()))


def test_where_no_limit_is_known_nothing_is_over_long() -> None:
    policy = Policy(OverLong.REFUSE, None, tokens_of)
    assert Parts((LONG,)) == policy.parts(LONG)


def test_refusing_says_what_could_be_done() -> None:
    with pytest.raises(TextRefused, match=r"truncate.*split"):
        Policy(OverLong.REFUSE, LIMIT, tokens_of).parts(LONG)


@pytest.mark.parametrize("text", [LONG, "x" * 1000, "漢字" * 300, "a\n\n" + " " * 900 + "b" * 300])
def test_pieces_are_within_the_limit_and_lose_nothing_but_blanks(text: str) -> None:
    pieces = cut(text, 40, tokens_of)
    assert max(map(tokens_of, pieces)) <= 40
    assert "".join(text.split()) == "".join("".join(pieces).split())


def test_pieces_end_at_words_where_there_are_some() -> None:
    pieces = cut(LONG, 40, tokens_of)
    words = set(LONG.split())
    assert all(set(piece.split()) <= words for piece in pieces)


def test_a_text_of_blanks_alone_is_one_piece() -> None:
    assert 1 == len(cut(" " * 1000, 40, tokens_of))


def test_pieces_that_cancel_each_other_out_have_no_vector() -> None:
    one = np.array([1.0, 0.0], dtype=np.float32)
    with pytest.raises(InvalidVectors):
        combined(Parts(("a", "b"), (1, 1)), {"a": one, "b": -one})


def test_verification_embeds_again_by_the_same_policy() -> None:
    world = world_with("short", LONG)
    migration = world.start(over_long=OverLong.SPLIT)
    world.deliver()
    found = world.now(migration)
    assert Phase.VERIFICATION in found.completed_phases
    assert found.verification is not None
    passed = {c["name"]: c["passed"] for c in found.verification["checks"]}
    assert passed["vectors_of_their_text"]
