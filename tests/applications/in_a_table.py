"""Applications whose texts stand in a database of their own, beside vectors in Milvus."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.applications.application import Place, Rebuilt
from tests.applications.documents import Document

#: One file for all bots of a test run: the same documents have the same keys in each.
DATABASE = Path(tempfile.gettempdir()) / f"reembed-texts-{os.getpid()}.db"
VARIABLE = "REEMBED_TEXTS_GPTCACHE"
ADDRESS = {VARIABLE: f"sqlite:///{DATABASE}"}
#: Those that tell of GPTCache's questions; others tell of times and of what was deleted.
QUESTIONS = {"sql": VARIABLE, "table": "gptcache_question", "key": "id", "column": "question"}


@dataclass(frozen=True)
class WithQuestions(Rebuilt):
    """GPTCache: the question goes into SQL, and by the id it gets there the vector into Milvus."""

    def _store(self, place: Place, documents: Sequence[Document], how: str) -> list[str]:
        rows = [(self.row(document)["id"], document.text) for document in documents]
        with closing(sqlite3.connect(DATABASE)) as connection, connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS gptcache_question (id INTEGER PRIMARY KEY, question "
                "VARCHAR(3000) NOT NULL, create_on DATETIME, deleted INTEGER DEFAULT 0)"
            )
            connection.executemany(
                "INSERT OR IGNORE INTO gptcache_question (id, question) VALUES (?, ?)", rows
            )
        return super()._store(place, documents, how)


def remove_database() -> None:
    DATABASE.unlink(missing_ok=True)
