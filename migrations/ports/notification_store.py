"""What is to be told, and to whom it was not told yet, in the authority."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from migrations.model.notifications import Delivery, NewDelivery, Standing, Untold


class NotificationStore(Protocol):
    """An event is what is to be told from the moment it is written, in its own transaction."""

    def untold(self, limit: int) -> list[Untold]:
        """Events of which it was not decided yet who is told, the oldest first."""
        ...

    def tell(self, event_ids: Sequence[int], deliveries: Sequence[NewDelivery]) -> None:
        """These events are told with these messages; a message that is there already stays."""
        ...

    def warn_of_ends(self, hours: float) -> int:
        """Write an event for each way back that ends within so many hours, once.

        None for one that was open for no longer than that. Returns how many were written.
        """
        ...

    def claim_deliveries(
        self, endpoints: Collection[str], limit: int, lease_seconds: float
    ) -> list[Delivery]:
        """The longest due; nobody else gets them before the lease has ended."""
        ...

    def delivered(self, delivery_id: int) -> None: ...

    def postpone(self, delivery_id: int, seconds: float, reason: str) -> None:
        """Due again after so long."""
        ...

    def give_up(self, delivery_id: int, reason: str) -> None:
        """It stays, with the reason, and is not sent any more."""
        ...

    def give_up_older(self, hours: float) -> list[Delivery]:
        """All that were not taken for so long; whether or not their endpoint is still known."""
        ...

    def standings(self) -> list[Standing]:
        """Of the endpoints that have not taken everything, by their names."""
        ...
