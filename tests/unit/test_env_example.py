"""What is written as ``.env.example`` has it reaches the settings, whoever reads the file."""

from __future__ import annotations

import io
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from dotenv import dotenv_values
from honcho.environ import parse

from migrations.settings import Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"
_SHOWN = re.compile(r"^#(REEMBED_\w+=.*)$", re.M)


def by_honcho(lines: str) -> dict[str, str]:
    return dict(parse(lines))


def by_ourselves(lines: str) -> dict[str, str]:
    return {name: value or "" for name, value in dotenv_values(stream=io.StringIO(lines)).items()}


def by_a_shell(lines: str) -> dict[str, str]:
    """As ``set -a; . ./.env`` has it, and systemd, whose quotes are the same."""
    names = [line.partition("=")[0] for line in lines.splitlines() if re.match(r"\w+=", line)]
    told = "\n".join(f'printf "%s\\0" "${name}"' for name in names)
    run = subprocess.run(["sh", "-euc", f"{lines}\n{told}"], capture_output=True, check=True)
    return dict(zip(names, run.stdout.decode().split("\0")[:-1], strict=True))


READERS = (by_honcho, by_ourselves, by_a_shell)


def settings_of(read: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith("REEMBED_")]:
        monkeypatch.delenv(name)
    for name, value in read.items():
        monkeypatch.setenv(name, value)
    return Settings(_env_file=None)


@pytest.mark.parametrize("reader", READERS)
def test_the_example_is_read_alike_by_whoever_reads_it(
    reader: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = reader(EXAMPLE.read_text())
    expected = by_ourselves(EXAMPLE.read_text())
    # honcho leaves out what is empty, which means the same.
    assert {k: v for k, v in expected.items() if v} == {k: v for k, v in read.items() if v}
    assert Settings(_env_file=EXAMPLE) == settings_of(read, monkeypatch)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("shown", _SHOWN.findall(EXAMPLE.read_text()), ids=lambda line: line[:16])
def test_a_line_that_is_shown_in_a_comment_can_be_taken(
    shown: str, reader: Callable[[str], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    required = [line for line in EXAMPLE.read_text().splitlines() if "_UR" in line]
    read = reader("\n".join([*required, shown]))
    settings = settings_of(read, monkeypatch)
    name = shown.partition("=")[0].removeprefix("REEMBED_").lower()
    assert name in settings.model_fields_set
    if name == "providers":
        assert "https://host/v1" == settings.providers["mine"].base_url


def test_the_gates_that_are_shown_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    (shown,) = [line for line in _SHOWN.findall(EXAMPLE.read_text()) if "GATES" in line]
    required = [line for line in EXAMPLE.read_text().splitlines() if "_UR" in line]
    settings = settings_of(by_honcho("\n".join([*required, shown])), monkeypatch)
    assert set(type(settings.gates).model_fields) == settings.gates.model_fields_set
    assert type(settings.gates)() == settings.gates
