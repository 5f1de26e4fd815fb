"""What was paid to providers."""

from __future__ import annotations

from typing import Any

import click

from cli.client import path
from cli.commands.runs import run_path
from cli.plain import plain
from cli.session import Session, asks_the_api
from cli.shown import table


@click.command()
@click.option("--bot", "bot_id", help="Of this bot.")
@click.option("--migration", "migration_id", help="Of this migration, by its id.")
@click.option("--owner", help="Of this owner, for an admin.")
@asks_the_api
def spend(
    session: Session, bot_id: str | None, migration_id: str | None, owner: str | None
) -> None:
    """Show what was paid, in tokens and in money.

    Without an option it is all of yours; an admin sees everybody's.
    """
    if sum(option is not None for option in (bot_id, migration_id, owner)) > 1:
        raise click.UsageError("--bot, --migration or --owner, one of them.")
    where = "/spend"
    if bot_id is not None:
        where = path("bots", bot_id, "spend")
    if migration_id is not None:
        where = run_path(migration_id, "spend")
    session.tell(session.api.ask("GET", where, query={"owner": owner}), _show)


def _show(found: dict[str, Any]) -> None:
    table(
        found["spend"],
        {
            "model": lambda line: plain(f"{line['provider']}/{line['model']}"),
            "for": "purpose",
            "by": "by",
            "requests": "requests",
            "tokens": "tokens",
            "US dollars": lambda line: _money(line["cost_usd"]),
        },
    )
    click.echo(f"\n{found['tokens']} tokens, {_money(found['cost_usd'])} US dollars.")
    if found["unpriced_tokens"]:
        click.echo(f"{found['unpriced_tokens']} tokens of them have no price: REEMBED_PRICES.")


def _money(cost: float | None) -> str:
    return "not known" if cost is None else f"{cost:.4f}"
