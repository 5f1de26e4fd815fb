"""``celery -A worker reembed …``: what an operator does on the command line.

Celery imports this for every command of its own, so each command of ours imports what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

import click

from migrations.model.access import TrailSearch
from migrations.model.bots import Caller, Role
from migrations.model.checkup import worst
from migrations.model.errors import ReembedError
from migrations.model.findings import Severity
from migrations.settings import get_settings

if TYPE_CHECKING:
    from migrations.bootstrap import Assembly

#: Who did it, where an admin's name stands otherwise.
COMMAND_LINE = "the command line"
#: How the doctor ends that has found warnings alone; the same as of the other command line.
WARNED = 5


@click.group()
def reembed() -> None:
    """Tokens, grants, the database schema, and repair of migrations."""


class Duration(click.ParamType[timedelta]):
    """A number and a unit: 45s, 30m, 12h, 90d."""

    name = "duration"
    _UNITS: ClassVar = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    _LONGEST = timedelta(days=3650)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        number, unit = str(value)[:-1], str(value)[-1:]
        if not number.isdecimal() or unit not in self._UNITS or len(number) > 9:
            self.fail(f"{value!r} is no duration; write it as 45s, 30m, 12h or 90d.", param, ctx)
        lasts = timedelta(**{self._UNITS[unit]: int(number)})
        if not timedelta(0) < lasts <= self._LONGEST:
            self.fail(f"{value!r} is not between a second and ten years.", param, ctx)
        return lasts


_expires_in = click.option(
    "--expires-in",
    type=Duration(),
    help="How long it is good, e.g. 90d; left out, until it is revoked.",
)


@contextmanager
def _assembly() -> Iterator[Assembly]:
    """What is refused meanwhile is told in a sentence."""
    from migrations.bootstrap import build_system

    try:
        yield build_system()
    except ReembedError as error:
        raise click.ClickException(error.message) from error


@reembed.command("upgrade-schema")
def upgrade_schema_command() -> None:
    """Bring the database to the newest schema revision."""
    from migrations.bootstrap import upgrade_schema

    upgrade_schema(get_settings())
    click.echo("The database has the newest schema revision.")


@reembed.command("issue-token")
@click.option("--name", required=True, help="What the token is for, shown in lists.")
@click.option("--owner", required=True, help="Whose bots it may touch.")
@click.option(
    "--role",
    type=click.Choice([r.value for r in Role]),
    default=Role.USER.value,
    show_default=True,
    help="query asks the owner's bots, read sees them, user changes them, admin does so for all.",
)
@_expires_in
def issue_token_command(name: str, owner: str, role: str, expires_in: timedelta | None) -> None:
    """Make an API token and print it, once."""
    with _assembly() as assembly:
        text, _ = assembly.access.issue(name, owner, Role(role), expires_in)
    click.echo(text)


@reembed.command("tokens")
def tokens_command() -> None:
    """List every token: number, state, role, owner, name, when it was made, ends and was used."""
    with _assembly() as assembly:
        found = assembly.access.all()
    for token in found:
        ends = token.revoked_at or token.expires_at
        click.echo(
            f"{token.id}\t{token.state}\t{token.role}\t{_shown(token.owner)}\t{_shown(token.name)}"
            f"\t{_time(token.created_at)}\t{_time(ends) if ends else 'never'}"
            f"\t{_time(token.last_used_at) if token.last_used_at else 'never'}"
        )


@reembed.command("revoke-token")
@click.argument("token_id", type=click.IntRange(min=1))
def revoke_token_command(token_id: int) -> None:
    """Revoke a token; it is good for nothing from the next request on."""
    with _assembly() as assembly:
        assembly.access.revoke(token_id)
    click.echo(f"Token {token_id} is revoked.")


@reembed.command("rotate-token")
@click.argument("token_id", type=click.IntRange(min=1))
@_expires_in
@click.option(
    "--keep-old",
    type=Duration(),
    default=timedelta(0),
    help="How long the old one is good yet, e.g. 1h; left out, it is revoked at once.",
)
def rotate_token_command(token_id: int, expires_in: timedelta | None, keep_old: timedelta) -> None:
    """Print a new token for the same name, owner and role, once.

    Without --expires-in it lasts as long as the old one was meant to.
    """
    with _assembly() as assembly:
        text, _ = assembly.access.rotate(token_id, expires_in, keep_old)
    click.echo(text)


@reembed.command("trail")
@click.option("--token", "token_id", type=click.IntRange(min=1), help="Of this token alone.")
@click.option("--owner", help="Of this owner's tokens alone.")
@click.option("--subject", help="About this bot, migration, token or grant alone.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
def trail_command(token_id: int | None, owner: str | None, subject: str | None, limit: int) -> None:
    """Show which token did what, from where, the newest first."""
    with _assembly() as assembly:
        search = TrailSearch(limit, token_id=token_id, owner=owner, subject=subject)
        found = assembly.trail.read(search)
    for entry in found:
        deed = entry.deed
        click.echo(
            f"{_time(entry.at)}\t{deed.token_id}\t{_shown(entry.owner)}"
            f"\t{_shown(entry.token_name)}"
            f"\t{deed.address}\t{deed.method} {deed.route}\t{deed.subject or '-'}\t{deed.status}"
        )


def _shown(name: str) -> str:
    """Names of before they were checked may hold anything."""
    return "".join(c if c.isprintable() else "\ufffd" for c in name)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@reembed.command("grant")
@click.option("--owner", required=True, help="Who may register them.")
@click.argument("pattern")
def grant_command(owner: str, pattern: str) -> None:
    """Let an owner register collections whose names match PATTERN.

    Quote it: '*' is any text, '?' any character, '[ab]' one of these.
    """
    with _assembly() as assembly:
        given = assembly.grants.grant(owner, pattern, by=COMMAND_LINE)
    click.echo(f"Grant {given.id}: {given.owner} may register collections named {given.pattern}")


@reembed.command("grants")
def grants_command() -> None:
    """List who may register which collections."""
    with _assembly() as assembly:
        found = assembly.grants.all()
    for grant in found:
        click.echo(
            f"{grant.id}\t{grant.owner}\t{grant.pattern}\tby {grant.granted_by}"
            f"\t{grant.granted_at:%Y-%m-%d}"
        )


@reembed.command("revoke-grant")
@click.argument("grant_id", type=click.IntRange(min=1))
def revoke_grant_command(grant_id: int) -> None:
    """Take a grant back; bots that were registered by it stay."""
    with _assembly() as assembly:
        assembly.grants.revoke(grant_id)
    click.echo(f"Grant {grant_id} is revoked.")


@reembed.command("doctor")
@click.option(
    "--ask-providers", is_flag=True, help="Ask each model in use for one word, which is billed."
)
def doctor_command(ask_providers: bool) -> None:
    """Look at everything that migrations stand on, as this host sees it.

    Ends with 1 for errors and with 5 for warnings alone.
    """
    with _assembly() as assembly:
        operator = Caller(COMMAND_LINE, Role.ADMIN)
        found = assembly.system.examine(operator, ask_providers=ask_providers)
    for one in found.looked:
        verdict = worst(one.findings) or "well"
        click.echo(f"{verdict:8} {one.about}" + ("" if one.findings else f": {one.well}"))
        for finding in one.findings:
            click.echo(_shown(f"         {finding.message} ({finding.code})"))
            click.echo(_shown(f"         -> {finding.remedy}"))
    if found.severity is not None:
        raise click.exceptions.Exit(1 if found.severity is Severity.ERROR else WARNED)


@reembed.command("repair")
@click.argument("migration_id", type=click.UUID)
def repair_command(migration_id: UUID) -> None:
    """Run the compensation of a migration that needs an operator once more."""
    with _assembly() as assembly:
        repaired = assembly.system.repair(migration_id)
    click.echo(f"Migration {repaired.id} is {repaired.status.value} again; watch its progress.")


@reembed.command("endpoints")
def endpoints_command() -> None:
    """List who is told what happens to migrations, and what they have not taken."""
    from migrations.telling.teller import endpoints_of

    with _assembly() as assembly:
        standings = {one.endpoint: one for one in assembly.services.store.standings()}
        settings = endpoints_of(assembly.services.settings)
    for name in sorted(settings.keys() | standings.keys()):
        endpoint, standing = settings.get(name), standings.get(name)
        columns = (
            name,
            (endpoint.owner or "everybody's bots") if endpoint else "no longer set",
            ",".join(endpoint.events) if endpoint else "",
            f"{standing.waiting if standing else 0} waiting",
            f"{standing.given_up if standing else 0} given up",
            (standing.reason or "") if standing else "",
        )
        click.echo("\t".join(columns).rstrip("\t"))


@reembed.command("try-endpoint")
@click.argument("name")
def try_endpoint_command(name: str) -> None:
    """Send a test message to a webhook, a chat or a mailbox."""
    from migrations.telling.teller import try_endpoint

    with _assembly() as assembly:
        receipt = try_endpoint(assembly.services, name)
    if receipt.reason is not None:
        raise click.ClickException(receipt.reason)
    click.echo("It was taken.")
