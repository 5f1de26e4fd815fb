"""What somebody does to a run on its way: pause it, slow it down, give it time; try it again."""

from __future__ import annotations

from typing import Any

import click

from cli.commands.durations import SECONDS
from cli.commands.following import follow
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


@click.command()
@run_argument
@click.argument("more", metavar="TIME", type=SECONDS)
@asks_the_api
def extend(session: Session, run: str, more: int) -> None:
    """Give a migration so much more time until its switch (30m, 4h).

    Sent again it gives more again; with --json the answer has 'deadline_at'. RUN is a migration's
    id, or a bot's for its newest migration.
    """
    run_id = run_id_of(session, run)
    has = session.api.ask("GET", run_path(run_id, "progress")).value["timeout_seconds"]
    body = {"timeout_seconds": has + more}
    session.tell(session.api.ask("POST", run_path(run_id, "extend"), body), show_started)


@click.command()
@run_argument
@click.option("--share", type=float, help="Of the provider's limit: 0.1 is a tenth.")
@click.option("--requests", "requests_per_minute", type=float, help="Requests a minute.")
@click.option("--tokens", "tokens_per_minute", type=float, help="Tokens a minute.")
@click.option("--off", is_flag=True, help="The provider's whole limit again.")
@asks_the_api
def throttle(session: Session, run: str, off: bool, **pace: float | None) -> None:
    """Let a migration use less of its provider, while it runs.

    In every worker within seconds. RUN is a migration's id, or a bot's for its newest migration.
    """
    body = {name: value for name, value in pace.items() if value is not None}
    if off == bool(body):
        raise click.UsageError("Say --share, --requests or --tokens, or else --off.")
    where = run_path(run_id_of(session, run), "throttle")
    answer = session.api.ask(*(("DELETE", where) if off else ("POST", where, body)))
    session.tell(answer, show_started)


@click.command()
@run_argument
@click.option("--watch", "watched", is_flag=True, help="Watch it until nothing more happens.")
@asks_the_api
def retry(session: Session, run: str, watched: bool) -> None:
    """Try a migration again that has failed or was rolled back.

    With the same wishes; what is kept of it is not embedded again. RUN is a migration's id, or a
    bot's for its newest migration.
    """
    answer = session.api.ask("POST", run_path(run_id_of(session, run), "retry"))
    session.tell(answer, show_started)
    if watched:
        new: dict[str, Any] = answer.value["migration"]
        follow(session, new["migration_id"])
