"""One place to ask how the system is that migrations stand on."""

from __future__ import annotations

from migrations.model.workers import Crew
from migrations.process.services import Services


class Lookout:
    """Of one process; safe for threads."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def crew(self) -> Crew:
        """Who works, as they have said. Raises StateStoreUnavailable."""
        workers = tuple(self._services.store.workers())
        return Crew(workers, self._services.settings.stalled_after_seconds)
