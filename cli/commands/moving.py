"""Before a migration, and its start: can it go, what would it take, go."""

from __future__ import annotations

import os
from typing import Any

import click

from cli.client import Answer, path
from cli.commands.bodies import body_of, once, once_header, settable, target
from cli.commands.following import follow
from cli.endings import Away, Ended, Exit
from cli.plain import embedding, lasting, plain
from cli.session import Session, asks_the_api, yes
from cli.shown import checks, facts, sentences
from cli.shown import migration as show_migration

_slices = click.option("--slice-by", help="A field whose values are verified apart, too.")


@click.command()
@click.argument("bot_id", metavar="BOT")
@target(required=True)
@_slices
@settable("validate-change")
@asks_the_api
def validate(session: Session, bot_id: str, fields: tuple[str, ...], **options: Any) -> None:
    """Check whether BOT could change to an embedding. Ends with 1 where it cannot."""
    answer = session.api.ask(
        "POST", path("bots", bot_id, "embeddings", "validate-change"), body_of(fields, **options)
    )
    session.tell(answer, _show_validation)
    if not answer.value["compatible"]:
        raise Ended("It cannot change as things are.", Exit.REFUSED)


def _show_validation(found: dict[str, Any]) -> None:
    checks(found["checks"])
    sentences("Stands in the way:", found["errors"])
    sentences("To know about:", found["warnings"])
    if found["compatible"]:
        click.echo(f"\nIt can change to {embedding(found['target'])}.")


@click.command()
@click.argument("bot_id", metavar="BOT")
@target(required=False)
@click.option("--batch-size", type=int, help="Chunks in a batch.")
@settable("estimate-migration")
@asks_the_api
def estimate(session: Session, bot_id: str, fields: tuple[str, ...], **options: Any) -> None:
    """Estimate tokens, money and time.

    Without --provider and --model it is for embedding anew with what BOT has.
    """
    session.tell(_estimate(session, bot_id, body_of(fields, **options)), _show_estimate)


def _estimate(session: Session, bot_id: str, body: dict[str, Any]) -> Any:
    return session.api.ask("POST", path("bots", bot_id, "embeddings", "estimate-migration"), body)


@click.command("trial")
@click.argument("bot_id", metavar="BOT")
@target(required=True)
@click.option("--chunks", type=int, help="How many chunks to move; 200 unless said.")
@settable("a trial")
@asks_the_api
def try_embedding(session: Session, bot_id: str, fields: tuple[str, ...], **options: Any) -> None:
    """Try an embedding on some of BOT's chunks. Ends with 1 where a run would not switch.

    They are embedded, stored beside BOT's collection, judged as verification does it, and
    dropped. Nothing of BOT's changes; the providers are paid for what is embedded.
    """
    answer = session.api.ask("POST", path("bots", bot_id, "trial"), body_of(fields, **options))
    session.tell(answer, _show_trial)
    if not answer.value["passed"]:
        raise Ended("A run would not go on to its switch by this.", Exit.REFUSED)


def _show_trial(found: dict[str, Any]) -> None:
    checks(found["checks"])
    sentences("Stands in the way:", [*found["errors"], *found["gates"]])
    sentences("To know about:", found["warnings"])
    rate = found["chunks_per_second"]
    facts(
        [
            ("moved", f"{found['moved']} of {found['chunks']} chunks, and dropped"),
            ("tokens", found["tokens"]),
            ("price", _price(found["cost_usd"])),
            ("pace", "not known" if rate is None else f"{rate:g} chunks/s, batch by batch"),
        ]
    )
    click.echo("\nAll of it would take:")
    _show_estimate(found["whole"])


def _price(cost: float | None) -> str:
    return "not known" if cost is None else f"{cost:.2f} US dollars"


#: Fields of a start that make another estimate.
_ESTIMATED_BY = frozenset(
    {
        "provider",
        "model",
        "dimension",
        "document_role",
        "query_role",
        "version",
        "unusual_roles",
        "normalized",
        "batch_size",
        "timeout_seconds",
    }
)


def _show_estimate(found: dict[str, Any]) -> None:
    facts(
        [
            ("to", embedding(found["target"])),
            ("chunks", found["chunks"]),
            ("batches", found["batches"]),
            ("tokens", found["tokens"]),
            ("price", _price(found["cost_usd"])),
            ("time", lasting(found["duration_seconds"])),
            ("new vectors", f"{found['vector_bytes'] / 1e6:.1f} MB"),
        ]
    )
    sentences("By:", found["basis"])
    sentences("To know about:", found.get("warnings", []))


@click.command()
@click.argument("bot_id", metavar="BOT")
@target(required=True)
@_slices
@click.option("--batch-size", type=int, help="Chunks in a batch.")
@click.option("--timeout-seconds", type=int, help="Undo it unless it has switched by then.")
@click.option(
    "--postpone", is_flag=True, default=None, help="Wait before the switch until it is asked for."
)
@settable("start-migration")
@once
@yes("Agree to whatever it takes: no estimate is made.")
@click.option("--watch", "watched", is_flag=True, help="Watch it until nothing more happens.")
@asks_the_api
def start(
    session: Session,
    bot_id: str,
    fields: tuple[str, ...],
    idempotency_key: str | None,
    agreed: bool,
    watched: bool,
    **options: Any,
) -> None:
    """Start moving BOT to another embedding.

    What it would take is shown first, and somebody has to agree.
    """
    body = body_of(fields, **options)
    if not agreed and not session.as_json:
        asked = {name: value for name, value in body.items() if name in _ESTIMATED_BY}
        _show_estimate(_estimate(session, bot_id, asked).value)
    session.consent("\nStart it?", given=agreed)
    answer = _start_once(session, bot_id, body, idempotency_key or os.urandom(16).hex())
    session.tell(answer, show_started)
    if watched:
        follow(session, answer.value["migration"]["migration_id"])


def _start_once(session: Session, bot_id: str, body: dict[str, Any], key: str) -> Answer:
    where = path("bots", bot_id, "embeddings", "start-migration")
    try:
        return session.api.ask("POST", where, body, headers=once_header(key))
    except Away as away:
        raise Away(
            f"{away.message}\nWhether it was started is not known. The same command with "
            f"--idempotency-key {key} starts it once, however often it is sent."
        ) from away


def show_started(action: dict[str, Any]) -> None:
    run = action["migration"]
    click.echo(plain(action["message"]))
    show_migration(run)
    click.echo(f"\nWatch it: reembed watch {run['migration_id']}")
