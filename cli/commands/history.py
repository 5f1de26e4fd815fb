"""Migrations now and past."""

from __future__ import annotations

from typing import Any

import click

from cli.plain import plain, when
from cli.session import Session, asks_the_api
from cli.shown import table


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
