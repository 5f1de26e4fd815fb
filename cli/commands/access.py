"""Who may do what, and who did: for admins."""

from __future__ import annotations

from typing import Any

import click

from cli.client import path
from cli.commands.durations import SECONDS
from cli.plain import when
from cli.session import Session, asks_the_api, yes
from cli.shown import table

_expires_in = click.option(
    "--expires-in", "expires_in_seconds", type=SECONDS, help="How long it is good, such as 90d."
)


#: As the API has them.
ROLES = ("query", "read", "user", "admin")


@click.group()
def tokens() -> None:
    """Tokens (admin): list, issue, rotate, revoke."""


@tokens.command("list")
@asks_the_api
def list_tokens(session: Session) -> None:
    """List every token, also those that are good no more; none with its text."""
    session.tell(session.api.ask("GET", "/tokens"), _show_tokens)


def _show_tokens(found: dict[str, Any]) -> None:
    table(
        found["tokens"],
        {
            "number": "token_id",
            "name": "name",
            "owner": "owner",
            "role": "role",
            "state": "state",
            "made": lambda token: when(token["created_at"]),
            "ends": lambda token: when(token["revoked_at"] or token["expires_at"]),
            "last used": lambda token: when(token.get("last_used_at")),
        },
    )


@tokens.command("issue")
@click.option("--name", required=True, help="What it is for, shown in lists.")
@click.option("--owner", required=True, help="Whose bots it may touch.")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="user",
    show_default=True,
    help="query asks the owner's bots, read sees them, user changes them, admin does so for all.",
)
@_expires_in
@asks_the_api
def issue(session: Session, **sent: Any) -> None:
    """Issue a token and print it, once: it is kept nowhere."""
    body = {name: value for name, value in sent.items() if value is not None}
    session.tell(session.api.ask("POST", "/tokens", body), _show_issued)


@tokens.command("rotate")
@click.argument("token_id", metavar="NUMBER", type=int)
@_expires_in
@click.option(
    "--keep-old",
    "keep_old_seconds",
    type=SECONDS,
    help="How long the old one is good yet, such as 1h; left out, it is revoked at once.",
)
@asks_the_api
def rotate(session: Session, token_id: int, **sent: Any) -> None:
    """Print a new token of the same name, owner and role, once."""
    body = {name: value for name, value in sent.items() if value is not None}
    session.tell(session.api.ask("POST", path("tokens", token_id, "rotate"), body), _show_issued)


def _show_issued(made: dict[str, Any]) -> None:
    click.echo(made["token"])
    ends = f"until {when(made['expires_at'])}" if made["expires_at"] else "until it is revoked"
    click.echo(
        f"Number {made['token_id']}, {made['role']} of {made['owner']}, good {ends}; its text is "
        "shown this once.",
        err=True,
    )


@tokens.command("revoke")
@click.argument("token_id", metavar="NUMBER", type=int)
@yes("Ask nothing.")
@asks_the_api
def revoke(session: Session, token_id: int, agreed: bool) -> None:
    """Revoke a token, from the next request on."""
    session.consent(f"Who uses token {token_id} is refused from now on. Revoke it?", given=agreed)
    session.api.ask("DELETE", path("tokens", token_id))
    session.say(f"Token {token_id} is revoked.")


@click.group()
def grants() -> None:
    """Who may register which collections (admin)."""


@grants.command("list")
@asks_the_api
def list_grants(session: Session) -> None:
    """List every owner's grants."""
    session.tell(session.api.ask("GET", "/grants"), lambda found: _show_grants(found["grants"]))


def _show_grants(found: list[dict[str, Any]]) -> None:
    table(
        found,
        {
            "number": "grant_id",
            "owner": "owner",
            "pattern": "pattern",
            "by": "granted_by",
            "at": lambda grant: when(grant["granted_at"]),
        },
    )


@grants.command("add")
@click.argument("owner")
@click.argument("pattern")
@asks_the_api
def add(session: Session, owner: str, pattern: str) -> None:
    """Let OWNER register collections whose names match PATTERN.

    Quote it: '*' is any text, '?' any character, '[ab]' one of these.
    """
    answer = session.api.ask("POST", "/grants", {"owner": owner, "pattern": pattern})
    session.tell(answer, lambda given: _show_grants([given]))


@grants.command("revoke")
@click.argument("grant_id", metavar="NUMBER", type=int)
@asks_the_api
def revoke_grant(session: Session, grant_id: int) -> None:
    """Take a grant back; bots that were registered by it stay."""
    session.api.ask("DELETE", path("grants", grant_id))
    session.say(f"Grant {grant_id} is revoked.")


@click.command()
@click.option("--token", "token_id", type=int, help="Of this token alone.")
@click.option("--owner", help="Of this owner's tokens alone.")
@click.option("--subject", help="About this bot, migration, token or grant alone.")
@click.option("--limit", type=int, default=100, show_default=True)
@click.option("--before", type=int, help="Only what is older than this entry.")
@asks_the_api
def trail(session: Session, **query: Any) -> None:
    """Show which token did what, from where, the newest first (admin)."""
    session.tell(session.api.ask("GET", "/trail", query=query), _show_trail)


def _show_trail(found: dict[str, Any]) -> None:
    table(
        found["entries"],
        {
            "entry": "entry_id",
            "at": lambda entry: when(entry["at"]),
            "token": lambda entry: f"{entry['token_id']} {entry['token_name']}",
            "owner": "owner",
            "from": "address",
            "request": lambda entry: f"{entry['method']} {entry['route']}",
            "about": "subject",
            "status": "status",
        },
    )
    if found["next_before"] is not None:
        click.echo(f"There may be older ones: --before {found['next_before']}")
