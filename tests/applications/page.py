"""The table that users read, docs/applications.md, made of what the tests expect.

``python -m tests.applications.page`` writes it anew.
"""

from __future__ import annotations

import json
import re

from devstack.stack import PROJECT
from tests.applications.verdicts import (
    APPLICATIONS,
    LITE,
    REAL,
    CannotBe,
    IsRefused,
    Migrates,
)

PAGE = PROJECT / "docs" / "applications.md"
HEAD = f"| application | the text that is found | to be stated | {LITE} | {REAL} |"


def table() -> str:
    return "\n".join([HEAD, "|---|---|---|---|---|", *map(_row, APPLICATIONS)]) + "\n"


def page(of_now: str) -> str:
    """The page with the table as it has to be."""
    rest = re.sub(r"^\|.*\n", "", of_now[of_now.index(HEAD) :], flags=re.MULTILINE)
    return of_now[: of_now.index(HEAD)] + table() + rest


def _row(name: str) -> str:
    entry = APPLICATIONS[name]
    text = _code(entry.text) if entry.text else "none stands in its rows"
    stated = {
        json.dumps(on.stated) for on in entry.on.values() if isinstance(on, Migrates) and on.stated
    }
    said = " or ".join(f"`{one}`" for one in sorted(stated)) or "nothing"
    return f"| {name} | {text} | {said} | {_verdict(LITE, name)} | {_verdict(REAL, name)} |"


def _code(value: object) -> str:
    return f"`{json.dumps(value)}`"


def _verdict(engine: str, name: str) -> str:
    match APPLICATIONS[name].on[engine]:
        case Migrates(stated):
            return "migrates when stated" if stated else "migrates"
        case IsRefused():
            return "refused"
        case CannotBe(because):
            return f"cannot be: {because}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
