"""What applications write through us, in the authority."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from migrations.model.chunks import Key
from migrations.model.writes import Appended, Entry, FailedWrite, Journal, OnceOnly, Write


class JournalStore(Protocol):
    """One journal for each bot: places are given in the order of the commits, without gaps.

    Who appends holds the journal's row until it commits, so that nobody who reads up to a
    place can miss what is committed later below it.
    """

    def append(
        self,
        bot_id: str,
        writes: Sequence[Write],
        most_waiting: int,
        request: OnceOnly | None = None,
    ) -> Appended:
        """Keep the writes in this order; a ``request`` that is known already adds none.

        Raises:
            BotNotFound; IdempotencyConflict: the key stands for another request;
            JournalFull: more than ``most_waiting`` would wait to be applied.
        """
        ...

    def journal(self, bot_id: str) -> Journal:
        """An empty one where nobody has written."""
        ...

    def failed_writes(
        self, bot_id: str, *, after: int = 0, upto: int | None = None, limit: int = 100
    ) -> list[FailedWrite]:
        """Those passed over, by place: until the key is written anew, or for a week."""
        ...

    def unapplied(self, bot_id: str, limit: int) -> tuple[int, list[Entry]]:
        """The place up to which all is applied, and the next to be, in order."""
        ...

    def advance(
        self,
        bot_id: str,
        holder: str,
        generation: int,
        after: int,
        upto: int,
        done: Collection[Key] = (),
        failed: Sequence[FailedWrite] = (),
    ) -> bool:
        """What stands after ``after`` and up to ``upto`` is applied, ``done`` keys well.

        False, and nothing happens, unless ``holder`` has the lease of applying, the bot is still
        at the ``generation`` whose collection was written to, and nobody has moved the place
        meanwhile: it is moved back by one who may have written over what was written here.
        """
        ...

    def apply_again(self, bot_id: str, after: int) -> None:
        """What stands after this place, because somebody may have written older things over it."""
        ...

    def put_off(self, bot_id: str, holder: str, reason: str, seconds: float) -> None:
        """Nothing can be applied now; nobody is woken for so long."""
        ...

    def claim_journals(self, bot_id: str | None = None) -> list[str]:
        """Bots, or whether this bot is one, for whom somebody has to be woken; the caller does it.

        None that is being applied or held, or for whom somebody was woken a moment ago.
        """
        ...

    def watch_journal(self, migration_id: UUID, epoch: int, *, anew: bool = False) -> list[Key]:
        """Keys that may have been applied since this run has asked last; none when it is new.

        From now on it is remembered, until the run switches or its epoch is gone. ``anew``: as
        if it had not asked before. Raises Superseded.
        """
        ...

    def hold_journal(self, migration_id: UUID, epoch: int) -> bool:
        """Have nothing applied until this run switches or its epoch is gone.

        False while somebody is still at it. Raises Superseded.
        """
        ...

    def let_go_journal(self, migration_id: UUID, epoch: int) -> None:
        """Have it applied again; nothing where another one holds it."""
        ...
