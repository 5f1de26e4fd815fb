"""Late writes that were not taken over."""

from __future__ import annotations

from typing import Any

import click

from cli.client import path
from cli.plain import when
from cli.session import Session, asks_the_api, yes
from cli.shown import table


@click.group()
def conflicts() -> None:
    """Late writes that were not taken over, for a person to judge."""


@conflicts.command("list")
@click.argument("bot_id", metavar="BOT")
@click.option("--migration", "migration_id", help="Of this migration alone.")
@asks_the_api
def list_conflicts(session: Session, bot_id: str, migration_id: str | None) -> None:
    """List those of BOT, the newest first. With --json each page of the answer is a line."""
    where = path("bots", bot_id, "conflicts")
    found = session.pages(where, "conflicts", {"migration_id": migration_id})
    if not session.as_json:
        _show(found)


def _show(found: list[dict[str, Any]]) -> None:
    table(
        found,
        {
            "key": "key",
            "because": "reason",
            "found": lambda one: when(one["at"]),
            "migration": "migration_id",
            "was written": lambda one: one["fields"] or "a deletion",
        },
    )


@conflicts.command("settle")
@click.argument("bot_id", metavar="BOT")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Whatever there is now.")
@yes("Ask nothing.")
@asks_the_api
def settle(session: Session, bot_id: str, keys: tuple[str, ...], every: bool, agreed: bool) -> None:
    """Forget conflicts that somebody has judged; no chunk is changed."""
    if bool(keys) is every:
        raise click.UsageError("Name keys, or --all.")
    session.consent("What was written is forgotten with them. Forget them?", given=agreed)
    body: dict[str, Any] = {"all": True} if every else {"keys": list(keys)}
    answer = session.api.ask("DELETE", path("bots", bot_id, "conflicts"), body)
    session.tell(answer, lambda told: click.echo(f"{told['settled']} conflicts are settled."))
