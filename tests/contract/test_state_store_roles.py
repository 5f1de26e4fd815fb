"""In which roles texts are embedded is kept with a bot, its runs and what they leave behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrations.model.bots import Bot, PreviousPair
from migrations.model.config import EmbeddingRef
from migrations.model.errors import MigrationInProgress, NoLongerKept
from migrations.model.requests import BotChange
from migrations.model.roles import TextRole
from migrations.model.runs import Migration
from migrations.model.states import Status
from tests.contract.state_store_world import NEW, OLD, World, a_config, a_start, undo_all

PASSAGE, QUERY = TextRole(prefix="passage: "), TextRole(prefix="query: ")
ASKED = TextRole(parameters={"input_type": "query", "truncate": True})
IN_ROLES = NEW.model_copy(update={"document_role": PASSAGE, "query_role": QUERY})


def in_roles(state: World, embedding: EmbeddingRef = IN_ROLES) -> Bot:
    bot = state.bot()
    return state.store.change_bot(
        bot.bot_id,
        BotChange(document_role=embedding.document_role, query_role=embedding.query_role),
    )


def test_roles_version_and_normalisation_are_found_as_they_were_added(state: World) -> None:
    live = OLD.model_copy(update={"query_role": ASKED, "version": "2", "normalized": True})
    previous = PreviousPair("kept", IN_ROLES, state.store.now())
    bot = state.bot(previous=previous)
    bot = state.bot("other", live=replace(bot.live, collection="other", embedding=live))
    assert live == state.store.bot("other").live.embedding
    assert previous == state.store.bot("bot").previous
    assert live.fingerprint != OLD.fingerprint


def test_a_run_and_its_switch_carry_the_roles_and_the_way_back_turns_them_round(
    state: World,
) -> None:
    bot = in_roles(state)
    source, target = bot.live.embedding, OLD.model_copy(update={"query_role": ASKED})
    migration = state.start(bot, config=a_config(source, target))
    assert (source, target) == (state.now(migration).config.source, migration.config.target)
    switched = state.switch(migration)
    assert target == switched.live.embedding
    assert switched.previous is not None
    assert source == switched.previous.embedding


def undone(state: World, target: EmbeddingRef) -> Migration:
    migration = state.start(config=a_config(target=target))
    undo_all(state, migration)
    assert state.store.keep_target(migration.id, 5, 24)
    return state.now(migration)


@pytest.mark.parametrize(("made", "wanted"), [(IN_ROLES, NEW), (NEW, IN_ROLES)])
def test_a_held_target_is_not_taken_over_by_a_run_in_other_roles(
    state: World, made: EmbeddingRef, wanted: EmbeddingRef
) -> None:
    migration = undone(state, made)
    held = state.store.kept(migration.target_collection)
    assert held is not None
    assert made == held.embedding
    start = a_start(
        state.store.bot(migration.bot_id),
        target_collection=migration.target_collection,
        target_adopted=True,
    )
    with pytest.raises(NoLongerKept):
        state.store.create(replace(start, config=a_config(target=wanted)), 3)
    taken, _ = state.store.create(replace(start, config=a_config(target=made)), 3)
    assert taken.target_adopted


def test_roles_are_changed_one_by_one_and_only_of_the_collection_that_was_looked_at(
    state: World,
) -> None:
    bot = in_roles(state)
    changed = state.store.change_bot("bot", BotChange(query_role=ASKED, of_generation=1))
    assert (PASSAGE, ASKED) == changed.live.embedding.roles
    assert changed == state.store.bot("bot")
    with pytest.raises(MigrationInProgress):
        state.store.change_bot("bot", BotChange(query_role=QUERY, of_generation=2))
    assert changed == state.store.bot("bot")
    assert bot.live.collection == changed.live.collection


def test_roles_are_not_changed_while_a_run_works_with_them(state: World) -> None:
    migration = state.reach(Status.RUNNING)
    with pytest.raises(MigrationInProgress):
        state.store.change_bot(migration.bot_id, BotChange(document_role=PASSAGE))
