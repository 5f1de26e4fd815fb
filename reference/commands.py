"""Every command of ``reembed`` and of ``celery -A worker reembed``."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from cli.commands import reembed as over_http
from cli.endings import Exit
from reference.markdown import code, heading, table
from worker.commands import reembed as of_the_operator

_INTRODUCTION = """
`reembed` talks to the API from any machine ([how](../howto/cli.md)); `celery -A worker reembed`
works on the servers themselves and wants their [settings](settings.md).
"""


def page() -> str:
    parts = [heading("Commands"), _INTRODUCTION]
    for title, name, group in (
        ("reembed", "reembed", over_http),
        ("celery -A worker reembed", "celery -A worker reembed", of_the_operator),
    ):
        parts.append(f"\n## {title}\n\n{_help(group)}\n")
        for command, context in _leaves(group, click.Context(group, info_name=name)):
            parts.append(_section(command, context))
        if group is over_http:
            parts.append(_endings())
    return "".join(parts)


def _leaves(
    command: click.Command, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    if not isinstance(command, click.Group):
        yield command, context
        return
    for name, child in sorted(command.commands.items()):
        yield from _leaves(child, click.Context(child, context, name))


def _section(command: click.Command, context: click.Context) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    rows = [
        (
            ", ".join(map(code, [*option.opts, *option.secondary_opts])),
            _wants(option),
            _said(option),
        )
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
    ]
    shown = f"\n```\n{usage}\n```\n\n{_help(command)}\n"
    options = table(("option", "value", "what it is"), rows)
    return f"\n### {context.command_path}\n{shown}" + (f"\n{options}" if options else "")


def _help(command: click.Command) -> str:
    """Its paragraphs, each on one line."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _named(option: click.Option) -> str:
    return ", ".join(code(name) for name in [*option.opts, *option.secondary_opts])


def _wants(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return ", ".join(code(choice) for choice in option.type.choices)
    return option.type.name.replace("_", " ")


def _said(option: click.Option) -> str:
    said = option.help or ""
    if option.required:
        said += " Required."
    if option.multiple:
        said += " May be given several times."
    if option.show_default and option.default is not None:
        said += f" Default: {option.default}."
    return said.strip()


def _endings() -> str:
    rows = [(str(int(ending)), ending.name.lower().replace("_", " ")) for ending in Exit]
    return f"\n### Endings\n\n{table(('code', 'name'), rows)}"
