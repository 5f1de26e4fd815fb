"""A refusal of the API (RFC 9457) as somebody at a terminal reads it."""

from __future__ import annotations

import json
from typing import Any

import click

from cli.endings import Ended, Exit
from cli.plain import plain

#: What one can do here, by the problem's code, where its own sentence speaks of HTTP.
_HINTS = {
    "not-authenticated": "Run 'reembed login' with a token that is good.",
    "token-ended": "Run 'reembed login' with a token that is good.",
    "bot-not-found": "'reembed bots list' shows yours.",
    "bot-exists": "'reembed bots list' shows yours.",
    "migration-in-progress": "'reembed status BOT' shows the one that is live.",
    "no-active-migration": "'reembed status BOT' shows how the last one ended.",
    "not-accepted": "Read 'reembed report RUN', then: reembed switch RUN --reason '…'.",
    "not-allowed": "An admin issues one: reembed tokens issue --role ….",
    "collection-not-granted": "An admin gives it: reembed grants add OWNER PATTERN.",
    "token-not-found": "'reembed tokens list' has the numbers.",
    "grant-not-found": "'reembed grants list' has the numbers.",
}
_SAID = {"type", "title", "status", "detail", "instance", "request_id", "errors"}


class Refused(Ended):
    """The API says no, and why."""

    def __init__(self, text: str, retry_after: str | None) -> None:
        self.text = text
        try:
            told = json.loads(text)
        except ValueError:
            told = None
        self.problem: dict[str, Any] = told if isinstance(told, dict) else {}
        self.retry_after = int(retry_after) if retry_after and retry_after.isdecimal() else None
        #: Whether it is shown as it came.
        self.as_json = False
        passes = self.problem.get("status") == 503
        super().__init__(_sentences(self.problem), Exit.AWAY if passes else Exit.REFUSED)

    @property
    def code(self) -> str:
        return str(self.problem.get("type", "")).rpartition("/")[2]

    @property
    def passes(self) -> bool:
        """Whether the same request may be answered in a while."""
        return self.problem.get("status") in (429, 503)

    def show(self, file: object = None) -> None:
        if self.as_json:
            click.echo(self.text)
        else:
            super().show()


def _sentences(problem: dict[str, Any]) -> str:
    code = str(problem.get("type", "")).rpartition("/")[2]
    lines = [f"Refused: {problem.get('title', 'no reason given')} ({code})."]
    lines.append(str(problem.get("detail", "")))
    lines += [
        f"  {one.get('in')} {one['path']}: {one.get('message')}"
        for one in problem.get("errors") or []
        if isinstance(one, dict) and "path" in one
    ]
    lines += [f"  {name}: {_value(value)}" for name, value in problem.items() if name not in _SAID]
    if code in _HINTS:
        lines.append(_HINTS[code])
    if problem.get("status", 0) >= 500 and problem.get("request_id"):
        lines.append(f"The API's log has it as {problem['request_id']}.")
    return plain("\n".join(line for line in lines if line))


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
