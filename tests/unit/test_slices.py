"""Slices by a field: what ruins one part of a collection is not hidden by the whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from migrations.model.chunks import Chunk
from migrations.model.report import Check
from migrations.model.runs import Migration
from migrations.model.states import Status
from migrations.proof.not_compared import checks_of, not_compared
from migrations.proof.slices import (
    LONGEST_VALUE,
    MOST_SLICES,
    MOST_VALUES,
    OF_EACH,
    Slices,
    value_of,
)
from tests.fakes.api_client import Api
from tests.fakes.world import OWNER, SOURCE, World, row_of
from tests.unit.test_neighbourhoods import Kin

RUINED = "de"


def a_world(
    languages: Sequence[str | None], reads: Callable[[str], str] = str, sample: int = 400
) -> World:
    """A chunk in each of these languages; the new model reads what ``reads`` makes of it."""
    world = World(1, settings={"verify_sample": sample}, embedders=Kin(reads))
    world.vectors.remove(SOURCE, "k000")
    for i, language in enumerate(languages):
        fields = (
            {} if language is None else {"lang": language, "meta": {"of": [{}, language][i % 2]}}
        )
        world.write(f"k{i:04}", f"{language} text {i}", **fields)
    return world


def unknown(text: str) -> str:
    """All texts of one language look alike."""
    return RUINED if text.startswith(RUINED) else text


def shuffled(text: str) -> str:
    """Texts of one language are told apart, by nothing of what they say."""
    return text[::-1] * 2 + "?" if text.startswith(RUINED) else text


def details(migration: Migration) -> list[dict[str, Any]]:
    (one,) = [check for check in checks_of(migration) if check.name == "slices"]
    return list(one.details["slices"])


def failed(migration: Migration) -> list[Check]:
    return [check for check in checks_of(migration) if not check.passed]


FEW = ["en"] * 230 + [RUINED] * 20
SOME = ["en"] * 200 + [RUINED] * 60


@pytest.mark.parametrize(
    ("languages", "reads", "gate"),
    [
        (FEW, unknown, "recall among lang 'de'"),
        (SOME, shuffled, "neighbourhood_overlap among lang 'de'"),
    ],
    ids=["all alike", "told apart by nothing"],
)
def test_a_ruined_language_passes_the_whole_and_is_refused_by_its_slice(
    languages: Sequence[str], reads: Callable[[str], str], gate: str
) -> None:
    unseen = a_world(languages, reads).complete(batch_size=100)
    assert Status.COMPLETED == unseen.status, unseen.decision or unseen.error

    world = a_world(languages, reads)
    seen = world.complete(batch_size=100, slice_by="lang")
    assert Status.WAITING == seen.status
    assert [gate] == seen.decision["waits_for"]
    assert all("lang 'de'" in check.message for check in failed(seen))
    assert SOURCE == world.bot.live.collection


def test_what_is_accepted_of_one_slice_is_not_accepted_of_another() -> None:
    both = {"de": "de", "fr": "fr"}
    world = a_world(FEW, lambda text: both.get(text[:2], text))
    held = world.complete(batch_size=100, slice_by="lang")
    for i in range(20):
        world.write(f"m{i:04}", f"fr text {i}", lang="fr")
    world.system.accept(OWNER, held.id, "Nobody asks in German.")
    world.settle()
    again = world.now(held)
    assert Status.WAITING == again.status
    assert ["recall among lang 'fr'"] == again.decision["waits_for"]


def test_a_small_slice_is_looked_at_whole_beside_the_sample_that_speaks_for_all() -> None:
    migration = a_world(FEW, sample=100).complete(batch_size=100, slice_by="lang")
    assert Status.COMPLETED == migration.status, migration.decision
    english, german = details(migration)
    assert ("en", 230) == (english["value"], english["rows"])
    assert ("de", 20, 20) == (german["value"], german["rows"], german["sampled"])
    found = {check.name: check.details for check in checks_of(migration)}
    assert 100 == found["vectors"]["at_random"] == found["retrieval"]["queries"]
    assert 100 < found["vectors"]["sampled"]
    assert 100 == found["neighbourhoods"]["compared"]


def test_of_a_slice_that_is_too_small_it_is_said() -> None:
    migration = a_world(["en"] * 60 + ["de"] * 3).complete(batch_size=100, slice_by="lang")
    assert Status.COMPLETED == migration.status
    _, german = details(migration)
    assert (None, None) == (german["neighbourhoods"], german["recall_after"])
    checks = checks_of(migration)
    (told,) = [check.message for check in checks if check.name == "slices"]
    assert "'de', 3 rows, 3 looked at: too small to judge" in told
    assert any("1 slices by the field 'lang', of 3 rows" in one for one in not_compared(checks))


def test_values_beyond_the_largest_are_looked_at_together() -> None:
    languages = [f"l{i % (MOST_SLICES + 5)}" for i in range(4 * (MOST_SLICES + 5))]
    *largest, rest = details(a_world(languages).complete(batch_size=100, slice_by="lang"))
    assert MOST_SLICES == len(largest)
    assert (5, 20) == (rest["other_values"], rest["rows"])


def test_rows_without_a_value_are_a_slice_of_their_own() -> None:
    found = details(a_world(["en"] * 30 + [None] * 25).complete(batch_size=100, slice_by="lang"))
    assert [("en", 30), (None, 25)] == [(one["value"], one["rows"]) for one in found]


def test_a_path_into_json_divides_too() -> None:
    found = details(a_world(["en"] * 60).complete(batch_size=100, slice_by="meta.of"))
    assert {(None, 30), ("en", 30)} == {(one["value"], one["rows"]) for one in found}


@pytest.mark.parametrize(
    ("field", "sentence"),
    [("nowhere", "in no row"), ("meta", "in no row"), ("text", "more than 1000 values")],
)
def test_a_field_that_divides_nothing_is_refused_before_the_run(field: str, sentence: str) -> None:
    world = a_world(["en"] * (MOST_VALUES + 2 if field == "text" else 30))
    migration = world.complete(batch_size=100, slice_by=field)
    assert Status.ROLLED_BACK == migration.status
    assert sentence in (migration.error or {})["message"]


def test_the_way_back_is_not_held_by_slices() -> None:
    world = a_world(["en"] * 60)
    done = world.complete(batch_size=100, slice_by="lang")
    for i in range(60):
        world.vectors.put(
            done.target_collection, {**row_of(f"k{i:04}", f"en text {i}", world.bot.live.embedding)}
        )
    world.system.rollback(OWNER, done.id)
    world.settle()
    assert Status.ROLLED_BACK == world.now(done).status


def test_no_more_keys_are_kept_than_are_looked_at() -> None:
    slices = Slices("lang")
    for i in range(MOST_VALUES + 10):
        slices.add(Chunk(f"v{i}", {"lang": str(i)}))
    for i in range(100):
        slices.add(Chunk(f"k{i}", {"lang": "7"}))
    assert slices.too_many
    assert (MOST_VALUES + 1, 101) == (len(slices.rows), slices.rows["7"])
    assert MOST_SLICES - 1 + OF_EACH == len(slices.keys_beside([]))


def test_a_value_is_cut_and_what_is_no_text_is_none() -> None:
    assert LONGEST_VALUE == len(value_of({"a": "x" * 99}, "a") or "")
    assert [None, None, None, "3"] == [value_of({"a": value}, "a") for value in ("", {}, ["x"], 3)]


def test_slices_are_asked_for_and_shown_over_http() -> None:
    api = Api()
    wish = {"provider": "local", "model": "wordllama-l2-supercat", "dimension": 256}
    base = "/bots/support/embeddings"
    refused = api.post(f"{base}/validate-change", json={**wish, "slice_by": "nowhere"}).json
    assert "slices" in [check["name"] for check in refused["checks"] if not check["passed"]]
    started = api.post(f"{base}/start-migration", json={**wish, "slice_by": "page"}).json
    api.world.settle()
    path = f"/embeddings/migration/{started['migration']['migration_id']}/report"
    report = api.get(path).json
    (told,) = [check["details"] for check in report["checks"] if check["name"] == "slices"]
    assert ("page", ["1"]) == (told["field"], [one["value"] for one in told["slices"]])
    page = api.get(path, query_string={"format": "html"}).text
    assert "Slices by <code>page</code>" in page
