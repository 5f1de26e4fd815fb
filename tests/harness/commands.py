"""Whether a command line that is shown somewhere is one: its program, command and options exist.

Nothing is run but ``make --dry-run`` and ``python -m … --help``. What is not ours is known by
its name alone.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from copy import copy
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import click
from celery import Celery
from celery.bin.base import CLIContext
from celery.bin.celery import celery
from celery.worker.control import Panel

from cli.commands import reembed
from devstack.server import PROJECT

#: Programs of others, of which only the name is checked.
FOREIGN = {
    "apt-get",
    "bash",
    "cd",
    "chmod",
    "cp",
    "curl",
    "docker",
    "eval",
    "export",
    "git",
    "install",
    "jq",
    "kubectl",
    "openssl",
    "pg_dump",
    "pg_restore",
    "psql",
    "redis-cli",
    "set",
    "sudo",
    "systemctl",
    "systemd-analyze",
    "umask",
    "useradd",
}
#: Words that stand for something of the reader's: <bot>, …, NAME=value.
_PLACEHOLDER = re.compile(r"<[^<>]*>|…")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_VARIABLE = re.compile(r"\$\{?(\w+)(?::-([^}]*))?\}?|\$\((\w+)\)")
#: Where Celery's options have their defaults from.
_DEFAULTS = CLIContext(app=Celery(), no_color=True, workdir=None)


class NotUnderstood(AssertionError):
    """The command line and what is wrong with it."""


def understand(words: list[str], *, whole: bool = True) -> None:
    """Raises NotUnderstood. One that is not whole may lack arguments: a sentence names it."""
    words = _without_assignments([_filled(word) for word in words])
    if not words:
        return
    program, arguments = words[0].rpartition("/")[2], words[1:]
    try:
        _understand(program, arguments)
    except click.ClickException as error:
        if isinstance(error, click.MissingParameter) and not whole:
            return
        raise NotUnderstood(f"{' '.join(words)}: {error.format_message()}") from error


def _understand(program: str, arguments: list[str]) -> None:
    if program == "reembed":
        parse(reembed, "reembed", arguments)
    elif program == "celery":
        _understand_celery(arguments)
    elif program == "make":
        _dry_run(arguments)
    elif program in ("python", "python3") and arguments[:1] == ["-m"]:
        _understand_module(arguments[1], arguments[2:])
    elif program in ("honcho", "pip", "pytest"):
        _is_installed(program)
    elif program == ".":
        _is_ours_to_source(arguments)
    elif program not in FOREIGN and not _is_a_script(program, arguments):
        raise click.UsageError("nobody here knows this program")


def _is_a_script(program: str, arguments: list[str]) -> bool:
    """Python's own library, in a line."""
    if program not in ("python", "python3") or arguments[:1] != ["-c"]:
        return False
    ast.parse(arguments[1])
    return True


def _filled(word: str) -> str:
    """Variables as digits, or as their default: an option may want a number."""
    word = _VARIABLE.sub(lambda found: found[2] or "1", word)
    return _PLACEHOLDER.sub("1", word)


def _without_assignments(words: list[str]) -> list[str]:
    while words and _ASSIGNMENT.match(words[0]):
        words = words[1:]
    return words[1:] if words[:1] in (["exec"], ["sudo"]) else words


def parse(command: click.Command, name: str, arguments: list[str]) -> None:
    """Down to the command that the arguments lead to; nothing is invoked.

    Raises click.ClickException.
    """
    parent: click.Context | None = None
    while isinstance(command, click.Group):
        if not arguments or {"--help", "-h", "--version"} & set(arguments[:1]):
            return
        found = command.get_command(click.Context(command, parent), arguments[0])
        if found is None:
            raise click.UsageError(f"{name} has no command {arguments[0]}")
        parent = click.Context(command, parent, name, obj=_DEFAULTS)
        name, command, arguments = arguments[0], found, arguments[1:]
    if not {"--help", "-h"} & set(arguments):
        _with_words(command).make_context(name, list(arguments), parent)


def _with_words(command: click.Command) -> click.Command:
    """A copy that takes any word for a file or an id: those are the reader's."""
    copied = copy(command)
    copied.params = [copy(parameter) for parameter in command.params]
    for parameter in copied.params:
        if isinstance(parameter.type, click.File | click.Path | type(click.UUID)):
            parameter.type = click.STRING
    return copied


def _understand_celery(arguments: list[str]) -> None:
    if arguments[:2] != ["-A", "worker"]:
        raise click.UsageError("our application is named with -A worker")
    arguments = arguments[2:]
    if arguments[:1] == ["flower"]:
        _understand_flower(arguments[1:])
        return
    parse(celery, "celery", arguments)
    if arguments[:1] in (["inspect"], ["control"]):
        named = [word for word in arguments[1:] if not word.startswith("-")]
        if not named or named[0] not in Panel.meta:
            raise click.UsageError(f"workers do not know {named[:1]}")


def _understand_flower(arguments: list[str]) -> None:
    """Flower's options are Tornado's."""
    import_module("flower.options")  # defines them
    from tornado.options import options

    known = {name.replace("_", "-") for name in options}
    for argument in arguments:
        name = argument.partition("=")[0].removeprefix("--").replace("_", "-")
        if name not in known:
            raise click.UsageError(f"Flower has no option --{name}")


def _dry_run(arguments: list[str]) -> None:
    goals = [word for word in arguments if not _ASSIGNMENT.match(word)]
    targets = _targets()
    unknown = [goal for goal in goals if goal not in targets]
    if unknown:
        raise click.UsageError(f"make knows no target {' '.join(unknown)}")
    given = {name for word in arguments if (name := word.partition("=")[0]) != word}
    text = (PROJECT / "Makefile").read_text()
    for name in given:
        if not re.search(rf"\$\({name}\)|^{name} \?=", text, re.M):
            raise click.UsageError(f"the Makefile has no variable {name}")


@cache
def _targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.M))


def _understand_module(module: str, arguments: list[str]) -> None:
    if find_spec(module) is None:
        raise click.UsageError(f"there is no module {module}")
    if not arguments or module in ("pip", "venv"):
        return
    options = [word.partition("=")[0] for word in arguments if word.startswith("-")]
    shown = _help_of(module)
    for option in options:
        if option not in re.findall(r"--?[\w-]+", shown):
            raise click.UsageError(f"python -m {module} has no option {option}")


@cache
def _help_of(module: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=PROJECT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


def _is_ours_to_source(files: list[str]) -> None:
    if files not in ([".reembed/env"], ["/etc/reembed/env"]):
        raise click.UsageError("nobody writes this file")


def _is_installed(program: str) -> None:
    if find_spec(program) is None:
        raise click.UsageError(f"{program} is not installed with us")
