"""Runs now and past, as their owners look at them."""

from __future__ import annotations

from dataclasses import replace

from migrations.model.bots import Caller, Role
from migrations.model.errors import NotAllowed
from migrations.model.history import RunPage, RunSearch
from migrations.process.services import Services


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


def _whose(caller: Caller, asked: str | None) -> str | None:
    if caller.role is Role.ADMIN:
        return asked
    if asked not in {None, caller.owner}:
        raise NotAllowed("Only an admin may ask for another owner's migrations.")
    return caller.owner
