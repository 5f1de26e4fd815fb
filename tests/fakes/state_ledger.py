"""The fake state store's ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from migrations.model.spend import Spent
from tests.fakes.state_rows import StateRows


class FakeLedger(StateRows):
    def record_spend(
        self, migration_id: UUID, provider: str, model: str, purpose: str, tokens: int
    ) -> None:
        with self._transaction():
            key = (migration_id, provider, model, purpose)
            self._paid[key] += tokens
            self._answers[key] += 1

    def record_errand(
        self, owner: str, bot_id: str, provider: str, model: str, purpose: str, tokens: int
    ) -> None:
        with self._transaction():
            key = (owner, bot_id, provider, model, purpose)
            self._errands[key] += tokens
            self._errand_answers[key] += 1

    def tokens_by_purpose(self, migration_id: UUID) -> dict[str, int]:
        with self._transaction():
            found: Counter[str] = Counter()
            for (run, _, _, purpose), tokens in self._paid.items():
                if run == migration_id:
                    found[purpose] += tokens
            return dict(sorted(found.items()))

    def tokens_used(self, migration_id: UUID) -> int:
        with self._transaction():
            return self._tokens_used(migration_id)

    def tokens_of_errands(self, bot_id: str) -> int:
        with self._transaction():
            return sum(tokens for key, tokens in self._errands.items() if key[1] == bot_id)

    def spent_by_run(self, migration_id: UUID) -> list[Spent]:
        with self._transaction():
            return _added_up(self._of_runs({migration_id}))

    def spent(self, owner: str | None = None, bot_id: str | None = None) -> list[Spent]:
        with self._transaction():
            runs = {
                run.id
                for run in self._all()
                if owner in {None, run.owner} and bot_id in {None, run.bot_id}
            }
            errands = (
                Spent(*key[2:], False, self._errand_answers[key], tokens)
                for key, tokens in self._errands.items()
                if owner in {None, key[0]} and bot_id in {None, key[1]}
            )
            return _added_up([*self._of_runs(runs), *errands])

    def _of_runs(self, runs: set[UUID]) -> Iterator[Spent]:
        for key, tokens in self._paid.items():
            if key[0] in runs:
                yield Spent(*key[1:], True, self._answers[key], tokens)

    def _tokens_used(self, migration_id: UUID) -> int:
        return sum(tokens for key, tokens in self._paid.items() if key[0] == migration_id)

    def _forget_runs_spend(self, owner: str, bot_id: str, migration_id: UUID) -> None:
        """It is nobody's run's any more, and money is not forgotten."""
        for key in [key for key in self._paid if key[0] == migration_id]:
            errand = (owner, bot_id, *key[1:])
            self._errands[errand] += self._paid.pop(key)
            self._errand_answers[errand] += self._answers.pop(key)


def _added_up(found: Iterator[Spent] | list[Spent]) -> list[Spent]:
    tokens: Counter[tuple[str, str, str, bool]] = Counter()
    requests: Counter[tuple[str, str, str, bool]] = Counter()
    for one in found:
        key = (one.provider, one.model, one.purpose, one.by_migration)
        tokens[key] += one.tokens
        requests[key] += one.requests
    return [Spent(*key, requests[key], tokens[key]) for key in sorted(tokens)]
