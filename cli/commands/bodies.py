"""What is sent: a few fields have options, every other one is said with ``--set``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]


def settable(about: str) -> Callable[[Command], Command]:
    """``--set`` and its fields: a value is JSON, or else a text."""
    return click.option(
        "--set",
        "fields",
        multiple=True,
        metavar="FIELD=VALUE",
        help=f"Any other field of {about}, as /openapi describes it; VALUE is JSON or a text.",
    )


def body_of(fields: tuple[str, ...], **options: Any) -> dict[str, Any]:
    """The fields and those options that were given. Raises click.UsageError."""
    body = {name: value for name, value in options.items() if value is not None}
    for field in fields:
        name, equals, text = field.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set {field!r}: write it as FIELD=VALUE.")
        if name in body:
            raise click.UsageError(f"{name!r} is said twice.")
        body[name] = _value(text)
    return body


def target(*, required: bool) -> Callable[[Command], Command]:
    """Options that name an embedding."""
    options = (
        click.option("--provider", required=required, help="Who shall embed."),
        click.option("--model", required=required, help="With which model."),
        click.option(
            "--dimension", type=int, help="In how many dimensions; left out, the model's own."
        ),
    )

    def decorated(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


def once(command: Command) -> Command:
    """``--idempotency-key``."""
    return click.option(
        "--idempotency-key",
        help="Any text that is new for each wish: sent again with it, nothing is done twice.",
    )(command)


def once_header(key: str | None) -> dict[str, str]:
    """Raises click.UsageError for what no header can hold."""
    if key and not all(" " <= letter <= "~" for letter in key):
        raise click.UsageError("--idempotency-key is of printable letters of ASCII.")
    return {"Idempotency-Key": key} if key else {}


def json_of(file: str) -> Any:
    """What is in the file, or the standard input ('-'). Raises click.UsageError."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return _json(text)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{file}: {error}") from error


def _json(text: str) -> Any:
    """One document, or a list of one a line."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        return [json.loads(line) for line in lines]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
