"""What readers of a bot ask."""

from __future__ import annotations

from typing import Any

import click

from cli.client import path
from cli.commands.bodies import body_of, settable
from cli.plain import embedding, plain
from cli.session import Session, asks_the_api
from cli.shown import facts, table

_TEXT_LETTERS = 200


@click.command()
@click.argument("bot_id", metavar="BOT")
@click.argument("text")
@click.option("--limit", type=int, default=5, show_default=True, help="How many chunks.")
@click.option("--filter", "filter_", help="A condition on their fields, as Milvus writes it.")
@settable("a search")
@asks_the_api
def search(
    session: Session,
    bot_id: str,
    text: str,
    limit: int,
    filter_: str | None,
    fields: tuple[str, ...],
) -> None:
    """Find the chunks of BOT that answer TEXT, with its live model."""
    body = body_of(fields, text=text, limit=limit, filter=filter_)
    session.tell(session.api.ask("POST", path("bots", bot_id, "search"), body), _show_hits)


def _show_hits(found: dict[str, Any]) -> None:
    click.echo(
        f"Generation {found['generation']}, {found['collection']}, scores by {found['metric']}."
    )
    table(
        [hit for result in found["results"] for hit in result["hits"]],
        {"key": "key", "score": "score", "text": _beginning},
    )


def _beginning(hit: dict[str, Any]) -> str:
    return " ".join((hit["text"] or "").split())[:_TEXT_LETTERS]


@click.command()
@click.argument("bot_id", metavar="BOT")
@click.option("--wait", type=float, help="Seconds to wait for another generation than --known.")
@click.option("--known", type=int, help="The last generation that is known.")
@asks_the_api
def live(session: Session, bot_id: str, wait: float | None, known: int | None) -> None:
    """Show what BOT answers from.

    Collection, embedding and roles are one fact: they change together.
    """
    answer = session.api.ask(
        "GET", path("bots", bot_id, "embeddings", "live"), query={"wait": wait, "generation": known}
    )
    session.tell(answer, _show_live)


def _show_live(found: dict[str, Any]) -> None:
    facts(
        [
            ("bot", found["bot_id"]),
            ("generation", found["generation"]),
            ("database", found["database"] or None),
            ("collection", found["collection"]),
            ("embedding", embedding(found["embedding"])),
            ("fingerprint", found["fingerprint"]),
            ("documents", _role(found["document_role"])),
            ("questions", _role(found["query_role"])),
            ("key field", found["key_field"]),
            ("text", found["text_field"] or found["text"]),
            ("vector field", found["vector_field"]),
            ("metric", found["metric"]),
        ]
    )


def _role(role: dict[str, Any]) -> str:
    said = [f"{name} {value!r}" for name, value in role.items() if value]
    return plain(", ".join(said)) or "as they are"
