"""Who may drop a collection, and under which lock. Nobody else calls ``vectors.drop``.

* The undo of new collection creation drops its run's own target, and the watchdog one that a
  late worker made after that; both under ``lock_for_drop``, which registering, starting and
  switching take as well, so that none of them can make it somebody's meanwhile.
* :mod:`migrations.way_back.kept` drops what was kept for long enough, under ``lock_kept``:
  the same lock, and the row that keeps it; of what no run of ours has made only what its bot
  lets go.
* :mod:`migrations.target.rehearsal` drops the scratch collection that it has made itself, under
  ``lock_for_drop``.

Each asks under its lock whether a bot or a run wants it. What Milvus says is asked here.
"""

from __future__ import annotations

import structlog

from migrations.model.errors import CollectionNotFound, ForeignCollection, StillRead
from migrations.process.services import Services

log = structlog.get_logger(__name__)


def drop(services: Services, name: str, tag: str | None = None, chunks: int | None = None) -> bool:
    """Drop a collection whose lock the caller has; False when it is gone already.

    ``chunks``: it must count so many, which is as much of its content as is quick to ask.

    Raises:
        ForeignCollection: somebody is writing to it; and as :func:`is_there`.
    """
    if not is_there(services, name, tag):
        return False
    if chunks is not None and services.vectors.count(name) != chunks:
        raise ForeignCollection(f"Somebody is writing to {name!r}; kept.")
    services.vectors.drop(name)
    services.store.forget_keys(name)
    services.store.forget_texts(name)
    return True


def is_there(services: Services, name: str, tag: str | None = None) -> bool:
    """Whether it is there and may be dropped as far as Milvus can say.

    Raises:
        ForeignCollection: it carries another tag than ``tag``.
        StillRead: an alias points to it.
    """
    vectors = services.vectors
    try:
        found, aliases = vectors.owner_tag(name), vectors.aliases_of(name)
    except CollectionNotFound:
        return False
    if tag is not None and found != tag:
        raise ForeignCollection(f"{name!r} was not made for this bot; kept.")
    if aliases:
        log.warning("still_read", collection=name, alias=aliases[0])
        raise StillRead(
            f"An alias points to {name!r}, so somebody may be reading it; kept. "
            "Move or drop the alias in Milvus."
        )
    return True
