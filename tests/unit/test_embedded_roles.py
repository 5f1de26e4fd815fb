"""Model families that want documents and queries otherwise, from registration to the switch.

Six are planted in the stub provider, told of roles in their own ways; a swapped or missing
role is refused before the switch, a right one is not.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from devstack.provider import tokens_of
from migrations.model.config import EmbeddingRef
from migrations.model.errors import InvalidConfiguration, SameModel, UnknownModel, UnusualRoles
from migrations.model.gates import Gates
from migrations.model.requests import BotChange, BotRegistration, EstimateRequest, HowEmbedded
from migrations.model.roles import PLAIN, Roles, TextRole, known_roles
from migrations.model.runs import Migration
from migrations.model.states import Phase, Status
from migrations.model.texts import FieldRecipe
from tests.fakes.embedders import LARGE, SMALL, FakeEmbedders, vector_in
from tests.fakes.vector_store import TEXT_FIELD
from tests.fakes.world import OWNER, SOURCE, World, row_of

FAMILIES = {
    "E5": "intfloat/multilingual-e5-large",
    "Nomic": "nomic-embed-text-v1.5",
    "Voyage": "voyage-3-large",
    "Cohere": "embed-multilingual-v3.0",
    "Jina": "jina-embeddings-v3",
    "NIM": "nvidia/nv-embedqa-e5-v5",
}
INHOUSE = "inhouse-1"
DIMENSION = 64
_DRAWN = random.Random(0)
#: Long enough that a part of one is something else, of words that others have, too.
TEXTS = [
    " ".join(f"word{_DRAWN.randrange(300)}" for _ in range(_DRAWN.randrange(20, 50)))
    for _ in range(24)
]


def ref_of(model: str, roles: Roles | None = None) -> EmbeddingRef:
    roles = roles or known_roles(model) or Roles()
    return EmbeddingRef(
        provider="fake",
        model=model,
        dimension=DIMENSION,
        document_role=roles.documents,
        query_role=roles.queries,
    )


def a_world(old: EmbeddingRef = SMALL, *, hold_hours: int = 0, **stated: Any) -> World:
    models = {"small": 8, "large": 16, INHOUSE: DIMENSION}
    models |= dict.fromkeys(FAMILIES.values(), DIMENSION)
    # The fakes' models do not agree about which texts are alike.
    settings = {"hold_hours": hold_hours, "gates": dict.fromkeys(Gates.model_fields, 0.0)}
    return World(TEXTS, settings, embedders=FakeEmbedders(models), old=old, stated=stated)


def to(model: str, **how: Any) -> dict[str, Any]:
    return {"provider": "fake", "model": model, "batch_size": len(TEXTS), **how}


def why(migration: Migration) -> str:
    return str((migration.error or {}).get("message"))


# --- to such a model ---------------------------------------------------------------


@pytest.mark.parametrize("model", FAMILIES.values(), ids=FAMILIES)
def test_a_migration_to_it_takes_the_known_roles_and_keeps_them(model: str) -> None:
    world = a_world()
    done = world.complete(**to(model))
    assert (Status.COMPLETED, "") == (done.status, why(done) if done.error else "")
    live = world.bot.live
    assert ref_of(model) == live.embedding
    assert [] == world.wrongly_embedded(live.collection, ref_of(model))
    back = world.system.rollback(OWNER, done.id).migration
    world.deliver()
    assert Status.COMPLETED is world.now(back).status
    assert SMALL == world.bot.live.embedding


def wrong_roles(model: str) -> dict[str, dict[str, TextRole]]:
    known = known_roles(model) or Roles()
    return {
        "swapped": {"document_role": known.queries, "query_role": known.documents},
        "missing": {"document_role": PLAIN, "query_role": PLAIN},
        "no document role": {"document_role": PLAIN},
        "no query role": {"query_role": PLAIN},
        "another family's": {"document_role": TextRole(prefix="text: ")},
    }


@pytest.mark.parametrize("wrong", wrong_roles(INHOUSE))
@pytest.mark.parametrize("model", FAMILIES.values(), ids=FAMILIES)
def test_roles_that_are_not_the_known_ones_are_refused_before_anything_is_done(
    model: str, wrong: str
) -> None:
    world = a_world()
    calls = world.embedders.calls
    with pytest.raises(UnusualRoles, match="is known to take documents"):
        world.start(**to(model, **wrong_roles(model)[wrong]))
    assert (calls, 1) == (world.embedders.calls, world.bot.live.generation)
    assert world.store.latest("bot") is None


@pytest.mark.parametrize("model", [*FAMILIES.values(), INHOUSE], ids=[*FAMILIES, "in-house"])
def test_roles_that_are_swapped_show_by_the_models_own_answers(model: str) -> None:
    """Where nothing is known of the model's name, or the operator has stated it wrongly."""
    known = known_roles(model) or Roles(TextRole(prefix="doc> "), TextRole(prefix="ask> "))
    world = a_world()
    world.embedders.known_roles = lambda provider, model: None  # type: ignore[method-assign]
    swapped = {"document_role": known.queries, "query_role": known.documents}
    refused = world.complete(**to(model, **swapped))
    assert Status.ROLLED_BACK is refused.status
    assert "the wrong way round" in why(refused)
    assert SMALL == world.bot.live.embedding
    right = {"document_role": known.documents, "query_role": known.queries}
    assert Status.COMPLETED is world.complete(**to(model, **right)).status


def test_whoever_means_other_roles_may_say_so() -> None:
    world = a_world()
    known = known_roles(FAMILIES["E5"]) or Roles()
    both = {"document_role": known.queries, "unusual_roles": True}
    done = world.complete(**to(FAMILIES["E5"], **both))
    assert Status.COMPLETED is done.status
    assert (known.queries, known.queries) == world.bot.live.embedding.roles


def test_what_is_agreed_to_at_the_start_is_a_warning_of_validation() -> None:
    world = a_world()
    swapped = {"document_role": TextRole(prefix="ask> "), "query_role": TextRole(prefix="doc> ")}
    done = world.complete(**to(INHOUSE, **swapped, unusual_roles=True))
    assert Status.COMPLETED is done.status
    assert any("the wrong way round" in warning for warning in done.warnings)


def test_a_provider_that_takes_no_notice_of_a_role_is_warned_of() -> None:
    world = a_world()
    ignored = {"document_role": TextRole(parameters={"x": 1})}
    done = world.complete(**to("large", **ignored))
    assert Status.COMPLETED is done.status
    assert any("takes no notice of the roles" in warning for warning in done.warnings)


def test_a_role_that_the_provider_refuses_ends_the_run_with_the_way_out() -> None:
    world = a_world()
    wrong = TextRole(parameters={"input_type": "sentence"})
    refused = world.complete(**to(FAMILIES["NIM"], query_role=wrong, unusual_roles=True))
    assert Status.ROLLED_BACK is refused.status
    assert "must be one of passage, query" in why(refused)
    assert "state other roles" in why(refused)


def test_a_model_without_roles_costs_no_question_more() -> None:
    world = a_world()
    validation = world.manager.validate_change(OWNER, "bot", "fake", "large").report
    assert "roles" not in [check.name for check in validation.checks]


def test_an_operators_word_counts_for_more_than_what_is_known_of_a_name() -> None:
    world = a_world()
    own = Roles(TextRole(prefix="ours: "), PLAIN)
    world.embedders.stated_roles[FAMILIES["E5"]] = own
    world.complete(**to(FAMILIES["E5"]))
    assert own == world.bot.live.embedding.roles


# --- from such a model -------------------------------------------------------------


@pytest.mark.parametrize("model", FAMILIES.values(), ids=FAMILIES)
def test_a_bot_of_it_is_known_by_its_vectors_and_goes_there_and_back(model: str) -> None:
    world = a_world(ref_of(model))
    assert ref_of(model) == world.bot.live.embedding
    done = world.complete(**to("large"))
    assert Status.COMPLETED is done.status
    back = world.system.rollback(OWNER, done.id).migration
    world.deliver()
    assert Status.COMPLETED is world.now(back).status
    assert ref_of(model) == world.bot.live.embedding


@pytest.mark.parametrize("model", [FAMILIES["E5"], FAMILIES["Voyage"]])
def test_a_bot_that_was_embedded_without_roles_stays_plain(model: str) -> None:
    plain = ref_of(model, Roles())
    world = a_world(plain)
    assert plain == world.bot.live.embedding
    assert Status.COMPLETED is world.complete(**to("large")).status


def test_words_found_before_each_text_of_an_unknown_model_are_the_role_of_its_documents() -> None:
    passages = Roles(TextRole(prefix="passage: "), TextRole(prefix="query: "))
    world = a_world()
    rows = [row_of(i, text, ref_of(INHOUSE, passages)) for i, text in enumerate(TEXTS)]
    world.vectors.seed("inhouse", rows, DIMENSION)
    bot = world.system.register_bot(OWNER, BotRegistration("in", "inhouse", "fake", INHOUSE))
    assert (ref_of(INHOUSE, passages), FieldRecipe(field=TEXT_FIELD)) == (
        bot.live.embedding,
        bot.recipe,
    )


@pytest.mark.parametrize("which", ["swapped", "missing"])
@pytest.mark.parametrize("model", FAMILIES.values(), ids=FAMILIES)
def test_a_role_stated_of_a_bot_that_its_vectors_contradict_is_refused(
    model: str, which: str
) -> None:
    """At registration where the text is to be found, at validation where it is stated."""
    role = wrong_roles(model)[which]["document_role"]
    world = a_world(ref_of(model), document_role=role)
    refused = world.complete(**to("large"))
    assert (Status.ROLLED_BACK, 1) == (refused.status, world.bot.live.generation)
    world.vectors.seed("again", [row_of(0, TEXTS[0], ref_of(model))], DIMENSION)
    wish = BotRegistration("again", "again", "fake", model, document_role=role)
    with pytest.raises(InvalidConfiguration):
        world.system.register_bot(OWNER, wish)


def test_a_query_role_unlike_the_known_one_needs_somebody_who_means_it() -> None:
    model = FAMILIES["E5"]
    with pytest.raises(UnusualRoles):
        a_world(ref_of(model), query_role=PLAIN)
    world = a_world(ref_of(model), query_role=PLAIN, unusual_roles=True)
    assert PLAIN == world.bot.live.embedding.query_role


def test_roles_of_a_model_that_does_not_answer_are_left_to_validation() -> None:
    world = a_world()
    world.embedders.without_key("fake")
    rows = [row_of(i, text, ref_of(FAMILIES["E5"])) for i, text in enumerate(TEXTS)]
    world.vectors.seed("gone", rows, DIMENSION)
    text = FieldRecipe(field=TEXT_FIELD)
    wish = BotRegistration("gone", "gone", "fake", FAMILIES["E5"], recipe=text)
    assert Roles() == world.system.register_bot(OWNER, wish).live.embedding.roles


def test_what_was_tried_is_said_where_no_role_fits() -> None:
    world = a_world()
    world.vectors.seed("other", [row_of(i, t, LARGE) for i, t in enumerate(TEXTS)], 16)
    world.embedders.models[FAMILIES["E5"]] = 16
    with pytest.raises(InvalidConfiguration, match=r"'passage: …'; plain; 'query: …'"):
        world.system.register_bot(OWNER, BotRegistration("other", "other", "fake", FAMILIES["E5"]))


# --- the same and not the same -----------------------------------------------------


def test_the_bots_own_model_is_the_same_unless_another_role_is_stated() -> None:
    plain = ref_of(FAMILIES["E5"], Roles())
    world = a_world(plain)
    with pytest.raises(SameModel):
        world.start(**to(plain.model))
    known = known_roles(plain.model) or Roles()
    with pytest.raises(UnusualRoles):
        world.start(**to(plain.model, document_role=known.documents))
    newer = world.complete(**to(plain.model, version="2"))
    assert plain.model_copy(update={"version": "2"}) == world.now(newer).config.target
    wish = {"document_role": known.documents, "query_role": known.queries}
    done = world.complete(**to(plain.model, **wish))
    assert Status.COMPLETED is done.status
    assert (known, "2") == (world.bot.live.embedding.roles, world.bot.live.embedding.version)
    assert [] == world.wrongly_embedded(world.bot.live.collection, ref_of(plain.model))


def test_a_held_target_is_adopted_by_a_run_in_the_same_roles_alone() -> None:
    world, model = a_world(hold_hours=24), FAMILIES["E5"]
    first = world.start_at(Phase.VERIFICATION, **to(model))
    world.system.cancel(OWNER, "bot")
    world.deliver()
    assert Status.ROLLED_BACK is world.now(first).status
    plain = {"document_role": PLAIN, "query_role": PLAIN, "unusual_roles": True}
    other = world.start(**to(model, **plain))
    assert not other.target_adopted
    world.system.cancel(OWNER, "bot")
    world.deliver()
    assert world.start(**to(model)).target_adopted


def test_the_words_of_a_role_are_counted_where_tokens_are() -> None:
    world = a_world()
    long = TextRole(prefix="x" * 400)
    plain = world.manager.estimate_migration_time(OWNER, EstimateRequest("bot", "fake", "large"))
    wordy = world.manager.estimate_migration_time(
        OWNER, EstimateRequest("bot", "fake", "large", document_role=long)
    )
    a_text = sum(map(tokens_of, TEXTS)) / len(TEXTS)
    # All and verification's sample with the words; as questions without them verification's
    # sample and what validation asks of so few.
    documents, questions = 2 * len(TEXTS), len(TEXTS) + 2 * len(TEXTS)
    more = wordy.estimate.tokens - plain.estimate.tokens
    assert more == pytest.approx(100 * documents + a_text * questions, rel=0.02)
    assert f"{questions} texts as questions" in wordy.estimate.basis[0]


def test_a_text_must_leave_room_for_the_words_of_its_role() -> None:
    world = a_world()
    world.embedders.max_input_tokens = max(len(text) for text in TEXTS) // 4 + 2
    fits = world.manager.validate_change(OWNER, "bot", "fake", "large").report
    role = HowEmbedded(document_role=TextRole(prefix="x" * 40))
    wordy = world.manager.validate_change(OWNER, "bot", "fake", "large", how=role).report
    texts = [next(c for c in report.checks if c.name == "texts") for report in (fits, wordy)]
    assert [True, False] == [check.passed for check in texts]


def test_a_row_without_a_text_is_not_embedded_as_the_words_of_its_role() -> None:
    world = a_world()
    world.vectors.put(SOURCE, row_of("empty", "anything", SMALL) | {"text": ""})
    done = world.complete(**to(FAMILIES["E5"], max_failed_ratio=0.5))
    assert Status.COMPLETED is done.status
    assert "empty" not in world.texts_of(world.bot.live.collection)


def test_a_change_of_roles_must_prove_itself_by_the_vectors() -> None:
    model = FAMILIES["E5"]
    known = known_roles(model) or Roles()
    world = a_world(ref_of(model), document_role=PLAIN)
    with pytest.raises(InvalidConfiguration):
        world.system.change_bot(OWNER, "bot", BotChange(document_role=known.queries))
    changed = world.system.change_bot(
        OWNER, "bot", BotChange(document_role=known.documents, query_role=known.queries)
    )
    assert ref_of(model) == changed.live.embedding
    with pytest.raises(UnusualRoles):
        world.system.change_bot(OWNER, "bot", BotChange(query_role=known.documents))


def test_normalised_vectors_have_length_one_whatever_the_model_answers() -> None:
    world = a_world()
    answer = world.embedders.answer

    def longer(*asked: Any) -> Any:
        embedded = answer(*asked)
        embedded.vectors[:] *= 3
        return embedded

    world.embedders.answer = longer  # type: ignore[method-assign]
    done = world.complete(**to("large", normalized=True))
    assert Status.COMPLETED is done.status
    collection = world.bot.live.collection
    lengths = {round(float((c.vector**2).sum()), 4) for c in world._chunks(collection)}
    assert {1.0} == lengths
    assert world.bot.live.embedding.normalized


def test_a_question_is_asked_in_the_query_role(monkeypatch: pytest.MonkeyPatch) -> None:
    world = a_world()
    asked: list[bytes] = []
    search = world.vectors.search

    def listening(schema: Any, queries: Any, **how: Any) -> Any:
        asked.extend(query.tobytes() for query in queries)
        return search(schema, queries, **how)

    monkeypatch.setattr(world.vectors, "search", listening)
    ref = ref_of(FAMILIES["Jina"])
    world.complete(**to(ref.model))
    as_queries = {vector_in(ref, text, ref.query_role).tobytes() for text in TEXTS}
    assert as_queries <= set(asked)


def test_a_model_that_is_gone_is_not_needed_to_ask_the_old_collection() -> None:
    world = a_world(ref_of(FAMILIES["E5"]))
    world.embedders.fail(UnknownModel("gone"), times=None, model=FAMILIES["E5"])
    done = world.complete(**to("large", unproven_text=True))
    assert Status.COMPLETED is done.status
    (asked,) = [c for c in (done.verification or {})["checks"] if c["name"] == "retrieval"]
    assert (len(TEXTS), 1.0) == (asked["details"]["queries"], asked["details"]["recall_before"])


def test_roles_that_were_the_wrong_way_round_before_do_not_bar_the_way_back() -> None:
    exchanged = Roles(TextRole(prefix="ask> "), TextRole(prefix="doc> "))
    stated = {"document_role": exchanged.documents, "query_role": exchanged.queries}
    world = a_world(ref_of(INHOUSE, exchanged), **stated)
    done = world.complete(**to("large"))
    assert Status.COMPLETED is done.status
    back = world.system.rollback(OWNER, done.id).migration
    world.deliver()
    assert Status.COMPLETED is world.now(back).status
    assert exchanged == world.bot.live.embedding.roles
