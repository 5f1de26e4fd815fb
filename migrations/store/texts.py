"""Which text a row's vector is of, where the texts stand in no collection."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from sqlalchemy import (
    LargeBinary,
    Text,
    any_,
    case,
    column,
    delete,
    literal,
    select,
    update,
    values,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from migrations.model.chunks import Key
from migrations.store.engine import Database
from migrations.store.records import EmbeddedTextRecord

#: Of a row that nobody is writing.
NOBODY = 0
PLAINLY = {"synchronize_session": False}


class SqlTexts:
    """Implements :class:`migrations.ports.text_store.TextStore`."""

    _database: Database

    def begin_texts(self, collection: str, keys: Sequence[Key]) -> int:
        begun = 1 + secrets.randbits(62)
        if keys:
            rows = [
                {"collection": collection, "key": key, "writer": begun, "digest": None}
                for key in sorted(map(str, keys))  # in one order, lest two wait for each other
            ]
            made = insert(EmbeddedTextRecord).values(rows)
            taken = made.on_conflict_do_update(
                index_elements=["collection", "key"], set_={"writer": begun, "digest": None}
            )
            with self._database.transaction() as session:
                session.execute(taken, execution_options=PLAINLY)
        return begun

    def end_texts(self, collection: str, begun: int, texts: Sequence[tuple[Key, str]]) -> None:
        if not texts:
            return
        row = EmbeddedTextRecord
        told = values(column("key", Text), column("digest", LargeBinary), name="told").data(
            [(str(key), bytes.fromhex(digest)) for key, digest in texts]
        )
        is_ours = row.writer == begun
        ended = (
            update(row)
            .where(row.collection == collection, row.key == told.c.key)
            .values(
                digest=case((is_ours, told.c.digest), else_=None),
                writer=case((is_ours, row.writer), else_=NOBODY),
            )
        )
        with self._database.transaction() as session:
            session.execute(ended, execution_options=PLAINLY)

    def note_texts(self, collection: str, texts: Sequence[tuple[Key, str]]) -> None:
        if not texts:
            return
        rows = [
            {
                "collection": collection,
                "key": key,
                "writer": NOBODY,
                "digest": bytes.fromhex(digest),
            }
            for key, digest in sorted((str(key), digest) for key, digest in texts)
        ]
        row, made = EmbeddedTextRecord, insert(EmbeddedTextRecord)
        noted = made.on_conflict_do_update(
            index_elements=["collection", "key"],
            set_={"digest": None, "writer": NOBODY},
            where=row.digest != made.excluded.digest,
        )
        with self._database.transaction() as session:
            session.execute(noted, rows)

    def embedded_texts(self, collection: str, keys: Sequence[Key]) -> dict[Key, str]:
        if not keys:
            return {}
        row, told = EmbeddedTextRecord, {str(key): key for key in keys}
        wanted = select(row.key, row.digest).where(
            row.collection == collection,
            row.key == any_(literal(list(told), ARRAY(Text))),
        )
        with self._database.reading() as session:
            found = session.execute(wanted)
            return {told[key]: digest.hex() if digest else "" for key, digest in found}

    def forget_texts(self, collection: str, keys: Sequence[Key] | None = None) -> None:
        row = EmbeddedTextRecord
        gone = delete(row).where(row.collection == collection)
        if keys is not None:
            gone = gone.where(row.key == any_(literal([str(key) for key in keys], ARRAY(Text))))
        with self._database.transaction() as session:
            session.execute(gone, execution_options=PLAINLY)
