"""Take over the held target of an earlier run, so that nothing is paid for twice."""

from __future__ import annotations

from dataclasses import replace

from migrations.model.left_behind import HeldCollection, HoldReason
from migrations.model.runs import NewMigration
from migrations.process.services import Services


def adopting(services: Services, new: NewMigration) -> NewMigration:
    """``new`` with the newest held target that fits it, or as it is when none does.

    What the target holds is checked chunk by chunk before anything is paid; here it
    only has to be of the same bot, source and embedding. Whether it still is held is
    decided under lock when the migration is recorded.
    """
    for held in services.store.held_of(new.bot_id):
        if _fits(services, held, new) and services.vectors.exists(held.collection):
            return replace(new, target_collection=held.collection, target_adopted=True)
    return new


def _fits(services: Services, held: HeldCollection, new: NewMigration) -> bool:
    if held.reason is not HoldReason.ROLLED_BACK:
        return False
    if (held.source_collection, held.embedding) != (new.source_collection, new.config.target):
        return False
    # The same text has another vector when it is too long and was treated otherwise.
    earlier = services.store.migration(held.migration_id).config
    return earlier.over_long == new.config.over_long
