"""What is kept of an address and a token."""

from __future__ import annotations

import sys

import click

from cli.client import Client
from cli.config import TOKEN, URL, Address, checked_token, checked_url, config_file, keep
from cli.refusals import Refused
from cli.session import surroundings_of


@click.command()
@click.argument("url", required=False)
@click.pass_context
def login(context: click.Context, url: str | None) -> None:
    """Try an address and a token, and keep them.

    They are kept in a file of mode 0600. The token is asked for, or read from the standard
    input where that is no terminal; it is no option, because others on the machine may see
    those. URL is the API's address, such as https://reembed.example.org.
    """
    surroundings = surroundings_of(context)
    environ = surroundings.environ
    url = url or environ.get(URL) or click.prompt("Address of the API")
    address = Address(checked_url(url), checked_token(environ.get(TOKEN) or _asked_for()))
    if address.is_overheard:
        click.echo(
            "This address is plain HTTP: the token goes over the network as it is.", err=True
        )
    try:
        Client(address, surroundings.send).ask("GET", "/bots", query={"limit": 1})
    except Refused as refused:
        if refused.code != "not-allowed":  # one that only asks is good, and lists no bots
            raise
    file = config_file(environ)
    try:
        keep(address, file)
    except OSError as error:
        raise click.FileError(str(file), error.strerror) from error
    click.echo(f"{address.url} takes the token; both are kept in {file}.")


def _asked_for() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Token", hide_input=True))
    return sys.stdin.readline()


@click.command()
@click.pass_context
def logout(context: click.Context) -> None:
    """Forget what 'login' has kept. The token stays good; an admin revokes it."""
    file = config_file(surroundings_of(context).environ)
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise click.FileError(str(file), error.strerror) from error
    click.echo(f"{file} is gone.")
