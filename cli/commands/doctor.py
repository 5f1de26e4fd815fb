"""The doctor."""

from __future__ import annotations

from typing import Any

import click

from cli.endings import Ended, Exit
from cli.plain import plain
from cli.session import Session, asks_the_api, yes


@click.command()
@click.option(
    "--ask-providers", is_flag=True, help="Ask each model in use for one word, which is billed."
)
@yes("Agree to being billed for that.")
@asks_the_api
def doctor(session: Session, ask_providers: bool, agreed: bool) -> None:
    """Look at everything that migrations stand on (admin). Ends with 1 for errors, 5 for warnings.

    While the API is down: celery -A worker reembed doctor.
    """
    if ask_providers:
        session.consent("Each model in use is asked for one word. Ask?", given=agreed)
    query = {"ask_providers": "true"} if ask_providers else {}
    answer = session.api.ask("GET", "/doctor", query=query)
    session.tell(answer, _show)
    verdict = answer.value["verdict"]
    if verdict == "error":
        raise Ended("Something stands still or fails.", Exit.REFUSED)
    if verdict == "warning":
        raise Ended("Nothing fails yet.", Exit.WARNED)


def _show(found: dict[str, Any]) -> None:
    for one in found["looked_at"]:
        told = f"{one['verdict']:8} {one['about']}"
        click.echo(plain(f"{told}: {one['message']}" if not one["findings"] else told))
        for finding in one["findings"]:
            click.echo(plain(f"         {finding['message']} ({finding['code']})"))
            click.echo(plain(f"         -> {finding['remedy']}"))
