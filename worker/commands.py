"""``celery -A worker reembed …``: what an operator does on the command line.

Celery imports this for every command of its own, so each command of ours imports what it needs.
"""

from __future__ import annotations

from uuid import UUID

import click

from migrations.model.bots import Role
from migrations.model.errors import ReembedError
from migrations.settings import get_settings


@click.group()
def reembed() -> None:
    """Tokens, the database schema, and repair of migrations."""


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


@reembed.command("repair")
@click.argument("migration_id", type=click.UUID)
def repair_command(migration_id: UUID) -> None:
    """Run the compensation of a migration that needs an operator once more."""
    from migrations.bootstrap import build_system

    try:
        repaired = build_system().system.repair(migration_id)
    except ReembedError as error:
        raise click.ClickException(error.message) from error
    click.echo(f"Migration {repaired.id} is {repaired.status.value} again; watch its progress.")
