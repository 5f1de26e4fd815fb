"""Bots: collections that are looked after."""

from __future__ import annotations

from typing import Any

import click

from cli.client import path
from cli.commands.bodies import body_of, settable
from cli.plain import embedding, told
from cli.session import Session, asks_the_api, yes
from cli.shown import bot as show_bot
from cli.shown import table


@click.group()
def bots() -> None:
    """Collections that are looked after."""


@bots.command("list")
@asks_the_api
def list_bots(session: Session) -> None:
    """List your bots; an admin sees those of every owner.

    With --json each page of the answer is a line.
    """
    found = session.pages("/bots", "bots")
    if not session.as_json:
        table(
            found,
            {
                "bot": "bot_id",
                "owner": "owner",
                "embedding": lambda bot: embedding(bot["embedding"]),
                "generation": "generation",
                "collection": "collection",
            },
        )


@bots.command("show")
@click.argument("bot_id", metavar="BOT")
@asks_the_api
def show(session: Session, bot_id: str) -> None:
    """Show a bot and what it answers from."""
    session.tell(session.api.ask("GET", path("bots", bot_id)), show_bot)


@bots.command("register")
@click.argument("bot_id", metavar="BOT")
@click.option("--collection", required=True, help="Name of the Milvus collection, or an alias.")
@click.option("--provider", required=True, help="Who made the vectors that are in it.")
@click.option("--model", required=True, help="The model that made them.")
@click.option("--alias", help="The alias that readers use; left out, '<collection>_live'.")
@click.option("--text-field", help="The field that was embedded; left out, it is found.")
@click.option("--vector-field", help="The field with the vectors, where there are several.")
@click.option(
    "--adopt-name",
    is_flag=True,
    default=None,
    help="Rename the collection, and make its name the alias.",
)
@settable("a registration")
@asks_the_api
def register(session: Session, fields: tuple[str, ...], **options: Any) -> None:
    """Register an existing collection as the bot BOT. It is read and not changed."""
    made = session.api.ask("POST", "/bots", body_of(fields, **options))
    session.tell(made, show_bot)


@bots.command("edit")
@click.argument("bot_id", metavar="BOT")
@click.option("--owner", help="Whose it shall be; for an admin to say.")
@click.option("--text-field", help="The field that was embedded.")
@click.option("--vector-field", help="The field with the vectors.")
@click.option("--key-field", help="The collection's primary key.")
@click.option(
    "--drop-originals/--keep-originals",
    default=None,
    help="Whether collections that reembed did not make may be dropped after the way back.",
)
@settable("a correction")
@asks_the_api
def edit(session: Session, bot_id: str, fields: tuple[str, ...], **options: Any) -> None:
    """Correct a bot; what is not named stays as it is."""
    body = body_of(fields, **options)
    if not body:
        raise click.UsageError("Name what shall be otherwise.")
    session.tell(session.api.ask("PATCH", path("bots", bot_id), body), show_bot)


@bots.command("diagnose")
@click.argument("bot_id", metavar="BOT")
@asks_the_api
def diagnose(session: Session, bot_id: str) -> None:
    """Find out which text was embedded, by embedding a sample and comparing the vectors."""
    answer = session.api.ask("POST", path("bots", bot_id, "embeddings", "diagnose"))
    session.tell(answer, _show_diagnosis)


def _show_diagnosis(found: dict[str, Any]) -> None:
    click.echo(
        f"Registered with {told(found['text'])}. Looked at {found['rows']} rows, for "
        f"{found['tokens']} tokens."
    )
    table(
        found["candidates"],
        {
            "text": "text",
            "prefix": "prefix",
            "fits": "fits",
            "texts": "judged",
            "median": "median_cosine",
            "lowest": "lowest_cosine",
            "threshold": "threshold",
        },
    )


@bots.command("remove")
@click.argument("bot_id", metavar="BOT")
@click.option(
    "--give-back-name", is_flag=True, help="Give the live collection the alias as its name."
)
@yes("Ask nothing.")
@asks_the_api
def remove(session: Session, bot_id: str, give_back_name: bool, agreed: bool) -> None:
    """Forget a bot and the history of its migrations; its collections stay in Milvus."""
    session.consent(
        f"The bot {bot_id} and the history of its migrations are forgotten, and there is no way "
        "back to its previous model. Remove it?",
        given=agreed,
    )
    query = {"give_back_name": "true"} if give_back_name else {}
    session.tell(session.api.ask("DELETE", path("bots", bot_id), query=query), _show_removal)


def _show_removal(left: dict[str, Any]) -> None:
    click.echo(left["message"])
    table(
        left["collections"],
        {"collection": "collection", "was": "was", "made by reembed": "made_here"},
    )
