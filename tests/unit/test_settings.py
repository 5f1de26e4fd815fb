"""The settings: documented completely, read from the environment, silent about secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dotenv import dotenv_values
from pydantic import ValidationError

from migrations.adapters.providers import ConfiguredEmbedders
from migrations.model.roles import Roles, TextRole
from migrations.settings import ModelSettings, ProviderSettings, Settings, get_settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
REQUIRED = {
    "database_url": "postgresql+psycopg2://user:hunter2@db/reembed",
    "redis_url": "redis://:hunter2@redis/0",
    "milvus_uri": "http://milvus:19530",
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("REEMBED_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_the_example_names_every_setting_and_nothing_else() -> None:
    fields = {f"REEMBED_{name.upper()}" for name in Settings.model_fields}
    assert fields == set(dotenv_values(EXAMPLE))


def test_the_example_shows_the_defaults() -> None:
    shown = Settings(_env_file=EXAMPLE).model_dump(exclude=set(REQUIRED))
    assert shown == Settings(**REQUIRED).model_dump(exclude=set(REQUIRED))


def test_every_setting_says_what_it_means() -> None:
    fields = Settings.model_fields | ProviderSettings.model_fields
    assert [] == [name for name, field in fields.items() if not field.description]


def test_no_secret_is_shown_by_repr() -> None:
    settings = Settings(**REQUIRED, milvus_token="root:hunter2")
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings.model_dump())
    assert "hunter2" in settings.database_url.get_secret_value()


def test_a_refused_value_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ValidationError, match="database_url") as refusal:
        Settings(**REQUIRED | {"database_url": "mysql://user:hunter2@db/reembed"})
    assert "hunter2" not in str(refusal.value)


def test_a_missing_service_is_named() -> None:
    with pytest.raises(ValidationError, match="milvus_uri"):
        get_settings()


def test_the_environment_wins_over_the_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"REEMBED_{name.upper()}={value}" for name, value in REQUIRED.items()]
    Path(".env").write_text("\n".join([*lines, "REEMBED_WAVE_SIZE=8", "REEMBED_PORT=81"]))
    monkeypatch.setenv("REEMBED_PORT", "82")
    settings = get_settings()
    assert (8, 82) == (settings.wave_size, settings.port)


def test_another_env_file_or_none_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"REEMBED_{name.upper()}={value}" for name, value in REQUIRED.items()]
    Path("other.env").write_text("\n".join([*lines, "REEMBED_PORT=83"]))
    Path(".env").write_text("\n".join([*lines, "REEMBED_PORT=81"]))
    monkeypatch.setenv("REEMBED_ENV_FILE", "other.env")
    assert 83 == get_settings().port
    monkeypatch.setenv("REEMBED_ENV_FILE", "")
    with pytest.raises(ValidationError, match="milvus_uri"):
        get_settings()


def test_requests_that_may_hang_leave_a_thread_to_the_others() -> None:
    with pytest.raises(ValidationError, match="REEMBED_API_SLOW_REQUESTS must be less"):
        Settings(**REQUIRED, api_threads=8)


def test_providers_are_read_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "REEMBED_PROVIDERS",
        '{"mine": {"base_url": "http://h/v1", "api_key_env": "K", "models": {"m": 8}}}',
    )
    mine = Settings(**REQUIRED).providers["mine"]
    assert ({"m": ModelSettings(dimension=8)}, 2048, False) == (
        mine.models,
        mine.max_inputs_per_request,
        mine.dimensions_supported,
    )


def test_a_models_longest_input_stands_beside_its_dimension(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(
        "REEMBED_PROVIDERS",
        '{"mine": {"base_url": "http://h/v1", "api_key_env": "K", "models":'
        ' {"m": {"dimension": 8, "max_input_tokens": 512}, "n": 16}}}',
    )
    embedders = ConfiguredEmbedders(Settings(**REQUIRED))
    m, n = embedders.known("mine", "m"), embedders.known("mine", "n")
    assert m is not None
    assert n is not None
    assert [(8, 512), (16, 8192)] == [(i.default_dimension, i.max_input_tokens) for i in (m, n)]


def test_a_mistyped_provider_option_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "REEMBED_PROVIDERS", '{"mine": {"base_url": "u", "api_key_env": "K", "max_input": 8}}'
    )
    with pytest.raises(ValidationError, match="max_input"):
        Settings(**REQUIRED)


def test_a_models_roles_are_what_is_said_of_either_and_plain_beside_it() -> None:
    plain = ModelSettings(dimension=3)
    told = ModelSettings(dimension=3, query_role=TextRole(prefix="query: "))

    assert plain.roles is None
    assert Roles(TextRole(), TextRole(prefix="query: ")) == told.roles


def test_a_role_in_the_settings_that_changes_what_is_asked_is_refused() -> None:
    with pytest.raises(ValidationError):
        ModelSettings.model_validate(
            {"dimension": 3, "document_role": {"parameters": {"input": "x"}}}
        )
