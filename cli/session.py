"""What a command works with: the API, how it shows answers, and whom it asks."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import click

from cli.client import Answer, Client, Reply, Request, Send
from cli.config import address_of
from cli.endings import Ended, Exit
from cli.refusals import Refused


def _over_http(request: Request) -> Reply:
    from cli.http import over_http  # imported when there is something to ask: --help is quick

    return over_http(request)


@dataclass(frozen=True)
class Surroundings:
    """What a test puts something else in place of."""

    send: Send = _over_http
    sleep: Callable[[float], None] = time.sleep
    seconds: Callable[[], float] = time.monotonic
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)


class Session:
    def __init__(self, surroundings: Surroundings, *, as_json: bool) -> None:
        self.surroundings = surroundings
        self.as_json = as_json

    @cached_property
    def api(self) -> Client:
        return Client(address_of(self.surroundings.environ), self.surroundings.send)

    def tell(self, answer: Answer, show: Callable[[Any], None]) -> None:
        """As it came, or as ``show`` tells its JSON."""
        if not self.as_json:
            show(answer.value)
        elif answer.text:
            click.echo(answer.text)

    def pages(
        self, path: str, member: str, query: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """The entries of all pages of a list; with ``--json`` each page is told on the way."""
        found: list[dict[str, Any]] = []
        cursor = (query or {}).get("cursor")
        while True:
            page = self.api.ask("GET", path, query={**(query or {}), "cursor": cursor})
            self.tell(page, lambda answered: found.extend(answered[member]))
            cursor = page.value["next_cursor"]
            if cursor is None:
                return found

    def say(self, sentence: str) -> None:
        """To somebody who reads; a script that asked for JSON gets nothing else."""
        if not self.as_json:
            click.echo(sentence)

    def consent(self, question: str, *, given: bool) -> None:
        """Ends the command unless somebody agrees, or has with ``--yes``."""
        if given:
            return
        if self.as_json:
            raise click.UsageError("With --json nothing is asked: add --yes.")
        if not click.confirm(question):
            raise Ended("Nothing was done.", Exit.REFUSED)


def surroundings_of(context: click.Context) -> Surroundings:
    return context.find_object(Surroundings) or Surroundings()


def asks_the_api(command: Callable[..., None]) -> Callable[..., None]:
    """A command's function that is given a session, and an option ``--json``."""

    @click.option("--json", "as_json", is_flag=True, help="Print the API's answer as it is.")
    @functools.wraps(command)
    def with_session(as_json: bool, **given: Any) -> None:
        surroundings = surroundings_of(click.get_current_context())
        try:
            command(Session(surroundings, as_json=as_json), **given)
        except Refused as refused:
            refused.as_json = as_json
            raise

    return with_session


def yes(question: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--yes", "-y", "agreed", is_flag=True, help=question)
