"""Which pages there are, and under which settings they are written."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from reference import commands, errors, http, metrics, settings

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
#: A page's file → what gives its text.
PAGES: Mapping[str, Callable[[], str]] = {
    "http.md": http.page,
    "cli.md": commands.page,
    "settings.md": settings.page,
    "errors.md": errors.page,
    "metrics.md": metrics.page,
}
#: Nobody is asked: the application is made, and no request sent.
_NOWHERE = {
    "REEMBED_DATABASE_URL": "postgresql+psycopg2://reembed@127.0.0.1:1/reembed",
    "REEMBED_REDIS_URL": "redis://127.0.0.1:1/0",
    "REEMBED_MILVUS_URI": "http://127.0.0.1:1",
    "REEMBED_ENV_FILE": "",
}


def written(name: str) -> str:
    """The text of a page, the same on every machine."""
    kept = dict(os.environ)
    for variable in [variable for variable in kept if variable.startswith("REEMBED_")]:
        del os.environ[variable]
    os.environ.update(_NOWHERE)
    try:
        return PAGES[name]()
    finally:
        os.environ.clear()
        os.environ.update(kept)
