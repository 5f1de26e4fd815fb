"""Runs on their way forward, in the authority."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from migrations.model.outcomes import Outcome
from migrations.model.runs import FailedChunk, Migration, NewMigration, Step, Watched
from migrations.model.states import Phase


class RunStore(Protocol):
    def create(
        self, new: NewMigration, limit: int, of_one_owner: int | None = None
    ) -> tuple[Migration, bool]:
        """Record a migration and enqueue it; False when the idempotency key named one already.

        ``limit`` is of live migrations, ``of_one_owner`` of those of the bot's owner.

        A forward run with ``target_adopted`` takes its target out of the held ones. A reverse
        run that switches first counts against no limit, and ends a run that it takes back which
        has switched first itself and still carries rows over.

        Raises:
            MigrationInProgress, TooManyMigrations, SourceChanged, IdempotencyConflict,
            NoLongerKept.
        """
        ...

    def by_idempotency_key(self, bot_id: str, key: str) -> tuple[Migration, str | None] | None:
        """The migration an earlier request of this key made, and that request's digest."""
        ...

    def migration(self, migration_id: UUID) -> Migration:
        """Raises MigrationNotFound."""
        ...

    def latest(self, bot_id: str) -> Migration | None: ...

    def latest_of(self, bot_ids: Collection[str]) -> dict[str, Migration]:
        """The newest of each bot, in one statement; bots that never had one are left out."""
        ...

    def live(self, bot_id: str) -> Migration | None: ...

    def active(self, *, after: UUID | None = None, limit: int | None = None) -> list[Migration]:
        """Live ones, oldest first: those younger than ``after``, the first ``limit`` of them.

        Raises MigrationNotFound when there is no ``after``, live or not.
        """
        ...

    def undone_lately(self, seconds: float) -> list[Migration]:
        """Runs that have ended rolled back within so many seconds."""
        ...

    def reverse_of(self, migration_id: UUID) -> Migration | None:
        """The newest reverse run of this migration."""
        ...

    def begin_phase(self, migration_id: UUID, epoch: int, phase: Phase) -> Migration:
        """Enter a phase (or enter it again). Raises Superseded."""
        ...

    def complete_phase(
        self,
        migration_id: UUID,
        epoch: int,
        phase: Phase,
        outcome: Outcome | None = None,
    ) -> None:
        """Leave a phase done, with what it hands over. Raises Superseded."""
        ...

    def take_step(
        self, migration_id: UUID, epoch: int, step: Step, message: Mapping[str, Any] | None = None
    ) -> bool:
        """Move within data migration, once; False when somebody did already."""
        ...

    def note(
        self,
        migration_id: UUID,
        epoch: int,
        *,
        totals: Mapping[str, int] | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        """Update totals and add warnings; nothing when superseded."""
        ...

    def learn_longest_input(self, migration_id: UUID, epoch: int, tokens: int) -> None:
        """Keep the least that any worker has learned of; nothing when superseded."""
        ...

    def wait_for(self, migration_id: UUID, epoch: int, what: str | None) -> None:
        """Say what nothing moves without, None when it moves; nothing when superseded."""
        ...

    def heartbeat(self, migration_id: UUID, epoch: int) -> bool:
        """Say that work goes on; False when this epoch's work must stop."""
        ...

    def record_failed_chunk(
        self, migration_id: UUID, key: str, code: str, message: str
    ) -> None: ...

    def resolve_failed_chunks(self, migration_id: UUID, keys: Sequence[str]) -> None: ...

    def failed_chunks(self, migration_id: UUID, limit: int = 100) -> list[FailedChunk]: ...

    def count_failed_chunks(self, migration_id: UUID) -> int: ...

    def watched(self, migration_id: UUID) -> Watched:
        """All that a watcher asks for, in one statement. Raises MigrationNotFound."""
        ...
