"""The fake state store's held collections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from migrations.lifecycle.change import Change, drop_asked, drop_refused, kept_for
from migrations.model.bots import Bot
from migrations.model.errors import KeptNotFound, NoLongerKept, OriginalStays
from migrations.model.left_behind import End, HoldReason, KeptCollection
from migrations.model.runs import Migration, NewMigration
from migrations.model.states import LIVE, Kind
from migrations.store.bots import HEADING_FOR_SWITCH, belongs_already, is_filled, is_kept
from migrations.store.kept import is_wanted_again, may_end, put_away, retired, target_of
from tests.fakes.state_leases import FakeLeases
from tests.fakes.state_rows import collections_of, newest


class FakeKept(FakeLeases):
    def switched_by(self, bot_id: str, generation: int) -> Migration | None:
        with self._transaction():
            wanted = (bot_id, generation)
            return newest(m for m in self._all() if (m.bot_id, m.new_generation) == wanted)

    def keep_target(self, migration_id: UUID, chunks: int, hold_hours: float) -> bool:
        name = self._row(migration_id).migration.target_collection
        with self._collections[name], self._held(migration_id) as held:
            if self._is_wanted(name):
                return False
            if name not in self._held_ones:
                one = target_of(held.migration, chunks, held.now, hold_hours)
                self._held_ones[name] = one
                told = {"collection": name, "chunks": chunks}
                self._apply(held, Change({}, "target_held", told))
            return True

    def kept(self, collection: str) -> KeptCollection | None:
        with self._transaction():
            held = self._held_ones.get(collection)
            return self._as_kept(held) if held is not None else None

    def kept_of(self, bot_id: str) -> list[KeptCollection]:
        with self._transaction():
            held = (one for one in self._held_ones.values() if one.bot_id == bot_id)
            mine = [self._as_kept(one) for one in held]
            return sorted(mine, key=lambda one: one.held_at, reverse=True)

    def kept_page(
        self, owner: str | None, bot_id: str | None, after: str | None, limit: int
    ) -> list[KeptCollection]:
        with self._transaction():
            found = [
                self._as_kept(one)
                for name, one in sorted(self._held_ones.items())
                if owner in {None, self._bot(one.bot_id).owner}
                and bot_id in {None, one.bot_id}
                and (after is None or name > after)
            ]
            return found[:limit]

    def keep_for(self, collection: str, hours: float | None, by: str) -> KeptCollection:
        with self._collections[collection], self._transaction() as now:
            one = self._kept_one(collection)
            until = None if hours is None else now + timedelta(hours=hours)
            if not one.stays and one.drop_after != until:
                self._change_kept(replace(one, drop_after=until), kept_for(collection, by, until))
            return self._kept_one(collection)

    def let_drop(self, collection: str, by: str) -> KeptCollection:
        with self._collections[collection], self._transaction() as now:
            one = self._kept_one(collection)
            if self._is_wanted(collection):
                raise is_wanted_again(collection)
            if one.stays:
                raise OriginalStays
            if one.drop_after is None or one.drop_after > now:
                self._change_kept(replace(one, drop_after=now), drop_asked(collection, by))
            return self._kept_one(collection)

    def _kept_one(self, collection: str) -> KeptCollection:
        if collection not in self._held_ones:
            raise KeptNotFound
        return self._as_kept(self._held_ones[collection])

    def _change_kept(self, changed: KeptCollection, told: Change) -> None:
        self._held_ones[changed.collection] = changed
        with self._held(changed.migration_id) as held:
            self._apply(held, told)

    def retire(
        self, migration_id: UUID, chunks: int | None, digest: str | None, hold_hours: float
    ) -> bool:
        name = self._row(migration_id).migration.source_collection
        with self._collections[name], self._held(migration_id) as held:
            if not self._may_retire(held.migration, held.now):
                return False
            bot = self._bot(held.migration.bot_id)
            until = held.now + timedelta(hours=hold_hours)
            self._keep(retired(bot, migration_id, chunks, digest, held.now, until))
            self._bots[bot.bot_id] = replace(bot, previous=None)
            self._forget_snapshots_of(bot.bot_id)
            self._apply(held, Change({}, "retired", {"collection": name}))
            return True

    def measure_kept(self, collection: str, chunks: int, digest: str, hold_hours: float) -> None:
        self._hold_longer(collection, hold_hours, chunks=chunks, content_digest=digest)

    def keep_longer(self, collection: str, hold_hours: float, warning: str) -> None:
        longer = self._hold_longer(collection, hold_hours)
        if longer is not None:
            with self._held(longer.migration_id) as held:
                self._apply(held, drop_refused(held, collection, warning))

    def _hold_longer(
        self, collection: str, hold_hours: float, **measured: Any
    ) -> KeptCollection | None:
        with self._transaction() as now:
            held = self._held_ones.get(collection)
            if held is None:
                return None
            until = now + timedelta(hours=hold_hours)
            self._held_ones[collection] = replace(held, drop_after=until, **measured)
            return self._held_ones[collection]

    @contextmanager
    def lock_kept(self, collection: str, end: End = End.DROPPED) -> Iterator[bool]:
        with self._collections[collection]:
            with self._transaction() as now:
                one = self._held_ones.get(collection)
                may_put_away = one is not None and self._may_end(one, end, now)
            yield may_put_away
            if one is not None and may_put_away:
                with self._held(one.migration_id) as held:
                    self._apply(held, put_away(collection, end))
                    del self._held_ones[collection]
                    if end is End.RELEASED:
                        self._held_ones[collection] = replace(one, drop_after=None)

    def _may_end(self, one: KeptCollection, end: End, now: datetime) -> bool:
        is_due = one.drop_after is not None and one.drop_after <= now
        is_free = is_due and not self._is_wanted(one.collection)
        return is_free and may_end(not self._as_kept(one).stays, end)

    # --- within transactions of others -------------------------------------------

    def _may_be_dropped(self, bot_id: str, collection: str) -> bool:
        bot = self._bots.get(bot_id)
        made = (m for m in self._all() if m.bot_id == bot_id and not m.target_is_kept)
        made_here = any(m.target_collection == collection for m in made)
        return made_here or (bot is not None and bot.drop_originals)

    def _as_kept(self, held: KeptCollection) -> KeptCollection:
        return replace(held, stays=not self._may_be_dropped(held.bot_id, held.collection))

    def _is_wanted(self, collection: str) -> bool:
        if any(collection in collections_of(bot) for bot in self._bots.values()):
            return True
        heading = (m for m in self._all() if m.status in HEADING_FOR_SWITCH)
        return any(collection in {m.source_collection, m.target_collection} for m in heading)

    def _require_free(self, collection: str) -> None:
        if self._user_of(collection) is not None:
            raise belongs_already("collection", collection)
        if any(m.target_collection == collection and m.status in LIVE for m in self._all()):
            raise is_filled(collection)
        held = self._held_ones.get(collection)
        if held is not None and held.drop_after is not None:
            raise is_kept(collection)

    def _reconsider_kept(self, bot_id: str, now: datetime) -> None:
        for name, one in self._held_ones.items():
            is_original = self._as_kept(one).stays
            if one.bot_id == bot_id and one.drop_after is None and is_original:
                self._held_ones[name] = replace(one, drop_after=now)

    def _take_over(self, new: NewMigration) -> None:
        if new.kind is not Kind.FORWARD or not new.target_adopted:
            return
        held = self._held_ones.get(new.target_collection)
        facts = (new.bot_id, HoldReason.ROLLED_BACK, new.source_collection, new.config.target)
        if held is None or facts != (
            held.bot_id,
            held.reason,
            held.source_collection,
            held.embedding,
        ):
            raise NoLongerKept
        if self._is_wanted(new.target_collection):
            raise NoLongerKept
        del self._held_ones[new.target_collection]

    def _leave_behind(self, before: Bot, migration: Migration, at: datetime) -> None:
        previous = before.previous
        if previous is not None and previous.collection != migration.target_collection:
            self._keep(retired(before, migration.id, None, None, at, at))

    def _keep(self, held: KeptCollection) -> None:
        self._held_ones.setdefault(held.collection, held)

    def _may_retire(self, migration: Migration, now: datetime) -> bool:
        bot = self._bot(migration.bot_id)
        return self._may_go_back(migration) and self._has_given_up_previous(bot, now)

    def _has_given_up_previous(self, bot: Bot, now: datetime) -> bool:
        expired = bot.previous is not None and bot.previous.expires_at <= now
        return expired and self._live(bot.bot_id) is None
