"""The real client and the real limiter at a provider that enforces its limits."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from devstack.provider import StubProvider
from migrations.adapters.limiter.accounts import accounts
from migrations.adapters.limiter.limiter import RedisRateLimiter
from migrations.adapters.providers import ConfiguredEmbedders
from migrations.bootstrap import build_services, sending_app
from migrations.embedding.asking import quick_estimate
from migrations.model.config import EmbeddingRef
from migrations.model.errors import ProviderRateLimited
from migrations.settings import ProviderSettings, Settings

REF = EmbeddingRef(provider="stub", model="small", dimension=8)
#: Ten texts of eight to fifteen tokens as the stub counts them.
TEXTS = [f"text number {i} of a request " + "and more " * (i % 4) for i in range(10)]


def settings_for(
    redis_url: str, provider: StubProvider, by_hand: dict[str, float] | None = None
) -> Settings:
    own = ProviderSettings(
        base_url=provider.base_url, api_key_env="", models={"small": 8}, **by_hand or {}
    )
    return Settings(
        _env_file=None,
        database_url="postgresql+psycopg2://u@h/d",
        redis_url=redis_url,
        milvus_uri="http://h",
        providers={"stub": own},
    )


@dataclass
class Workers:
    """Processes as far as the limiter and the client can tell, in threads."""

    redis_url: str
    provider: StubProvider
    by_hand: dict[str, float] = field(default_factory=dict)
    refused: int = 0
    calls: list[tuple[float, UUID]] = field(default_factory=list)

    def run(self, threads: dict[UUID, int], seconds: float) -> None:
        settings = settings_for(self.redis_url, self.provider, self.by_hand)
        limiter = RedisRateLimiter(self.redis_url, accounts(settings))
        embedders = ConfiguredEmbedders(settings, on_headers=limiter.learn)
        embedders.get(REF).embed(["the probe of validation"])
        end = time.monotonic() + seconds
        running = [
            threading.Thread(target=self._work, args=(limiter, embedders, migration, end))
            for migration, count in threads.items()
            for _ in range(count)
        ]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        embedders.close()

    def _work(
        self, limiter: RedisRateLimiter, embedders: ConfiguredEmbedders, of: UUID, end: float
    ) -> None:
        while time.monotonic() < end:
            ticket = limiter.ticket("stub", quick_estimate(TEXTS), migration_id=of)
            while (wait := limiter.acquire(ticket)) > 0:
                time.sleep(wait)
            try:
                embedded = embedders.get(REF).embed(TEXTS)
            except ProviderRateLimited as error:
                self.refused += 1
                limiter.refused("stub")
                limiter.pause("stub", error.retry_after_seconds or 0)
                continue
            limiter.settle(ticket, embedded.tokens)
            self.calls.append((time.monotonic(), of))

    def after(self, seconds: float) -> list[tuple[float, UUID]]:
        begun = min(at for at, _ in self.calls)
        return [call for call in self.calls if call[0] >= begun + seconds]


#: Of three seconds of a limit of sixty calls each: after a moment in which a busy machine stood
#: still, half a second's burst may come on top, and eight threads end the calls they are at.
MOST = 1 + (0.5 * 60 + 8) / (3 * 60)


@pytest.mark.parametrize("by_hand", [False, True], ids=["learned", "by hand"])
def test_requests_keep_to_the_limit_and_use_most_of_it(redis_url: str, by_hand: bool) -> None:
    with StubProvider({"small": 8}) as provider:
        provider.latency_seconds = 0.05
        provider.limit(60 * 60, burst_seconds=1)
        rules = {"requests_per_minute": 3600.0} if by_hand else {}
        workers = Workers(redis_url, provider, rules)
        workers.run({uuid4(): 8}, 4.0)
        statuses = provider.stats()["statuses"]
    taken = len(workers.after(1.0)) / 3 / 60
    assert 0.5 <= taken <= MOST, "of the limit; a busy machine takes less, none may take more"
    assert statuses.get("429", 0) <= 0.02 * statuses["200"]


def test_tokens_keep_to_the_limit_though_estimates_are_wrong(redis_url: str) -> None:
    with StubProvider({"small": 8}) as provider:
        provider.latency_seconds = 0.05
        provider.limit(tokens_per_minute=60 * 6000, burst_seconds=1)
        workers = Workers(redis_url, provider)
        workers.run({uuid4(): 8}, 4.0)
        stats = provider.stats()
    per_call = stats["tokens"] / (stats["statuses"]["200"])
    taken = len(workers.after(1.0)) * per_call / 3 / 6000
    assert 0.5 <= taken <= MOST
    assert stats["statuses"].get("429", 0) <= 0.02 * stats["statuses"]["200"]


def test_three_migrations_share_a_provider(redis_url: str) -> None:
    with StubProvider({"small": 8}) as provider:
        provider.latency_seconds = 0.05
        provider.limit(60 * 60)
        workers = Workers(redis_url, provider)
        a, b, c = uuid4(), uuid4(), uuid4()
        workers.run({a: 8, b: 5, c: 4}, 5.0)
    shares = Counter(of for _, of in workers.after(1.0))
    even = shares.total() / 3
    assert all(abs(shares[one] - even) <= 0.1 * even + 1 for one in (a, b, c)), shares


def test_a_limit_that_is_not_announced_is_survived(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StubProvider({"small": 8}) as provider:
        provider.latency_seconds = 0.02
        provider.limit(40 * 60, burst_seconds=1)
        take = provider.limits.take
        monkeypatch.setattr(
            provider.limits,
            "take",
            lambda tokens: (take(tokens)[0], {}),  # refuses, and says nothing
        )
        workers = Workers(redis_url, provider)
        workers.run({uuid4(): 6}, 5.0)
    assert len(workers.after(2.0)) >= 0.5 * 40 * 3
    assert workers.refused <= 0.35 * len(workers.calls), "most of them before it was found"


def test_a_process_as_it_is_assembled_learns_limits_from_answers(redis_url: str) -> None:
    with StubProvider({"small": 8}) as provider:
        provider.limit(60)
        services = build_services(settings_for(redis_url, provider), sending_app())
        services.embedders.get(REF).embed(["a text"])
        limiter = services.limiter
        waits = [limiter.acquire(limiter.ticket("stub", 1)) for _ in range(2)]
    assert 0 == waits[0]
    assert 0 < waits[1]
