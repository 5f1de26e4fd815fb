"""The pages of docs/reference are what the code says today."""

from __future__ import annotations

import pytest

from devstack.server import PROJECT
from reference.pages import FOLDER, PAGES, written

#: Of each page, something that must be on it, so that one that is empty is not current.
_FOUND_IN = {
    "http.md": "POST /bots/{bot_id}/embeddings/start-migration",
    "cli.md": "celery -A worker reembed upgrade-schema",
    "settings.md": "REEMBED_DATABASE_URL",
    "errors.md": "too-many-migrations",
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_current(name: str) -> None:
    current = written(name) == (FOLDER / name).read_text()
    assert current, f"docs/reference/{name} is not what the code says: run 'make reference'"


@pytest.mark.parametrize("name", _FOUND_IN)
def test_a_page_tells_what_it_is_for(name: str) -> None:
    assert _FOUND_IN[name] in (FOLDER / name).read_text()


def test_every_page_of_the_folder_is_written_and_linked() -> None:
    readme = (PROJECT / "README.md").read_text()
    assert set(PAGES) == {path.name for path in FOLDER.iterdir()}
    assert [] == [name for name in PAGES if f"docs/reference/{name}" not in readme]
