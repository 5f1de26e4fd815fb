"""Which schema revisions this version knows, without loading what makes them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from migrations.ports.watch_store import SchemaRevision

_VERSIONS = Path(__file__).parent / "schema" / "versions"
_SAID = re.compile(r'^(revision|down_revision) = (?:"(\w+)"|None)$', re.M)


@cache
def _chain() -> tuple[str, frozenset[str]]:
    """The newest, which no other one follows, and all."""
    said = [dict(_SAID.findall(path.read_text())) for path in _VERSIONS.glob("[0-9]*.py")]
    known = {one["revision"] for one in said}
    (newest,) = known - {one["down_revision"] for one in said}
    return newest, frozenset(known)


def judged(at: str) -> SchemaRevision:
    newest, known = _chain()
    return SchemaRevision(at, newest, at in known)
