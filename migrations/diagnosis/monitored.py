"""What is counted for monitoring, each asked for once for all who look within some seconds."""

from __future__ import annotations

from collections.abc import Mapping

from migrations.diagnosis.lookout import Lookout
from migrations.embedding.spend import Spend
from migrations.model.figures import Figures
from migrations.model.spend import Bill
from migrations.model.workers import Crew
from migrations.ports.limiter import Counts
from migrations.process.figures import Recent
from migrations.process.services import Services


class Monitored:
    """Of one process; safe for threads. None while nobody answers who knows it."""

    def __init__(self, services: Services, lookout: Lookout) -> None:
        clock, spend = services.clock.monotonic, Spend(services)
        self._figures = Recent(lambda: services.store.figures(), clock)
        self._bill = Recent(spend.of_everybody, clock)
        self._crew = Recent(lookout.crew, clock)
        self._limits = Recent(lambda: services.limiter.counts(), clock)

    def figures(self) -> Figures | None:
        return self._figures.get()

    def bill(self) -> Bill | None:
        """All that was paid, by migrations and outside of any, at today's prices."""
        return self._bill.get()

    def crew(self) -> Crew | None:
        return self._crew.get()

    def limits(self) -> Mapping[str, Counts] | None:
        """What providers' limits have come to, by provider."""
        return self._limits.get()
