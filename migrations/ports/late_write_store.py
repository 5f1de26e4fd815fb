"""Snapshots, late writes and conflicts in the authority."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from migrations.model.left_behind import Conflict, ConflictPlace, KeptConflict
from migrations.model.snapshot import SnapshotPart, WrittenRow


class LateWriteStore(Protocol):
    def keep_part(self, migration_id: UUID, epoch: int, part: SnapshotPart) -> None:
        """Keep one part of the source as it was last caught up. Raises Superseded."""
        ...

    def end_snapshot(self, migration_id: UUID, epoch: int, parts: int) -> None:
        """Forget parts of an earlier attempt, from number ``parts`` on. Raises Superseded."""
        ...

    def snapshot_part(self, migration_id: UUID, number: int) -> SnapshotPart | None: ...

    def replace_part(self, migration_id: UUID, sweeper: str, part: SnapshotPart) -> None:
        """Replace a part. Raises Superseded unless ``sweeper`` holds the sweeper's lease."""
        ...

    def has_whole_snapshot(self, migration_id: UUID) -> bool:
        """Whether its parts cover all keys; they may be kept one by one."""
        ...

    def forget_snapshot(self, migration_id: UUID) -> None: ...

    def forget_earlier_snapshots(self, migration_id: UUID) -> None:
        """Once this migration has switched: those of the bot's others are of no use any more."""
        ...

    def note_written(self, migration_id: UUID, rows: Sequence[WrittenRow]) -> None:
        """Keep what is about to be written: a key's earlier contents add up, the last one counts.

        Before the write, so that a death in between leaves a note too many and none too few.
        """
        ...

    def written_rows(self, migration_id: UUID, limit: int) -> list[WrittenRow]:
        """The latest of them first."""
        ...

    def forget_written(self, migration_id: UUID, older_than_seconds: float = 0) -> None: ...

    def record_conflicts(self, migration_id: UUID, conflicts: Sequence[Conflict]) -> None:
        """Keep what was not forwarded, the newest per key, and warn of it on the migration."""
        ...

    def tell_breaches(self, migration_id: UUID, found: Sequence[str]) -> None:
        """Warn on the migration of what canaries have found, instead of what they found before."""
        ...

    def conflicts(self, migration_id: UUID, limit: int = 100) -> list[Conflict]: ...

    def conflict_page(
        self,
        bot_id: str,
        migration_id: UUID | None,
        after: ConflictPlace | None,
        limit: int,
    ) -> list[KeptConflict]:
        """Of all migrations of the bot, or of one, the newest first."""
        ...

    def settle_conflicts(self, bot_id: str, keys: Collection[str] | None, by: str) -> int:
        """Forget those of these keys, or all: somebody has judged them. How many there were.

        The warnings of their migrations say how many are left.
        """
        ...

    def count_conflicts(self, bot_id: str) -> int:
        """Over all migrations of the bot."""
        ...
