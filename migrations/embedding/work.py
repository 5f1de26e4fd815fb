"""On whose behalf texts are embedded: a run's, or an errand's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeVar

import structlog

from migrations.model.bots import Bot
from migrations.model.config import EmbeddingRef
from migrations.model.errors import ProviderRateLimited, ProviderUnavailable, TransientError
from migrations.ports.limiter import Ticket
from migrations.process.services import Services
from migrations.run.patience import pause_seconds, until_done

log = structlog.get_logger(__name__)
T = TypeVar("T")

#: How long somebody who waits over HTTP is kept waiting for one answer of a provider, its last
#: call, which has a timeout of its own, not counted.
PATIENCE_SECONDS = 20.0


class Work(Protocol):
    """Who asks a provider: it pays, takes its turns, and says how long it goes on."""

    @property
    def services(self) -> Services: ...

    @property
    def max_retries(self) -> int:
        """How often a nonsensical answer is asked for again."""
        ...

    @property
    def retry_delay(self) -> float:
        """Seconds before the first try again, doubled each time."""
        ...

    def ticket(self, provider: str, estimated_tokens: int) -> Ticket:
        """For a call; it says whose turn that takes."""
        ...

    def pay(self, ref: EmbeddingRef, purpose: str, tokens: int) -> None:
        """Write an answer into the ledger. Raises what ends the work."""
        ...

    def must_go_on(self) -> None:
        """Raises what ends the work."""
        ...

    def wait(self, seconds: float) -> None:
        """Raises what ends the work meanwhile."""
        ...

    def wait_for_turn(self, seconds: float, purpose: str) -> None:
        """Wait as the limiter says, or raise what says that this is too long."""
        ...

    def put_off(self, seconds: float, purpose: str) -> None:
        """Raise Postponed if the work is rather done later than after such a pause."""
        ...

    def patiently(self, action: Callable[[], T]) -> T:
        """Do it again while it fails in passing, as long as the work's patience lasts."""
        ...


@dataclass
class Errand:
    """What a bot's provider is asked outside of any migration, while somebody waits for it.

    Its turns come before those of migrations. For each answer it waits
    ``patience_seconds``, then the last error is the answer. For one thread.
    """

    services: Services
    patience_seconds: ClassVar[float] = PATIENCE_SECONDS
    #: Who pays.
    owner: str
    bot_id: str
    _until: float = field(default=float("inf"), init=False)

    @classmethod
    def of(cls, services: Services, bot: Bot) -> Errand:
        return cls(services, bot.owner, bot.bot_id)

    @property
    def max_retries(self) -> int:
        return 0

    @property
    def retry_delay(self) -> float:
        return self.services.settings.retry_delay

    def ticket(self, provider: str, estimated_tokens: int) -> Ticket:
        return self.services.limiter.ticket(provider, estimated_tokens, purpose="query")

    def pay(self, ref: EmbeddingRef, purpose: str, tokens: int) -> None:
        """Raises StateStoreUnavailable."""
        store = self.services.store
        self.patiently(
            lambda: store.record_errand(
                self.owner, self.bot_id, ref.provider, ref.model, purpose, tokens
            )
        )

    def must_go_on(self) -> None:
        """Raises ProviderUnavailable while this process has too many calls under way."""
        if self._patience_left() < 0:
            raise ProviderUnavailable("Too many calls to the provider are under way here.")

    def wait(self, seconds: float) -> None:
        self.services.clock.sleep(seconds)

    def wait_for_turn(self, seconds: float, purpose: str) -> None:
        """Raises ProviderRateLimited."""
        if seconds > self._patience_left():
            raise ProviderRateLimited(
                f"The provider's limit has no room for {seconds:.0f} s.",
                retry_after_seconds=seconds,
            )
        self.wait(seconds)

    def put_off(self, seconds: float, purpose: str) -> None:
        """Never: nobody would do it later."""

    def patiently(self, action: Callable[[], T]) -> T:
        """Raises the last TransientError when the patience is over, and any other at once."""
        self._until = self.services.clock.monotonic() + self.patience_seconds
        return until_done(action, self._pause)

    def _pause(self, error: TransientError, attempt: int) -> None:
        seconds = pause_seconds(error, self.retry_delay, attempt)
        if seconds > self._patience_left():
            raise error
        log.warning("waiting", code=error.code, reason=error.message, seconds=seconds)
        self.wait(seconds)

    def _patience_left(self) -> float:
        return self._until - self.services.clock.monotonic()
