"""Which keys belong together where Milvus gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    SQLColumnExpression,
    any_,
    delete,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on, insert
from sqlalchemy.orm import Session, aliased

from migrations.model.chunks import KeyRange
from migrations.model.given_keys import Intent, Mapped, Pair
from migrations.store.engine import Database
from migrations.store.records import KeyIntentRecord, KeyMapRecord, KeyPairRecord

#: The later of two pairs, which a stored key belongs to.
Later = aliased(KeyPairRecord)

Column = SQLColumnExpression[int]


@dataclass(frozen=True)
class _Map:
    """A map, and from which side it is looked through."""

    id: int
    is_told_by_old: bool

    @property
    def told(self) -> Column:
        return KeyPairRecord.old_key if self.is_told_by_old else KeyPairRecord.new_key

    @property
    def stored(self) -> Column:
        return KeyPairRecord.new_key if self.is_told_by_old else KeyPairRecord.old_key

    @property
    def of_it(self) -> ColumnElement[bool]:
        """Its pairs, each stored key once: as it was given last."""
        later = Later.new_key if self.is_told_by_old else Later.old_key
        given_later = (
            select(Later.id)
            .where(Later.map_id == self.id, later == self.stored, Later.id > KeyPairRecord.id)
            .exists()
        )
        return (KeyPairRecord.map_id == self.id) & ~given_later


class SqlKeys:
    """Implements :class:`migrations.ports.key_store.KeyStore`."""

    _database: Database

    def pairs_of(self, mapped: Mapped, told: Sequence[int]) -> list[Pair]:
        with self._database.reading() as session:
            of = _found(session, mapped)
            if of is None or not told:
                return []
            wanted = select(of.told, of.stored).where(of.of_it, _is_one_of(of.told, told))
            return [Pair(*row) for row in session.execute(wanted)]

    def pairs_within(self, mapped: Mapped, within: KeyRange, chunks: int) -> list[Pair]:
        with self._database.reading() as session:
            of = _found(session, mapped)
            if of is None:
                return []
            in_range = [of.of_it]
            if within.after is not None:
                in_range.append(of.told > int(within.after))
            if within.upto is not None:
                in_range.append(of.told <= int(within.upto))
            first = select(of.told).where(*in_range).distinct().order_by(of.told).limit(chunks)
            keys = session.scalars(first).all()
            if not keys:
                return []
            wanted = select(of.told, of.stored).where(*in_range, of.told <= keys[-1])
            rows = session.execute(wanted.order_by(of.told, of.stored))
            return [Pair(*row) for row in rows]

    def told_of(self, mapped: Mapped, stored: Sequence[int]) -> dict[int, int]:
        with self._database.reading() as session:
            of = _found(session, mapped)
            if of is None or not stored:
                return {}
            wanted = select(of.stored, of.told).where(of.of_it, _is_one_of(of.stored, stored))
            return dict(session.execute(wanted).all())

    def intend(self, mapped: Mapped, rows: Sequence[tuple[int, bytes]]) -> list[int]:
        if not rows:
            return []
        with self._database.transaction() as session:
            of = _found(session, mapped) or _made(session, mapped)
            told = [
                {"map_id": of.id, "is_of_old": of.is_told_by_old, "key": key, "digest": digest}
                for key, digest in rows
            ]
            made = insert(KeyIntentRecord).returning(
                KeyIntentRecord.id, sort_by_parameter_order=True
            )
            return list(session.scalars(made, told))

    def give(self, mapped: Mapped, given: Sequence[tuple[int, int]]) -> None:
        if not given:
            return
        stored = dict(given)
        with self._database.transaction() as session:
            ended = session.execute(
                delete(KeyIntentRecord)
                .where(KeyIntentRecord.id.in_(stored))
                .returning(
                    KeyIntentRecord.id,
                    KeyIntentRecord.map_id,
                    KeyIntentRecord.is_of_old,
                    KeyIntentRecord.key,
                )
            )
            pairs = [
                {
                    "map_id": map_id,
                    "old_key": key if is_of_old else stored[intent],
                    "new_key": stored[intent] if is_of_old else key,
                }
                for intent, map_id, is_of_old, key in ended
            ]
            if pairs:
                session.execute(insert(KeyPairRecord), pairs)

    def intents(self, mapped: Mapped, told: Sequence[int] | None = None) -> list[Intent]:
        with self._database.reading() as session:
            of = _found(session, mapped)
            if of is None:
                return []
            intent = KeyIntentRecord
            wanted = select(intent.id, intent.key, intent.digest).where(
                intent.map_id == of.id, intent.is_of_old == of.is_told_by_old
            )
            if told is not None:
                wanted = wanted.where(_is_one_of(intent.key, told))
            rows = session.execute(wanted.order_by(intent.id))
            return [Intent(id_, key, bytes(digest)) for id_, key, digest in rows]

    def key_map(self, old: str, new: str, after: int | None, limit: int) -> list[tuple[int, int]]:
        with self._database.reading() as session:
            of = _found(session, Mapped(keyed_as=old, collection=new))
            if of is None:
                return []
            # The last pair of an old key; earlier rows of it are gone.
            wanted = select(of.told, of.stored).where(of.of_it).ext(distinct_on(of.told))
            if after is not None:
                wanted = wanted.where(of.told > after)
            wanted = wanted.order_by(of.told, KeyPairRecord.id.desc()).limit(limit)
            return list(session.execute(wanted))

    def forget_keys(self, collection: str) -> None:
        with self._database.transaction() as session:
            session.execute(delete(KeyMapRecord).where(_is_between(collection)))


def _found(session: Session, mapped: Mapped) -> _Map | None:
    """The map between the two collections, whichever was made from the other."""
    ours, theirs = mapped.keyed_as, mapped.collection
    wanted = select(KeyMapRecord.id, KeyMapRecord.old_collection).where(
        or_(
            (KeyMapRecord.old_collection == ours) & (KeyMapRecord.new_collection == theirs),
            (KeyMapRecord.old_collection == theirs) & (KeyMapRecord.new_collection == ours),
        )
    )
    row = session.execute(wanted).one_or_none()
    return None if row is None else _Map(row[0], is_told_by_old=row[1] == ours)


def _made(session: Session, mapped: Mapped) -> _Map:
    """A new one: what is filled was made from what its keys are told by."""
    session.execute(
        insert(KeyMapRecord)
        .values(old_collection=mapped.keyed_as, new_collection=mapped.collection)
        .on_conflict_do_nothing()
    )
    made = _found(session, mapped)
    assert made is not None  # noqa: S101 # somebody else made it, if not we
    return made


def _is_between(collection: str) -> ColumnElement[bool]:
    return or_(KeyMapRecord.old_collection == collection, KeyMapRecord.new_collection == collection)


def _is_one_of(column: Column, keys: Sequence[int]) -> ColumnElement[bool]:
    return column == any_(literal(list(keys), ARRAY(BigInteger)))
