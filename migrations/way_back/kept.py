"""Collections nobody needs any more: taken over again, retired, dropped; each checked under lock.

Retiring ends the way back: the bot forgets its previous collection, which is kept
for a while. Dropping ends the keeping. A collection somebody still writes to is
neither retired nor dropped, and what a stale reading says may be dropped is asked
about again under the lock of everybody who could make it live.

An original, which no run of ours has made, is released from memory instead of dropped and
kept without an end, unless its bot says that originals may be dropped.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import structlog

from migrations.model.chunks import Content
from migrations.model.errors import ForeignCollection, StillRead, TransientError
from migrations.model.left_behind import End, HoldReason, KeptCollection
from migrations.model.runs import LONGEST_INPUT, Migration, NewMigration
from migrations.process.services import Services
from migrations.run.content import content_of_collection
from migrations.target.drop import drop
from migrations.way_back.late_writes import sweep

log = structlog.get_logger(__name__)


def adopting(services: Services, new: NewMigration) -> NewMigration:
    """``new`` with the newest held target that fits it, or as it is when none does.

    What the target holds is checked chunk by chunk before anything is paid; here it
    only has to be of the same bot, source and embedding. Whether it still is held is
    decided under lock when the migration is recorded.
    """
    for held in services.store.kept_of(new.bot_id):
        if _fits(services, held, new) and services.vectors.exists(held.collection):
            return replace(new, target_collection=held.collection, target_adopted=True)
    return new


def kept_of(services: Services, bot_id: str) -> list[KeptCollection]:
    """What the bot has left and is kept, newest first, without originals dropped by others."""
    return [held for held in services.store.kept_of(bot_id) if not is_gone(services, held)]


def is_gone(services: Services, held: KeptCollection) -> bool:
    """Of one that nothing is due for: whether somebody else has dropped it."""
    if held.drop_after is not None:  # it is looked at when its time has come
        return False
    try:
        return not services.exists_briefly(held.collection)
    except TransientError:
        return False


def _fits(services: Services, held: KeptCollection, new: NewMigration) -> bool:
    if held.reason is not HoldReason.ROLLED_BACK:
        return False
    if (held.source_collection, held.embedding) != (new.source_collection, new.config.target):
        return False
    # The same text has another vector when it is too long and was treated otherwise, or was
    # cut where nobody knows: at what the model was found to take by and by.
    earlier = services.store.migration(held.migration_id)
    return (
        earlier.config.over_long == new.config.over_long
        and earlier.config.index == new.config.index
        and LONGEST_INPUT not in earlier.totals
    )


#: Holding is never extended by less, so that a refused drop is not tried every round.
SHORTEST_EXTENSION_HOURS = 1.0


def retire(services: Services, migration_id: UUID) -> bool:
    """Hold the collection that this migration left behind; False while it may not be.

    Raises:
        Superseded: the bot has moved on; and what a sweep raises.
    """
    store, vectors = services.store, services.vectors
    migration = store.migration(migration_id)
    name = migration.source_collection
    if not vectors.exists(name):  # somebody dropped it: there is no way back to keep open
        return store.retire(migration_id, None, None, services.settings.hold_hours)
    may_be_dropped = store.may_be_dropped(migration.bot_id, name)
    # Read before the sweep: a write between the two is the sweep's, a later one differs
    # from what was read. What stays need not be told from what it was.
    content = _content(services, name, migration.bot_id) if may_be_dropped else None
    result = sweep(services, migration)
    if not result.quiet:
        log.info("retiring_postponed", collection=name, late_writes=result.found)
        return False
    retired = _retired(services, migration_id, content)
    if retired:
        store.forget_keys(name)  # they were for the way back
    log.info("retired" if retired else "retiring_refused", collection=name)
    return retired


def _retired(services: Services, migration_id: UUID, content: Content | None) -> bool:
    retire, hours = services.store.retire, services.settings.hold_hours
    if content is None:  # to be put away at once
        return retire(migration_id, None, None, 0.0)
    return retire(migration_id, content.chunks, content.hex, hours)


def drop_kept(services: Services, collection: str) -> bool:
    """Drop a collection that was held for long enough; False when it may not be.

    One that stays is released from memory instead.

    Raises:
        StillRead: an alias points to it.
        ForeignCollection: somebody is writing to it.
    """
    store, vectors = services.store, services.vectors
    held = store.kept(collection)
    if held is None:
        return False
    end = _end_of(held) if vectors.exists(collection) else End.GONE
    if end is End.DROPPED and not _is_unchanged(services, held):
        return False
    with store.lock_kept(collection, end) as is_nobodys:
        if not is_nobodys:
            log.warning("drop_refused", collection=collection)
            return False
        _put_away(services, held, end)
    log.info("held_collection_put_away", collection=collection, end=end.value)
    return end is not End.RELEASED


def _end_of(held: KeptCollection) -> End:
    return End.RELEASED if held.stays else End.DROPPED


def _put_away(services: Services, held: KeptCollection, end: End) -> None:
    """Out of Milvus or out of its memory. The lock is the caller's; raises as it says."""
    vectors, name = services.vectors, held.collection
    if end is End.DROPPED:
        drop(services, name, chunks=held.chunks if held.is_compared else None)
    elif end is End.RELEASED and not vectors.aliases_of(name):  # else somebody may read it
        vectors.release(name)


def _is_unchanged(services: Services, held: KeptCollection) -> bool:
    """Whether a retired collection is as it was; where that is not known, it is read now."""
    if not held.is_compared:
        return True
    content, hours = _read(services, held), _extension(services)
    if held.chunks is None or held.content_digest is None:
        services.store.measure_kept(held.collection, content.chunks, content.hex, hours)
        return False
    if content == Content.of(held.chunks, held.content_digest):
        return True
    warning = (
        f"Somebody has written to {held.collection!r} since it was retired; it is kept. "
        "Copy what is needed from it and drop it in Milvus."
    )
    services.store.keep_longer(held.collection, hours, warning)
    log.warning("drop_refused", collection=held.collection, reason=warning)
    return False


def _read(services: Services, kept: KeptCollection) -> Content:
    vectors = services.vectors
    if not vectors.is_loaded(kept.collection):
        vectors.load(kept.collection)
    return _content(services, kept.collection, kept.bot_id)


def _content(services: Services, collection: str, bot_id: str) -> Content:
    schema = services.vectors.describe(collection, services.store.bot(bot_id).vector_field)
    return content_of_collection(services.vectors, schema)


def _extension(services: Services) -> float:
    return max(services.settings.hold_hours, SHORTEST_EXTENSION_HOURS)


#: A creation that was sent before its run was undone has come to its end by then.
LOOK_FOR_SECONDS = 600.0


def drop_orphan(services: Services, migration: Migration) -> bool:
    """Drop the target of an undone run if it is there and is nobody's; whether it was."""
    store, vectors, name = services.store, services.vectors, migration.target_collection
    if migration.target_is_kept or store.kept(name) or not vectors.exists(name):
        return False
    with store.lock_for_drop(name) as is_nobodys, suppress(ForeignCollection, StillRead):
        if is_nobodys and not store.kept(name) and drop(services, name, migration.tag):
            log.warning("orphan_dropped", collection=name, migration_id=str(migration.id))
            return True
    return False
