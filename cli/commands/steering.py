"""What somebody does to a run on its way: pause it, let it go on."""

from __future__ import annotations

import click

from cli.commands.moving import show_started
from cli.commands.runs import run_argument, run_id_of, run_path
from cli.session import Session, asks_the_api


@click.command()
@run_argument
@click.option("--reason", help="Why; it is kept and shown.")
@asks_the_api
def pause(session: Session, run: str, reason: str | None) -> None:
    """Pause a migration before its switch; nothing is undone.

    Its work stops within seconds, and its deadline stands still. RUN is a migration's id, or a
    bot's for its newest migration.
    """
    body = {} if reason is None else {"reason": reason}
    where = run_path(run_id_of(session, run), "pause")
    session.tell(session.api.ask("POST", where, body), show_started)


@click.command()
@run_argument
@asks_the_api
def resume(session: Session, run: str) -> None:
    """Let a paused migration go on from where it stands.

    RUN is a migration's id, or a bot's for its newest migration.
    """
    session.tell(session.api.ask("POST", run_path(run_id_of(session, run), "resume")), show_started)
