"""Who may take which collection into care: an admin any, others what an admin has granted them."""

from __future__ import annotations

from collections.abc import Collection

from migrations.model.access import Grant, check_name, check_pattern
from migrations.model.bots import Caller, Role
from migrations.model.errors import CollectionNotGranted
from migrations.ports.grant_store import GrantStore


class Grants:
    """What an admin does. Whoever calls has asked whether it is one."""

    def __init__(self, store: GrantStore) -> None:
        self._store = store

    def grant(self, owner: str, pattern: str, by: str) -> Grant:
        """The same grant given again is the one that is there. Raises NameInvalid."""
        check_name("owner", owner)
        check_pattern(pattern)
        return self._store.add_grant(owner, pattern, by)

    def all(self) -> list[Grant]:
        return self._store.grants()

    def revoke(self, grant_id: int) -> None:
        """Bots that were registered by it stay. Raises GrantNotFound."""
        self._store.remove_grant(grant_id)


def require_grant(store: GrantStore, caller: Caller, names: Collection[str]) -> None:
    """Each name must be covered by one grant or another of the caller's owner.

    The error names nothing that the caller has not said: what stands behind an alias
    may be somebody else's.

    Raises:
        CollectionNotGranted.
    """
    if caller.role is Role.ADMIN:
        return
    grants = store.grants(caller.owner)
    if not all(any(grant.covers(name) for grant in grants) for name in names):
        raise CollectionNotGranted
