"""The table of all applications as a test run has found it: build/applications.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from devstack.stack import PROJECT
from tests.applications.moving import Answer, Could, Moved, Refused
from tests.applications.verdicts import APPLICATIONS, LITE, REAL, CannotBe, Migrates

if TYPE_CHECKING:
    from tests.applications.moves import Outcome

PLACE = PROJECT / "build" / "applications.md"
HEAD = """# Applications

Registered with provider and model alone unless something is stated; of 48 questions, each a
part of a document, the share that finds it among the first five: before the migration, after
it, and after the way back.

"""
_found: dict[str, Mapping[str, Outcome | None]] = {}


def write(engine: str, outcomes: Mapping[str, Outcome | None]) -> None:
    """Add an engine's outcomes to what this test run has written."""
    _found[engine] = outcomes
    lines = [f"| application | made with | {LITE} | {REAL} |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {entry.made_with} | {_said(LITE, name)} | {_said(REAL, name)} |"
        for name, entry in APPLICATIONS.items()
    ]
    PLACE.parent.mkdir(exist_ok=True)
    PLACE.write_text(HEAD + "\n".join(lines) + "\n")


def _said(engine: str, name: str) -> str:
    expected = APPLICATIONS[name].on[engine]
    if isinstance(expected, CannotBe):
        return f"cannot be: {expected.because}"
    outcome = _found.get(engine, {}).get(name)
    if outcome is None:
        return "not asked, or the test failed"
    if outcome.when_stated is not None and isinstance(expected, Migrates):
        stated = ", ".join(f"`{key}`: `{value}`" for key, value in expected.stated.items())
        return f"when stated ({stated}): {_answered(outcome.when_stated)}"
    return _answered(outcome.as_it_comes)


def _answered(answer: Answer) -> str:
    match answer:
        case Moved(before, after, back):
            return f"migrates, {before:.2f} → {after:.2f}, way back {back:.2f}"
        case Could(before):
            return f"can be migrated, {before:.2f}"
        case Refused(because):
            return f"refused: {because[:160]}"
