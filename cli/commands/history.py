"""Migrations now and past."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cli.client import Answer
from cli.commands.runs import asks_again_and_again, run_argument, run_id_of, run_path
from cli.endings import INTERRUPTED, Ended
from cli.plain import plain, when
from cli.session import Session, asks_the_api
from cli.shown import table
from cli.views import away
from cli.watching import LOOK_SECONDS, patiently


@click.command("list")
@click.option("--bot", "bot_id", help="Of this bot alone.")
@click.option("--status", multiple=True, help="In this status, such as completed; or in several.")
@click.option("--kind", help="forward or reverse.")
@click.option("--phase", help="In this phase, or ended in it.")
@click.option("--since", help="Asked for at this time or later, such as 2026-11-01 (UTC).")
@click.option("--until", help="Asked for before this time.")
@click.option("--live", is_flag=True, help="Those alone that are not over.")
@click.option("--owner", help="Of this owner's bots alone, for an admin.")
@click.option("--oldest-first", "oldest", is_flag=True, help="Left out, the newest come first.")
@click.option("--limit", type=int, default=50, show_default=True, help="How many in a page.")
@click.option("--cursor", help="Go on where an earlier answer has ended.")
@click.option("--all", "every", is_flag=True, help="All pages.")
@asks_the_api
def list_runs(
    session: Session,
    live: bool,
    oldest: bool,
    every: bool,
    status: tuple[str, ...],
    **filters: Any,
) -> None:
    """List migrations now and past; an admin sees those of every owner.

    With --json each page of the answer is a line.
    """
    query = {
        **filters,
        "status": list(status) or None,
        "live": "true" if live else None,
        "order": "oldest" if oldest else None,
    }
    where = "/embeddings/migrations"
    if every:
        found = session.pages(where, "migrations", query)
        if not session.as_json:
            _show_runs(found)
        return
    session.tell(session.api.ask("GET", where, query=query), _show_page)


def _show_page(page: dict[str, Any]) -> None:
    _show_runs(page["migrations"])
    if page["next_cursor"] is not None:
        click.echo(f"\nThere are more: --all, or --cursor {page['next_cursor']}")


def _show_runs(found: list[dict[str, Any]]) -> None:
    table(
        found,
        {
            "migration": "migration_id",
            "bot": "bot_id",
            "owner": "owner",
            "kind": "kind",
            "status": "status",
            "phase": "phase",
            "to": _target,
            "chunks": lambda run: f"{run['processed_chunks']}/{run['total_chunks']}",
            "asked for": lambda run: when(run["created_at"]),
            "ended": lambda run: when(run["finished_at"]),
        },
    )


def _target(run: dict[str, Any]) -> str:
    to = run["target"]
    return plain(f"{to['provider']}/{to['model']}/{to['dimension']}")


@click.command()
@run_argument
@click.option("--follow", "-f", is_flag=True, help="Go on until nothing more happens.")
@click.option("--after", type=int, default=0, help="Only what came after this event.")
@asks_again_and_again
@asks_the_api
def events(
    session: Session, run: str, follow: bool, after: int, every: float, patience: float
) -> None:
    """Show what has happened in a migration, in sentences.

    RUN is a migration's id, or a bot's for its newest migration. With --json each page that has
    any is a line.
    """
    here, run_id = session.surroundings, run_id_of(session, run)

    def ask(what: str, **query: Any) -> Answer:
        def look() -> Answer:
            return session.api.ask("GET", run_path(run_id, what), query=query, seconds=LOOK_SECONDS)

        if not follow:
            return look()
        return patiently(look, _tell_away, here.sleep, here.seconds, every, patience)

    try:
        while True:
            # In this order: of a run that is over nothing is missed.
            is_over = not follow or ask("progress").value["finished"]
            after = _show_events(session, ask, after)
            if is_over:
                return
            here.sleep(every)
    except KeyboardInterrupt:
        click.echo("\nThe migration goes on.", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


def _show_events(session: Session, ask: Callable[..., Answer], after: int) -> int:
    """All that there are now; the number of the last."""
    while True:
        answer = ask("events", after=after)
        found = answer.value
        if found["events"]:
            session.tell(answer, _tell_events)
            after = found["events"][-1]["event_id"]
        if found["next_after"] is None:
            return after


def _tell_events(found: dict[str, Any]) -> None:
    for event in found["events"]:
        click.echo(f"{when(event['at'])}  {plain(event['sentence'])}")


def _tell_away(error: Ended, seconds: float) -> None:
    click.echo(away(error, seconds), err=True)
