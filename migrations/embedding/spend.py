"""What was paid, for those who pay: of a migration, a bot, an owner."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from migrations.embedding.prices import price_of
from migrations.model.bots import Caller, Role
from migrations.model.errors import BotNotFound, MigrationNotFound, NotAllowed
from migrations.model.spend import Bill, PricedSpend, Spent
from migrations.process.services import Services


class Spend:
    """The ledger at today's prices. Changes nothing; safe for threads."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def of_migration(self, caller: Caller, migration_id: UUID) -> Bill:
        """Raises MigrationNotFound."""
        store = self._services.store
        if not caller.may_touch(store.migration(migration_id).owner):
            raise MigrationNotFound
        return self._priced(store.spent_by_run(migration_id))

    def of_bot(self, caller: Caller, bot_id: str) -> Bill:
        """Its migrations, and what its owner has had asked for it otherwise.

        What an earlier owner has paid in errands stays with them. Raises BotNotFound.
        """
        bot = self._services.store.bot(bot_id)
        if not caller.may_touch(bot.owner):
            raise BotNotFound
        return self._priced(self._services.store.spent(bot.owner, bot_id))

    def of_owner(self, caller: Caller, owner: str | None) -> Bill:
        """All bots of the owner, also those that were removed; without one the caller's, and for
        an admin everybody's.

        Raises NotAllowed: another owner's is asked for.
        """
        if caller.role is not Role.ADMIN:
            if owner not in {None, caller.owner}:
                raise NotAllowed("Only an admin may ask what another owner has paid.")
            owner = caller.owner
        return self._priced(self._services.store.spent(owner))

    def of_everybody(self) -> Bill:
        """For monitoring: nobody is asked who wants to know."""
        return self._priced(self._services.store.spent())

    def _priced(self, found: Sequence[Spent]) -> Bill:
        return Bill(
            [PricedSpend(one, price_of(self._services, one.provider, one.model)) for one in found]
        )
