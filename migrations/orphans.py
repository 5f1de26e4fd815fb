"""Collections that a late worker made after its run was undone, and did not live to take back.

The worker takes its own back when it notices (new collection creation). One that is
killed between the two leaves a collection that no row names as anybody's: it is
looked for as long as such a worker may still be at it.
"""

from __future__ import annotations

import structlog

from migrations.model.runs import Migration
from migrations.process.services import Services

log = structlog.get_logger(__name__)

#: A creation that was sent before its run was undone has come to its end by then.
LOOK_FOR_SECONDS = 600.0


def drop_orphans(services: Services) -> int:
    """Drop the targets of lately undone runs that are there and are nobody's; their number."""
    found = services.store.undone_lately(LOOK_FOR_SECONDS)
    return sum(_dropped(services, migration) for migration in found)


def _dropped(services: Services, migration: Migration) -> bool:
    store, vectors, name = services.store, services.vectors, migration.target_collection
    if migration.target_is_kept or store.held(name) or not vectors.exists(name):
        return False
    with store.hold_for_drop(name) as is_nobodys:
        ours = vectors.owner_tag(name) == migration.tag and not vectors.aliases_of(name)
        if not is_nobodys or not ours or store.held(name):
            return False
        vectors.drop(name)
    log.warning("orphan_dropped", collection=name, migration_id=str(migration.id))
    return True
