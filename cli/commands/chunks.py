"""Writing a bot's chunks through reembed."""

from __future__ import annotations

from typing import Any

import click

from cli.client import path
from cli.commands.bodies import json_of, once, once_header
from cli.plain import when
from cli.session import Session, asks_the_api
from cli.shown import facts, table

_wait = click.option("--wait", type=float, help="Seconds to wait until it is applied.")


@click.group()
def chunks() -> None:
    """Chunks that are written through reembed."""


@chunks.command("put")
@click.argument("bot_id", metavar="BOT")
@click.argument("file")
@_wait
@once
@asks_the_api
def put(
    session: Session, bot_id: str, file: str, wait: float | None, idempotency_key: str | None
) -> None:
    """Write the chunks of FILE ('-' is the standard input).

    It holds {"key": …, "fields": {…}}, one a line, or a list of them; at most a thousand.
    """
    found = json_of(file)
    if isinstance(found, dict):
        found = found.get("chunks", [found])
    _write(session, "PUT", bot_id, {"chunks": found}, wait, idempotency_key)


@chunks.command("delete")
@click.argument("bot_id", metavar="BOT")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@click.option("--numbers", is_flag=True, help="The keys are numbers and not texts.")
@_wait
@once
@asks_the_api
def delete(
    session: Session,
    bot_id: str,
    keys: tuple[str, ...],
    numbers: bool,
    wait: float | None,
    idempotency_key: str | None,
) -> None:
    """Delete the chunks with these primary keys; one that is not there is no mistake."""
    sent: list[Any] = [_number(key) for key in keys] if numbers else list(keys)
    _write(session, "DELETE", bot_id, {"keys": sent}, wait, idempotency_key)


def _number(key: str) -> int:
    try:
        return int(key)
    except ValueError:
        raise click.UsageError(f"{key!r} is no number.") from None


def _write(
    session: Session,
    method: str,
    bot_id: str,
    body: dict[str, Any],
    wait: float | None,
    key: str | None,
) -> None:
    answer = session.api.ask(
        method,
        path("bots", bot_id, "chunks"),
        body,
        query={"wait": wait},
        headers=once_header(key),
    )
    session.tell(answer, _show_written)


def _show_written(written: dict[str, Any]) -> None:
    done = "applied" if written["applied"] else "kept, and not applied yet"
    click.echo(f"{written['accepted']} writes up to {written['position']} are {done}.")
    _show_failed(written["failed"])


@chunks.command("journal")
@click.argument("bot_id", metavar="BOT")
@click.option("--after", type=int, help="Only those that failed after this place.")
@asks_the_api
def journal(session: Session, bot_id: str, after: int | None) -> None:
    """Show how far what was written is applied, and what could not be done."""
    answer = session.api.ask(
        "GET", path("bots", bot_id, "chunks", "journal"), query={"after": after}
    )
    session.tell(answer, _show_journal)


def _show_journal(found: dict[str, Any]) -> None:
    facts(
        [
            ("written up to", found["last_position"]),
            ("applied up to", found["applied_position"]),
            ("waiting", found["waiting"]),
            ("since", found["waiting_since"] and when(found["waiting_since"])),
            ("waits for", found["waiting_for"]),
            ("failed", found["failed_count"]),
        ]
    )
    _show_failed(found["failed"])
    if found["next_after"] is not None:
        click.echo(f"There are more: --after {found['next_after']}")


def _show_failed(failed: list[dict[str, Any]]) -> None:
    if failed:
        table(failed, {"place": "position", "key": "key", "code": "code", "why": "message"})
