"""What calls to providers are held to."""

from __future__ import annotations

from typing import Any

import click

from cli.client import path
from cli.session import Session, asks_the_api
from cli.shown import sentences, table


@click.group()
def paces() -> None:
    """What calls to each provider are held to (admin)."""


@paces.command("list")
@asks_the_api
def list_(session: Session) -> None:
    """List limits, what refusals have taught, and pauses."""
    session.tell(session.api.ask("GET", "/paces"), _show)


def _show(found: dict[str, Any]) -> None:
    table(
        found["paces"],
        {
            "provider": "provider",
            "requests a minute": "limit_requests_per_minute",
            "tokens a minute": "limit_tokens_per_minute",
            "used of that": lambda pace: f"{pace['share']:.0%}",
            "requests a minute after refusals": lambda pace: (
                pace["requests_per_minute"] and f"{pace['requests_per_minute']:.3g}"
            ),
        },
    )
    sentences("Held:", [pace["told"] for pace in found["paces"] if pace["told"]])


@paces.command()
@click.argument("provider")
@asks_the_api
def forget(session: Session, provider: str) -> None:
    """Forget what the refusals of PROVIDER have taught; a pause stays in force."""
    session.api.ask("DELETE", path("paces", provider))
    session.say(f"{provider} is asked again as its limits allow.")
