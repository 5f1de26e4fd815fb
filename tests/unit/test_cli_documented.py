"""What the documents say of ``reembed`` is so."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.commands import reembed
from cli.commands.moving import _ESTIMATED_BY
from cli.endings import Away, Exit
from cli.session import Surroundings
from tests.fakes.api_client import application

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "howto" / "cli.md"
PAGES = (
    *(
        HOW_TO,
        ROOT / "docs" / "howto" / "steering.md",
        ROOT / "docs" / "howto" / "provider-limits.md",
    ),
    *(ROOT / "README.md", ROOT / "docs" / "quickstart.md"),
)
_BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```$", re.M | re.S)
KNOWN = {"REEMBED_URL": "http://reembed.test", "REEMBED_TOKEN": "t"}


def usages(command: click.Command, context: click.Context) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            yield from usages(child, click.Context(child, context, name))
    else:
        parts = [part for part in command.collect_usage_pieces(context) if part != "[OPTIONS]"]
        yield f"{' '.join([context.command_path, *parts]):38} {command.get_short_help_str(100)}"


def shown_lines(page: Path) -> list[str]:
    """The commands of reembed in a page's blocks for a shell."""
    blocks = "\n".join(_BLOCK.findall(page.read_text())).replace("\\\n", " ")
    lines = (line.strip() for line in blocks.splitlines())
    return [line.partition(" | ")[0] for line in lines if line.startswith("reembed ")]


def test_the_list_of_commands_is_current() -> None:
    listed = HOW_TO.read_text().rpartition("```\n")[0].rpartition("```\n")[2]
    context = click.Context(reembed, info_name="reembed")
    assert listed.splitlines() == list(usages(reembed, context))


def test_the_endings_are_those_that_are_listed() -> None:
    listed = re.findall(r"^\| (\d+) \|", HOW_TO.read_text(), re.M)
    assert listed == [str(int(ending)) for ending in Exit] + ["130"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_line_that_is_shown_is_understood(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_: object) -> None:
        raise Away("Nobody is there.")

    monkeypatch.chdir(tmp_path)
    for name in ("chunks.jsonl", "queries.json"):
        (tmp_path / name).write_text("[]")
    environ = {**KNOWN, "REEMBED_CONFIG": str(tmp_path / "login.json")}
    here = Surroundings(send=nobody, environ=environ)  # type: ignore[arg-type]
    lines = shown_lines(page)
    assert lines
    for line in lines:
        arguments = shlex.split(line, comments=True)[1:]
        if arguments[0] == "watch":
            arguments += ["--patience", "0"]
        result = CliRunner().invoke(reembed, arguments, input="y\n", obj=here)
        ending = 0 if arguments == ["logout"] else Exit.AWAY
        assert result.exit_code == ending, f"{line}\n{result.output}"


def test_options_that_are_sent_are_fields_of_the_api() -> None:
    schemas = application().spec_json["components"]["schemas"]  # type: ignore[attr-defined]
    for schema, command in (
        ("BotRegistrationRequest", "register"),
        ("BotChangeRequest", "edit"),
    ):
        bots = reembed.commands["bots"]
        assert isinstance(bots, click.Group)
        assert sent_by(bots.commands[command]) <= set(schemas[schema]["properties"])
    for schema, command in (
        ("EmbeddingValidationRequest", "validate"),
        ("MigrationEstimateRequest", "estimate"),
        ("MigrationStartRequest", "start"),
    ):
        assert sent_by(reembed.commands[command]) <= set(schemas[schema]["properties"])
    assert set(schemas["MigrationEstimateRequest"]["properties"]) == _ESTIMATED_BY


def sent_by(command: click.Command) -> set[str]:
    not_sent = {"bot_id", "fields", "as_json", "agreed", "watched", "idempotency_key"}
    return {option.name for option in command.params if option.name} - not_sent
