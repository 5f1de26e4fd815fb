"""How far a migration is, how it went, and what is live."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from cli.client import path
from cli.commands.runs import asks_again_and_again, run_argument, run_id_of, run_path
from cli.endings import INTERRUPTED, Ended, Exit
from cli.plain import embedding, finding, lasting, plain, told, when
from cli.session import Session, asks_the_api
from cli.shown import bot as show_bot
from cli.shown import checks, facts, sentences, table
from cli.shown import migration as show_migration
from cli.views import JsonView, LineView, LiveView
from cli.watching import LOOK_SECONDS, UNTIL, View, Watch, has_come, otherwise


@click.command()
@run_argument
@click.option(
    "--until",
    type=click.Choice(list(UNTIL)),
    help="Come back as soon as it is so far, and with 4 where it has ended otherwise.",
)
@asks_again_and_again
@asks_the_api
def watch(session: Session, run: str, until: str | None, every: float, patience: float) -> None:
    """Watch a migration to its end.

    That is when nothing more happens unless somebody asks. RUN is a migration's id, or a bot's
    for its newest migration. Ctrl-C ends the watching and not the migration. With --json every
    answer that is new is a line.
    """
    follow(session, run_id_of(session, run), until, every=every, patience=patience)


def follow(
    session: Session,
    run_id: str,
    until: str | None = None,
    *,
    every: float = 1.0,
    patience: float = 600.0,
) -> None:
    here = session.surroundings
    progress_path = run_path(run_id, "progress")
    watched = Watch(
        lambda: session.api.ask("GET", progress_path, seconds=LOOK_SECONDS),
        here.sleep,
        here.seconds,
        every,
        patience,
    )
    try:
        with ExitStack() as stack:
            progress = watched.follow(_view(session, stack), until)
    except KeyboardInterrupt:
        click.echo("\nThe migration goes on.", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    if until is not None and not has_come(progress, until):
        raise otherwise(progress, until)
    session.say(f"The migration is {progress['status']}.")


def _view(session: Session, stack: ExitStack) -> View:
    if session.as_json:
        return JsonView()
    return stack.enter_context(LiveView()) if sys.stdout.isatty() else LineView()


@click.command()
@click.argument("bot_id", metavar="BOT")
@asks_the_api
def status(session: Session, bot_id: str) -> None:
    """Show a bot, its newest migration, the way back."""
    answer = session.api.ask("GET", path("bots", bot_id, "embeddings", "migration-status"))
    session.tell(answer, _show_status)


def _show_status(found: dict[str, Any]) -> None:
    show_bot(found["bot"])
    click.echo()
    if found["migration"]:
        show_migration(found["migration"])
    else:
        click.echo("It never had a migration.")
    click.echo()
    show_way_back(found)
    if found["held"]:
        click.echo("\nCollections that it has left:")
        table(
            found["held"],
            {
                "collection": "collection",
                "because": "reason",
                "chunks": "chunks",
                "dropped after": lambda h: "never" if h["stays"] else when(h["drop_after"]),
            },
        )
    if found["conflicts"]:
        click.echo(f"\n{found['conflicts']} chunks wait for a person to judge (conflicts).")
    sentences("Wrong just now:", [finding(one) for one in found.get("findings", [])])
    sentences("Not known just now:", found["not_asked"])


def show_way_back(found: dict[str, Any]) -> None:
    """What a rollback in each mode would mean."""
    options = found["rollback_options"]
    if not options:
        click.echo("There is no way back after a switch.")
        sentences("Because:", found["rollback_blockers"])
        return
    click.echo(f"There is a way back until {when(found['rollback_expires_at'])}:")
    table(
        options,
        {
            "mode": "mode",
            "ready": "ready",
            "back in": lambda option: lasting(option["seconds_until_back"]),
            "complete in": lambda option: lasting(option["seconds_until_complete"]),
            "readers meanwhile": "readers",
        },
    )
    for option in options:
        sentences(f"In the way of '{option['mode']}':", option["blockers"])


@click.command()
@asks_the_api
def active(session: Session) -> None:
    """List every live migration (admin). With --json each page of the answer is a line."""
    found = session.pages("/embeddings/migrations/active", "migrations")
    if not session.as_json:
        table(
            found,
            {
                "migration": "migration_id",
                "bot": "bot_id",
                "owner": "owner",
                "status": "status",
                "phase": "phase",
                "percent": lambda run: f"{run['percent']:.1f}",
                "waits for": "waiting_for",
            },
        )


@click.command()
@run_argument
@click.option("--html", "page", type=click.Path(dir_okay=False), help="Write the page with plots.")
@asks_the_api
def report(session: Session, run: str, page: str | None) -> None:
    """Show what verification compared, found, and did not look at.

    RUN is a migration's id, or a bot's for its newest migration.
    """
    where = run_path(run_id_of(session, run), "report")
    if page is None:
        session.tell(session.api.ask("GET", where), _show_report)
        return
    if session.as_json:
        raise click.UsageError("--json or --html, one of them.")
    answer = session.api.ask("GET", where, query={"format": "html"}, accept="text/html")
    try:
        Path(page).write_text(answer.text, encoding="utf-8")
    except OSError as error:
        raise Ended(f"{page}: {error.strerror}", Exit.USAGE) from error
    click.echo(f"{page} has the report; open it in a browser.")


def _show_report(found: dict[str, Any]) -> None:
    facts(
        [
            ("migration", found["migration_id"]),
            ("bot", found["bot_id"]),
            ("status", found["status"]),
            ("from", embedding(found["source"])),
            ("to", embedding(found["target"])),
            ("verified", when(found["verified_at"])),
            ("tokens", ", ".join(f"{n} {told(v)}" for n, v in found["tokens"].items()) or None),
        ]
    )
    click.echo()
    checks(found["checks"])
    sentences("Not looked at:", found["not_compared"])
    if found["decision"]:
        accepted = found["decision"].get("accepted")
        click.echo(plain(f"\nIt waited for: {', '.join(found['decision'].get('waits_for', []))}."))
        if accepted:
            click.echo(plain(f"Accepted by {accepted['by']}: {accepted.get('reason') or '-'}"))
