"""``celery -A worker reembed …``: what an operator does on the command line.

Celery imports this for every command of its own, so each command of ours imports what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import click

from migrations.model.bots import Role
from migrations.model.errors import ReembedError
from migrations.settings import get_settings

#: Who did it, where an admin's name stands otherwise.
COMMAND_LINE = "the command line"


@click.group()
def reembed() -> None:
    """Tokens, grants, the database schema, and repair of migrations."""


@contextmanager
def _in_a_sentence() -> Iterator[None]:
    try:
        yield
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
@click.option("--role", type=click.Choice([r.value for r in Role]), default=Role.USER.value)
def issue_token_command(name: str, owner: str, role: str) -> None:
    """Make an API token and print it, once."""
    from migrations.bootstrap import build_system

    click.echo(build_system().access.issue(name, owner, Role(role)))


@reembed.command("grant")
@click.option("--owner", required=True, help="Who may register them.")
@click.argument("pattern")
def grant_command(owner: str, pattern: str) -> None:
    """Let an owner register collections whose names match PATTERN.

    Quote it: '*' is any text, '?' any character, '[ab]' one of these.
    """
    from migrations.bootstrap import build_system

    with _in_a_sentence():
        given = build_system().grants.grant(owner, pattern, by=COMMAND_LINE)
    click.echo(f"Grant {given.id}: {given.owner} may register collections named {given.pattern}")


@reembed.command("grants")
def grants_command() -> None:
    """List who may register which collections."""
    from migrations.bootstrap import build_system

    with _in_a_sentence():
        found = build_system().grants.all()
    for grant in found:
        click.echo(
            f"{grant.id}\t{grant.owner}\t{grant.pattern}\tby {grant.granted_by}"
            f"\t{grant.granted_at:%Y-%m-%d}"
        )


@reembed.command("revoke-grant")
@click.argument("grant_id", type=click.IntRange(min=1))
def revoke_grant_command(grant_id: int) -> None:
    """Take a grant back; bots that were registered by it stay."""
    from migrations.bootstrap import build_system

    with _in_a_sentence():
        build_system().grants.revoke(grant_id)
    click.echo(f"Grant {grant_id} is revoked.")


@reembed.command("repair")
@click.argument("migration_id", type=click.UUID)
def repair_command(migration_id: UUID) -> None:
    """Run the compensation of a migration that needs an operator once more."""
    from migrations.bootstrap import build_system

    with _in_a_sentence():
        repaired = build_system().system.repair(migration_id)
    click.echo(f"Migration {repaired.id} is {repaired.status.value} again; watch its progress.")
