"""Bots in the authority."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Protocol

from migrations.model.answers import RemovedBot
from migrations.model.bots import Bot
from migrations.model.requests import BotChange


class BotStore(Protocol):
    def add_bot(self, bot: Bot) -> Bot:
        """An original that stays for another bot is no longer kept for that one.

        Raises:
            BotExists; CollectionInUse: a migration fills its collection, or it is kept to be
            taken over or dropped.
        """
        ...

    def require_free(self, collection: str) -> None:
        """Raises BotExists, CollectionInUse, as :meth:`add_bot` does, which asks again."""
        ...

    def bot(self, bot_id: str) -> Bot:
        """Raises BotNotFound."""
        ...

    def bot_by_alias(self, alias: str) -> Bot:
        """Raises BotNotFound."""
        ...

    def alias_moves(self, bot_id: str, live: str, at: str) -> bool:
        """Note that the alias points to ``at`` and is about to be pointed to ``live``.

        From then on it may point to either. False when another collection is live by now.
        """
        ...

    def alias_followed(self, bot_id: str, live: str) -> None:
        """Note that the alias was seen to point to ``live``, if that is live still."""
        ...

    def bots(
        self, owner: str | None = None, *, after: str | None = None, limit: int | None = None
    ) -> list[Bot]:
        """In the order of their ids: those that follow ``after``, the first ``limit`` of them."""
        ...

    def bots_of(self, bot_ids: Collection[str]) -> dict[str, Bot]:
        """By their ids, in one statement; those that there are not are left out."""
        ...

    def change_bot(self, bot_id: str, change: BotChange) -> Bot:
        """Its runs go to a new owner with it.

        Raises:
            BotNotFound; MigrationInProgress: a live run works with what is to be changed.
        """
        ...

    def remove_bot(self, bot_id: str) -> RemovedBot:
        """Forget it, its runs and what they have left behind; what was paid stays in the ledger.

        Raises:
            BotNotFound; MigrationInProgress: it has a live run.
        """
        ...

    def may_be_dropped(self, bot_id: str, collection: str) -> bool:
        """Whether a run of ours made it for this bot, or the bot lets originals be dropped."""
        ...

    def lock_for_drop(self, collection: str) -> AbstractContextManager[bool]:
        """Lock the rows that could make ``collection`` live; True when it is nobody's."""
        ...
