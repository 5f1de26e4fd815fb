"""Who works."""

from __future__ import annotations

from typing import Any

import click

from cli.plain import lasting, when
from cli.session import Session, asks_the_api
from cli.shown import sentences, table


@click.command()
@asks_the_api
def workers(session: Session) -> None:
    """Show how many workers are alive and which queues they read; an admin sees who they are."""
    session.tell(session.api.ask("GET", "/workers"), _show)


def _show(found: dict[str, Any]) -> None:
    click.echo(f"{found['alive']} workers are alive.")
    if found["workers"]:
        click.echo()
        table(
            found["workers"],
            {
                "worker": "name",
                "host": "host",
                "pid": "pid",
                "alive": "alive",
                "spoke": lambda one: f"{lasting(one['silent_seconds'])} ago",
                "since": lambda one: when(one["started_at"]),
                "version": "version",
                "queues": lambda one: ", ".join(one["queues"]) or "none",
                "at": lambda one: ", ".join(_task(at) for at in one["work"]) or "nothing",
            },
        )
    unread = [one["queue"] for one in found["queues"] if not one["workers"]]
    sentences("Queues that nobody reads:", unread)


def _task(at: dict[str, Any]) -> str:
    whose = f" of {at['migration_id']}" if at["migration_id"] else ""
    return f"{at['count']} x {at['task']}{whose}"
