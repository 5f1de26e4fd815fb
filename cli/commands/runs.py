"""Which run is meant, and how far it is."""

from __future__ import annotations

from typing import Any

import click

from cli.client import path
from cli.endings import Ended, Exit
from cli.session import Session

RUN = "A migration's id, or a bot's for its newest migration."


def run_argument(command: Any) -> Any:
    return click.argument("run")(command)


def asks_again_and_again(command: Any) -> Any:
    """Options of what looks until there is nothing more to see."""
    every = click.option(
        "--every", type=click.FloatRange(min=0.1), default=1.0, show_default=True, help="Seconds."
    )
    patience = click.option(
        "--patience",
        type=click.FloatRange(min=0),
        default=600.0,
        show_default=True,
        help="Seconds that the API may be away meanwhile.",
    )
    return every(patience(command))


def run_id_of(session: Session, run: str) -> str:
    """Raises Refused of a bot that there is not, Ended of one that never had a migration."""
    from uuid import UUID  # looks at the platform, which takes a while

    try:
        return str(UUID(run))
    except ValueError:
        newest = status_of(session, run)["migration"]
    if newest is None:
        raise Ended(f"The bot {run} never had a migration.", Exit.REFUSED)
    return str(newest["migration_id"])


def status_of(session: Session, bot_id: str) -> Any:
    return session.api.ask("GET", path("bots", bot_id, "embeddings", "migration-status")).value


def run_path(run_id: str, what: str) -> str:
    return path("embeddings", "migration", run_id, what)
