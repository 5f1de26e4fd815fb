"""What every authenticated request leaves in the trail once it is answered."""

from __future__ import annotations

import re

from flask import Flask, Response, g, request

from api.services import services
from migrations.model.access import Deed
from migrations.model.bots import Caller

#: What ids of ours look like; a path may hold anything.
_ID = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_ADDRESS = re.compile(r"[0-9A-Za-z.:%_\[\]-]{1,100}")


def register(app: Flask) -> None:
    app.after_request(_note)


def concerns(subject: object) -> None:
    """What the request is about, where its path does not say it."""
    g.subject = str(subject)


def remote_address() -> str:
    """Where the request comes from, as far as proxies are trusted to say."""
    address = request.remote_addr or ""
    return address if _ADDRESS.fullmatch(address) else "unknown"


def _note(response: Response) -> Response:
    caller = g.get("caller")
    if isinstance(caller, Caller) and caller.token_id is not None and request.url_rule is not None:
        deed = Deed(
            token_id=caller.token_id,
            address=remote_address(),
            method=request.method,
            route=request.url_rule.rule,
            subject=_subject(),
            status=response.status_code,
        )
        services().trail.note(deed)
    return response


def _subject() -> str | None:
    """All our routes have one thing in their path at most."""
    named: str = g.get("subject") or next(map(str, (request.view_args or {}).values()), "")
    return named if _ID.fullmatch(named) else None
