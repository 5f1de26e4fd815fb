"""How many migrations may be live at a time, in all and of one owner's bots."""

from __future__ import annotations

from collections.abc import Sequence

from migrations.model.errors import TooManyMigrations


def no_room(
    owners: Sequence[str], owner: str, limit: int, of_one_owner: int | None = None
) -> TooManyMigrations | None:
    """Why there is no room for another one of ``owner``; ``owners`` are those of the live ones.

    An owner's own limit is looked at first: who waits for it has to end one of their own.
    """
    theirs = owners.count(owner)
    if of_one_owner is not None and theirs >= of_one_owner:
        return TooManyMigrations(
            f"{theirs} migrations of this owner's bots are live, and {of_one_owner} may be; try "
            "again when one has ended, or cancel one.",
            limit=of_one_owner,
            limit_of="owner",
        )
    if len(owners) >= limit:
        return TooManyMigrations(
            f"The limit of {limit} concurrent migrations is reached; try again when one has ended.",
            limit=limit,
            limit_of="system",
        )
    return None
