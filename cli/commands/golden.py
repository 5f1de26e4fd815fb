"""Questions of a bot's owner that verification asks."""

from __future__ import annotations

from typing import Any

import click

from cli.client import path
from cli.commands.bodies import json_of
from cli.session import Session, asks_the_api, yes
from cli.shown import table


@click.group()
def golden() -> None:
    """Golden queries: what verification asks both collections."""


def _path(bot_id: str) -> str:
    return path("bots", bot_id, "golden-queries")


@golden.command("list")
@click.argument("bot_id", metavar="BOT")
@asks_the_api
def list_queries(session: Session, bot_id: str) -> None:
    """Show which questions verification asks."""
    session.tell(session.api.ask("GET", _path(bot_id)), _show)


@golden.command("put")
@click.argument("bot_id", metavar="BOT")
@click.argument("file")
@asks_the_api
def put(session: Session, bot_id: str, file: str) -> None:
    """Take the questions of FILE ('-' is the standard input) in place of those before.

    It holds {"text": …, "relevant": [keys]}, one a line, or a list of them.
    """
    found = json_of(file)
    if isinstance(found, dict):
        found = found.get("queries", [found])
    session.tell(session.api.ask("PUT", _path(bot_id), {"queries": found}), _show)


@golden.command("clear")
@click.argument("bot_id", metavar="BOT")
@yes("Ask nothing.")
@asks_the_api
def clear(session: Session, bot_id: str, agreed: bool) -> None:
    """Forget all of them."""
    session.consent(f"Forget all golden queries of {bot_id}?", given=agreed)
    session.tell(session.api.ask("DELETE", _path(bot_id)), _show)


def _show(found: dict[str, Any]) -> None:
    click.echo(f"{found['count']} golden queries.")
    if found["queries"]:
        table(found["queries"], {"id": "id", "text": "text", "relevant": "relevant"})
