"""What runs have left behind, in the hands of those whose it is: collections and conflicts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import structlog

from migrations.model.bots import Caller, Role
from migrations.model.errors import BotNotFound, KeptNotFound, OriginalStays, TransientError
from migrations.model.left_behind import ConflictPlace, KeptCollection, KeptConflict
from migrations.model.runs import Due
from migrations.process.services import Services
from migrations.target.drop import is_there
from migrations.way_back.kept import is_gone

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class KeptPage:
    kept: tuple[KeptCollection, ...]
    #: Those that follow come after this name; None where none do.
    next: str | None


@dataclass(frozen=True)
class ConflictPage:
    conflicts: tuple[KeptConflict, ...]
    #: Where to go on; None where nothing follows.
    next: ConflictPlace | None


class LeftBehind:
    """Safe for threads. What is of another owner is answered as if it did not exist."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def kept(
        self, caller: Caller, *, bot_id: str | None = None, after: str | None = None, limit: int
    ) -> KeptPage:
        """The caller's kept collections by name, an admin's are all; of one bot, if it is named.

        Originals that somebody has dropped in Milvus are left out. Raises BotNotFound.
        """
        if bot_id is not None:
            self._require_bot(caller, bot_id)
        owner = None if caller.role is Role.ADMIN else caller.owner
        found = self._services.store.kept_page(owner, bot_id, after, limit + 1)
        page = found[:limit]
        shown = tuple(one for one in page if not is_gone(self._services, one))
        return KeptPage(shown, page[-1].collection if len(found) > limit else None)

    def keep(self, caller: Caller, collection: str, hours: float | None) -> KeptCollection:
        """Keep it for so long from now; None: for good. Raises KeptNotFound."""
        self._require_kept(caller, collection)
        kept = self._services.store.keep_for(collection, hours, caller.owner)
        log.info("kept_longer", collection=collection, by=caller.owner, hours=hours)
        return kept

    def drop(self, caller: Caller, collection: str) -> KeptCollection:
        """Have it dropped by a worker as soon as may be; twice is like once.

        The worker asks everything again under the locks of whoever could make it somebody's, and
        compares what it holds: one that is written to stays.

        Raises:
            KeptNotFound, OriginalStays, CollectionInUse; StillRead: an alias points to it.
        """
        if self._require_kept(caller, collection).stays:
            raise OriginalStays
        self._require_unread(collection)
        store = self._services.store
        let_go = store.let_drop(collection, caller.owner)
        store.due_again(Due.DROP, let_go.migration_id, 0)
        log.info("drop_asked", collection=collection, by=caller.owner)
        return let_go

    def conflicts(
        self,
        caller: Caller,
        bot_id: str,
        *,
        migration_id: UUID | None = None,
        after: ConflictPlace | None = None,
        limit: int,
    ) -> ConflictPage:
        """What waits for a person to judge, the newest first; of one run, if it is named.

        Raises BotNotFound.
        """
        self._require_bot(caller, bot_id)
        found = self._services.store.conflict_page(bot_id, migration_id, after, limit + 1)
        page = found[:limit]
        return ConflictPage(tuple(page), page[-1].place if len(found) > limit else None)

    def settle(self, caller: Caller, bot_id: str, keys: Collection[str] | None) -> int:
        """Somebody has judged those of these keys, or all: they are forgotten. How many.

        What the chunks are is not changed. Raises BotNotFound.
        """
        self._require_bot(caller, bot_id)
        settled = self._services.store.settle_conflicts(bot_id, keys, caller.owner)
        log.info("conflicts_settled", bot_id=bot_id, by=caller.owner, conflicts=settled)
        return settled

    def _require_unread(self, collection: str) -> None:
        """Said now, where that is known, because a worker has nobody to tell it to."""
        try:
            self._services.milvus_briefly.ask(lambda: is_there(self._services, collection))
        except TransientError:
            return

    def _require_bot(self, caller: Caller, bot_id: str) -> None:
        if not caller.may_touch(self._services.store.bot(bot_id).owner):
            raise BotNotFound

    def _require_kept(self, caller: Caller, collection: str) -> KeptCollection:
        kept = self._services.store.kept(collection)
        if kept is None:
            raise KeptNotFound
        try:
            self._require_bot(caller, kept.bot_id)
        except BotNotFound:
            raise KeptNotFound from None
        return kept
