"""Who works on a migration, in the authority."""

from __future__ import annotations

from typing import Protocol

from migrations.model.runs import Lease


class LeaseStore(Protocol):
    def take_lease(self, lease: Lease, holder: str, seconds: int) -> bool:
        """Become (or stay) the one that does its work, by the database's clock.

        False while another one is, or when it does not allow anybody. A runner's is a
        heartbeat too.
        """
        ...

    def release_lease(self, lease: Lease, holder: str) -> None:
        """Make room; nothing when another one has it."""
        ...

    def allows(self, lease: Lease) -> bool:
        """Whether its work may be done now, whoever holds it."""
        ...
