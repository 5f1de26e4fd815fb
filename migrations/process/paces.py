"""A run's own pace: PostgreSQL decides it, and the limiter is told."""

from __future__ import annotations

from migrations.model.errors import InvalidConfiguration
from migrations.model.pace import Pace
from migrations.model.runs import Migration
from migrations.process.services import Services


def tell_pace(services: Services, migration: Migration) -> None:
    """At both of its providers; a limiter that is away is told again by a watchdog."""
    pace, config = Pace.of(migration.controls), migration.config
    for provider in dict.fromkeys((config.from_provider, config.to_provider)):
        services.limiter.set_pace(provider, migration.id, pace)


def require_known_limit(services: Services, migration: Migration, pace: Pace) -> None:
    """Raises InvalidConfiguration for what would slow nothing down, so that nobody relies on it."""
    provider = migration.config.to_provider
    learned = services.limiter.learned(provider)
    if learned is None:
        return
    if not learned.can_be_paced:
        raise InvalidConfiguration(
            "The model runs inside the workers, and there is no limit to use less of: pause the "
            "migration, or let fewer workers read its queues."
        )
    if pace.requests_per_minute or pace.tokens_per_minute or learned.limits or learned.is_slowed:
        return
    raise InvalidConfiguration(
        f"No limit of {provider} is known, so there is no share of it: say requests_per_minute or "
        "tokens_per_minute."
    )
