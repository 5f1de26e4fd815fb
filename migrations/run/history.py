"""Runs now and past, as their owners look at them."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from migrations.model.bots import Caller, Role
from migrations.model.errors import MigrationNotFound, NotAllowed
from migrations.model.history import Look, RunPage, RunSearch
from migrations.model.runs import Event
from migrations.process.services import Services
from migrations.run.progress import progress_of


class History:
    """What there is to be seen of runs. Changes nothing; safe for threads."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def runs(self, caller: Caller, search: RunSearch) -> RunPage:
        """A page of the caller's runs; of an admin all owners', unless one is named.

        Raises NotAllowed: another owner's are asked for.
        """
        search = replace(search, owner=_whose(caller, search.owner))
        found = self._services.store.runs(replace(search, limit=search.limit + 1))
        page = found[: search.limit]
        return RunPage(tuple(page), page[-1].place if len(found) > search.limit else None)

    def events(self, caller: Caller, migration_id: UUID, after: int, limit: int) -> list[Event]:
        """What has happened in a run after the event of this number (0: from the first on).

        :func:`migrations.lifecycle.history.sentence` says it in words. Raises MigrationNotFound.
        """
        self.require_seen(caller, migration_id)
        return self._services.store.events(migration_id, after, limit)

    def require_seen(self, caller: Caller, migration_id: UUID) -> None:
        """Raises MigrationNotFound: it is another owner's, or was never there."""
        if not caller.may_touch(self._services.store.migration(migration_id).owner):
            raise MigrationNotFound

    def look(self, migration_id: UUID, after: int) -> Look:
        """A run as it is now, for this process itself: nobody is asked whose it is.

        Raises MigrationNotFound.
        """
        store = self._services.store
        # In this order: of a run that is over no event is missing.
        watched = store.watched(migration_id)
        events = store.events(migration_id, after)
        return Look(progress_of(self._services, watched), tuple(events))


def _whose(caller: Caller, asked: str | None) -> str | None:
    if caller.role is Role.ADMIN:
        return asked
    if asked not in {None, caller.owner}:
        raise NotAllowed("Only an admin may ask for another owner's migrations.")
    return caller.owner
