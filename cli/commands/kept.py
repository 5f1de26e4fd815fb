"""Collections that bots have left."""

from __future__ import annotations

from typing import Any

import click

from cli.client import path
from cli.commands.durations import SECONDS
from cli.plain import plain, when
from cli.session import Session, asks_the_api, yes
from cli.shown import table


@click.group()
def kept() -> None:
    """Collections that bots have left, and that are kept for a while."""


@kept.command("list")
@click.option("--bot", "bot_id", help="Of this bot alone.")
@asks_the_api
def list_kept(session: Session, bot_id: str | None) -> None:
    """List them; an admin sees those of every owner. With --json each page is a line."""
    found = session.pages("/kept-collections", "kept", {"bot_id": bot_id})
    if not session.as_json:
        _show(found)


def _show(found: list[dict[str, Any]]) -> None:
    table(
        found,
        {
            "collection": "collection",
            "bot": "bot_id",
            "because": "reason",
            "chunks": "chunks",
            "since": lambda one: when(one["held_at"]),
            "dropped after": _end,
        },
    )


def _end(one: dict[str, Any]) -> str:
    if one["stays"]:
        return "never: an original"
    return when(one["drop_after"]) if one["drop_after"] else "never: kept for good"


@kept.command("keep")
@click.argument("collection")
@click.option("--for", "seconds", type=SECONDS, help="How long from now, such as 72h or 30d.")
@click.option("--for-good", is_flag=True, help="Until somebody has it dropped.")
@asks_the_api
def keep(session: Session, collection: str, seconds: int | None, for_good: bool) -> None:
    """Keep COLLECTION longer, or for good."""
    if (seconds is None) is not for_good:
        raise click.UsageError("Say --for how long, or --for-good.")
    body = {"for_good": True} if seconds is None else {"hours": seconds / 3600}
    answer = session.api.ask("PATCH", path("kept-collections", collection), body)
    session.tell(answer, lambda one: _show([one]))


@kept.command("drop")
@click.argument("collection")
@yes("Ask nothing.")
@asks_the_api
def drop(session: Session, collection: str, agreed: bool) -> None:
    """Have COLLECTION dropped now, instead of when its time has come."""
    session.consent(
        f"{collection} is dropped from Milvus, with what is in it; a new start to the same model "
        "would pay for it again. Drop it?",
        given=agreed,
    )
    answer = session.api.ask("DELETE", path("kept-collections", collection))
    session.tell(answer, lambda told: click.echo(plain(told["message"])))
