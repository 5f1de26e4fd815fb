"""Phase 3: make the target: the source's schema with another dimension."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import structlog

from migrations.errors import CollectionNotFound, ForeignCollection, Superseded
from migrations.failpoints import failpoint
from migrations.run import Run

log = structlog.get_logger(__name__)


def run(run: Run) -> dict[str, Any]:
    """Create the target, or adopt it when it is this migration's own.

    Raises:
        ForeignCollection, SchemaNotReproduced, CollectionNotFound.
    """
    migration, vectors = run.migration, run.services.vectors
    if migration.target_is_kept:
        if not vectors.is_loaded(migration.target_collection):
            vectors.load(migration.target_collection)
        return {}
    vectors.create_like(
        run.source, migration.target_collection, migration.config.to_dimension, migration.tag
    )
    failpoint("new_collection.after_create", migration_id=migration.id)
    _take_back_if_late(run)
    return {}


def _take_back_if_late(run: Run) -> None:
    """The run may have been undone while Milvus was still at it; then nobody else drops this.

    Raises:
        Superseded: another epoch owns the migration. Driven again it needs the target,
        and dropping refuses.
    """
    if run.services.store.heartbeat(run.migration.id, run.migration.epoch):
        return
    with suppress(ForeignCollection):
        undo(run)
    raise Superseded


def undo(run: Run) -> None:
    """Drop the target, if it is ours and nobody can be reading it.

    Raises:
        ForeignCollection: it carries another owner's tag.
    """
    migration, vectors = run.migration, run.services.vectors
    name = migration.target_collection
    if migration.target_is_kept:
        return
    with run.services.store.hold_for_drop(name) as is_nobodys:
        if not is_nobodys:
            raise ForeignCollection(f"{name!r} is a bot's live or previous collection; kept.")
        try:
            tag, aliases = vectors.owner_tag(name), vectors.aliases_of(name)
        except CollectionNotFound:
            return
        if tag != migration.tag:
            raise ForeignCollection(f"{name!r} was not made by this migration; kept.")
        if aliases:
            raise ForeignCollection(f"{name!r} has the alias {aliases[0]!r}; kept.")
        vectors.drop(name)
    log.info("target_dropped", collection=name)
