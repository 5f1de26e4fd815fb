"""One place to ask what is wrong with that which migrations stand on."""

from __future__ import annotations

from datetime import timedelta

from migrations.diagnosis import crew, dependencies, one_run
from migrations.diagnosis.health import Found, Health
from migrations.model.findings import Finding
from migrations.model.runs import Migration
from migrations.model.states import DRIVEN
from migrations.model.workers import Crew
from migrations.process.services import Services

#: Who watches a migration may be told what was so long ago.
STALE_SECONDS = 3.0


class Lookout:
    """Of one process; safe for threads."""

    def __init__(self, services: Services) -> None:
        self._services = services
        mine = (services.postgresql_briefly, self._wrong_with_the_state_store)
        clock = services.clock.monotonic
        self._alone = Health({"postgresql": mine}, clock)
        self._all = Health(
            {
                "postgresql": (services.postgresql_briefly, self._wrong_with_postgresql),
                "redis": (services.redis_briefly, self._wrong_with_redis),
                "milvus": (services.milvus_briefly, self._wrong_with_milvus),
            },
            clock,
        )

    def crew(self) -> Crew:
        """Who works, as they have said. Raises StateStoreUnavailable."""
        workers = tuple(self._services.store.workers())
        return Crew(workers, self._services.settings.stalled_after_seconds)

    def alone(self) -> Found:
        """Whether this process can answer what it answers without asking anybody but PostgreSQL."""
        return self._alone.found()

    def found(self) -> Found:
        """What is wrong with all services, now."""
        return self._all.found()

    def known(self) -> Found:
        """The same as far as it is known, without waiting for anybody."""
        return self._all.known()

    def lately(self) -> Found:
        """The same as it was a moment ago, for those who watch."""
        return self._all.lately(STALE_SECONDS)

    def of_bot(self, newest: Migration | None) -> list[Finding]:
        """What holds its migration up, or would hold one up that was started now."""
        if newest is not None and newest.status in DRIVEN:
            return self.of_run(newest)
        return self.lately().findings

    def of_run(self, migration: Migration) -> list[Finding]:
        """What holds this migration up, as far as that is known; nothing of one that has ended."""
        if migration.status not in DRIVEN:
            return []
        common = self.lately().findings
        silent = self._silent_seconds(migration)
        patience = self._services.settings.stalled_after_seconds
        if any(one.code == "no-worker" for one in common):
            # Workers of before say nothing of themselves, and are heard by their migrations.
            spoken_of = migration.epoch > 1 or migration.started_at is not None
            if spoken_of and silent <= patience and not self._knows_workers():
                common = [one for one in common if one.code != "no-worker"]
            return common
        return [*common, *one_run.nobody_at_it(silent, patience), *self._in_circles(migration)]

    def _in_circles(self, migration: Migration) -> list[Finding]:
        if not one_run.has_cause_to_look(migration):
            return []
        events = self._services.store.events(migration.id)
        return one_run.in_circles(migration, events, self._services.now())

    def _silent_seconds(self, migration: Migration) -> float:
        return (self._services.now() - migration.heartbeat_at) / timedelta(seconds=1)

    def _knows_workers(self) -> bool:
        return bool(self._services.store.workers())

    # --- what is asked of each ------------------------------------------------------

    def _wrong_with_the_state_store(self) -> list[Finding]:
        store = self._services.store
        store.ping()
        return dependencies.wrong_with_schema(store.schema())

    def _wrong_with_postgresql(self) -> list[Finding]:
        found = self._wrong_with_the_state_store()
        if any(one.code == "schema-behind" for one in found):
            return found
        known = self.crew()
        return [
            *found,
            *crew.missing_workers(known),
            *crew.clocks_apart(known, self._ahead_seconds()),
        ]

    def _ahead_seconds(self) -> float:
        """How far this host's clock is ahead of PostgreSQL's, which answers meanwhile."""
        clock = self._services.clock
        before = clock.here()
        there = self._services.store.now()
        return (before + (clock.here() - before) / 2 - there) / timedelta(seconds=1)

    def _wrong_with_redis(self) -> list[Finding]:
        return dependencies.wrong_with_redis(self._services.checkpoints.condition())

    def _wrong_with_milvus(self) -> list[Finding]:
        self._services.vectors.ping()
        return []
