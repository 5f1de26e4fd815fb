"""What rows say to workers of before and are told by them."""

from __future__ import annotations

from migrations.model.config import EmbeddingRef, MigrationConfig
from migrations.model.roles import TextRole
from migrations.store.records import as_config, as_manner, config_column, manner_column

PLAIN = EmbeddingRef(provider="p", model="m", dimension=3)
IN_ROLES = PLAIN.model_copy(update={"document_role": TextRole(prefix="passage: ")})


def a_config(target: EmbeddingRef) -> MigrationConfig:
    return MigrationConfig(
        bot_id="bot",
        from_provider="p",
        from_model="old",
        from_dimension=3,
        to_provider=target.provider,
        to_model=target.model,
        to_dimension=target.dimension,
        to_manner=target.manner,
    )


def test_a_switch_by_a_worker_that_knows_no_roles_leaves_none_of_another_collection() -> None:
    told = manner_column(IN_ROLES, "before")
    assert {"document_role": {"prefix": "passage: "}} == as_manner(told, "before")
    assert {} == as_manner(told, "after")
    assert {} == as_manner(None, "before")


def test_a_plain_embedding_leaves_rows_as_they_were() -> None:
    assert manner_column(PLAIN, "any") is None
    assert "m" == config_column(a_config(PLAIN))["to_model"]


def test_a_worker_that_knows_no_roles_finds_no_model_to_ask_without_them() -> None:
    column = config_column(a_config(IN_ROLES))
    assert "m" != column["to_model"]
    assert a_config(IN_ROLES) == as_config(column)


def test_a_run_of_before_is_plain() -> None:
    column = config_column(a_config(PLAIN))
    del column["from_manner"], column["to_manner"]
    assert a_config(PLAIN) == as_config(column)
