"""What somebody decides about a run: stop it, let it switch, take it back."""

from __future__ import annotations

from typing import Any

import click

from cli.client import path
from cli.commands.following import show_way_back
from cli.commands.moving import show_started
from cli.commands.runs import run_argument, run_id_of, run_path, status_of
from cli.session import Session, asks_the_api, yes

_BEFORE_THE_SWITCH = {"pending", "running", "waiting", "paused"}


@click.command()
@click.argument("bot_id", metavar="BOT")
@yes("Ask nothing.")
@asks_the_api
def cancel(session: Session, bot_id: str, agreed: bool) -> None:
    """Stop the live migration of BOT.

    Before its switch alone: what it has done is undone, and the bot goes on as it is.
    """
    session.consent(
        "What it has done is undone. What was embedded is kept for a while: a new start to the "
        "same model does not pay for it again. Cancel it?",
        given=agreed,
    )
    answer = session.api.ask("POST", path("bots", bot_id, "embeddings", "cancel-migration"))
    session.tell(answer, show_started)


@click.command()
@run_argument
@click.option("--reason", help="Accept that less was found than wanted, and say why; it is kept.")
@asks_the_api
def switch(session: Session, run: str, reason: str | None) -> None:
    """Let a migration that waits before its switch go on.

    RUN is a migration's id, or a bot's for its newest migration. Where a gate has failed, it
    needs --reason; 'reembed report RUN' says what was found.
    """
    body = {} if reason is None else {"accept": True, "reason": reason}
    where = run_path(run_id_of(session, run), "switch")
    session.tell(session.api.ask("POST", where, body), show_started)


@click.command()
@run_argument
@click.option(
    "--mode",
    type=click.Choice(["now", "complete"]),
    default="complete",
    show_default=True,
    help="Switch back at once, or carry over what was written since and then switch back.",
)
@yes("Ask nothing.")
@asks_the_api
def rollback(session: Session, run: str, mode: str, agreed: bool) -> None:
    """Take a migration back, after telling what that would mean.

    RUN is a migration's id, or a bot's for its newest migration. Before the switch this is
    'cancel'; after it a migration of its own goes back, which is shown.
    """
    run_id = run_id_of(session, run)
    if not agreed and not session.as_json:
        _tell_consequences(session, run_id, mode)
    session.consent(f"Take it back ({mode})?", given=agreed)
    answer = session.api.ask("POST", run_path(run_id, "rollback"), {"mode": mode})
    session.tell(answer, show_started)


def _tell_consequences(session: Session, run_id: str, mode: str) -> None:
    progress: dict[str, Any] = session.api.ask("GET", run_path(run_id, "progress")).value
    if progress["status"] in _BEFORE_THE_SWITCH:
        click.echo("It has not switched: it stops, and what it has done so far is undone.")
        return
    found = status_of(session, progress["bot_id"])
    newest = found["migration"]
    if newest and newest["migration_id"] != run_id:
        click.echo("This is not the bot's newest migration; the way back is that of the newest.")
    show_way_back(found)
    for option in found["rollback_options"]:
        if option["mode"] == mode and not option["ready"]:
            click.echo(f"\nA rollback '{mode}' would be refused as things are.")
