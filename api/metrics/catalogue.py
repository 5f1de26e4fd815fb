"""Every metric of the state store: its name, what it says, its labels, where it is read.

One table, from which both the exposition and docs/reference/metrics.md are made. No label
holds an id, an owner or a text: there are as many series as there are words for states, and as
many as there are models in use.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

from migrations.model.figures import Figures
from migrations.model.left_behind import ConflictReason, HoldReason
from migrations.model.spend import Bill, PricedSpend
from migrations.model.states import Kind, Phase, Status
from migrations.model.workers import ALL_QUEUES, Crew
from migrations.ports.limiter import Counts

#: Values of the labels, in their order, and the number.
Sample = tuple[tuple[str, ...], float]
F = TypeVar("F")
STATES_OF_NOTIFICATIONS = ("waiting", "given_up")
#: Series of a metric that are told apart; those with the least beyond are left out.
MOST_SPENT = 500
STATES_OF_CHUNKS = ("expected", "processed", "failed")


@dataclass(frozen=True)
class Metric(Generic[F]):
    """One name, read from figures of one kind.

    A label's values are listed, or None where they are the users' own words.
    """

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    says: str
    read: Callable[[F], Iterable[Sample]]
    labels: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)


def _names(words: type[StrEnum]) -> tuple[str, ...]:
    return tuple(word.value for word in words)


def _plain(read: Callable[[Figures], float]) -> Callable[[Figures], Iterable[Sample]]:
    return lambda figures: [((), read(figures))]


def _migrations(figures: Figures) -> Iterable[Sample]:
    found = figures.runs.by_status
    return (((k.value, s.value), found.get((k, s), 0)) for k in Kind for s in Status)


def _phases(figures: Figures) -> Iterable[Sample]:
    return (((phase.value,), figures.runs.by_phase.get(phase, 0)) for phase in Phase)


def _chunks(figures: Figures) -> Iterable[Sample]:
    runs = figures.runs
    numbers = (runs.total_chunks, runs.processed_chunks, runs.failed_chunks)
    return (((state,), number) for state, number in zip(STATES_OF_CHUNKS, numbers, strict=True))


def _failed(figures: Figures) -> Iterable[Sample]:
    return (((code,), number) for code, number in sorted(figures.runs.failed_by_code.items()))


def _kept(figures: Figures) -> Iterable[Sample]:
    return (((reason.value,), figures.kept.get(reason, 0)) for reason in HoldReason)


def _conflicts(figures: Figures) -> Iterable[Sample]:
    return (((reason.value,), figures.conflicts.get(reason, 0)) for reason in ConflictReason)


def _notifications(figures: Figures) -> Iterable[Sample]:
    found = figures.notifications
    numbers = (found.waiting, found.given_up)
    states = STATES_OF_NOTIFICATIONS
    return (((state,), number) for state, number in zip(states, numbers, strict=True))


def _first_end(figures: Figures) -> Iterable[Sample]:
    seconds = figures.bots.first_end_seconds
    return [] if seconds is None else [((), seconds)]


SHARED: tuple[Metric[Figures], ...] = (
    Metric(
        "reembed_migrations",
        "gauge",
        "Migrations there are, ended ones as well. A gauge, because those of a bot that is removed"
        " go with it.",
        _migrations,
        {"kind": _names(Kind), "status": _names(Status)},
    ),
    Metric(
        "reembed_migrations_at_work",
        "gauge",
        "Migrations that a worker should be at, by the phase they are in.",
        _phases,
        {"phase": _names(Phase)},
    ),
    Metric(
        "reembed_migrations_longest_silence_seconds",
        "gauge",
        "Since a worker has spoken of the migration at work that nobody has spoken of for longest.",
        _plain(lambda figures: figures.runs.longest_silence_seconds),
    ),
    Metric(
        "reembed_migrations_highest_epoch",
        "gauge",
        "Of the migrations at work; it rises by one whenever one is driven again or turned round.",
        _plain(lambda figures: figures.runs.highest_epoch),
    ),
    Metric(
        "reembed_migrations_longest_wait_seconds",
        "gauge",
        "How long the migration has waited for somebody's decision that waits for longest.",
        _plain(lambda figures: figures.runs.longest_wait_seconds),
    ),
    Metric(
        "reembed_chunks",
        "gauge",
        "Chunks of live migrations together; processed and failed ones rise with each wave.",
        _chunks,
        {"state": STATES_OF_CHUNKS},
    ),
    Metric(
        "reembed_failed_chunks",
        "gauge",
        "Chunks of live migrations that could not be embedded, by the code of the last refusal.",
        _failed,
        {"code": None},
    ),
    Metric(
        "reembed_bots", "gauge", "Bots under our care.", _plain(lambda figures: figures.bots.bots)
    ),
    Metric(
        "reembed_bots_with_way_back",
        "gauge",
        "Bots whose previous collection is there and whose retention window is open.",
        _plain(lambda figures: figures.bots.with_way_back),
    ),
    Metric(
        "reembed_way_back_first_end_seconds",
        "gauge",
        "Until the first of their windows closes; absent where no bot has a way back.",
        _first_end,
    ),
    Metric(
        "reembed_aliases_behind",
        "gauge",
        "Bots whose alias does not follow their row, or has not been seen to.",
        _plain(lambda figures: figures.bots.aliases_behind),
    ),
    Metric(
        "reembed_kept_collections",
        "gauge",
        "Collections that nobody needs any more and that are kept for a while, or stay.",
        _kept,
        {"reason": _names(HoldReason)},
    ),
    Metric(
        "reembed_conflicts",
        "gauge",
        "Late writes that were not taken over and wait for a person.",
        _conflicts,
        {"reason": _names(ConflictReason)},
    ),
    Metric(
        "reembed_journal_waiting_writes",
        "gauge",
        "Writes of applications that are acknowledged and not applied yet.",
        _plain(lambda figures: figures.journals.waiting_writes),
    ),
    Metric(
        "reembed_journal_oldest_seconds",
        "gauge",
        "How long the oldest of them has waited.",
        _plain(lambda figures: figures.journals.oldest_seconds),
    ),
    Metric(
        "reembed_journal_failed_writes",
        "gauge",
        "Writes of applications that could not be done and were passed over.",
        _plain(lambda figures: figures.journals.failed_writes),
    ),
    Metric(
        "reembed_outbox_unsent_messages",
        "gauge",
        "Messages for workers that are recorded and that the broker has not taken yet.",
        _plain(lambda figures: figures.outbox.unsent),
    ),
    Metric(
        "reembed_outbox_oldest_seconds",
        "gauge",
        "How long the oldest of them has waited.",
        _plain(lambda figures: figures.outbox.oldest_seconds),
    ),
    Metric(
        "reembed_notifications",
        "gauge",
        "Messages to webhooks, chats and mailboxes that wait to be taken, or were given up within"
        " the last thirty days.",
        _notifications,
        {"state": STATES_OF_NOTIFICATIONS},
    ),
    Metric(
        "reembed_notifications_oldest_seconds",
        "gauge",
        "How long the oldest of those that wait has waited.",
        _plain(lambda figures: figures.notifications.oldest_seconds),
    ),
)

STATE_STORE_UP: Metric[Any] = Metric(
    "reembed_state_store_up",
    "gauge",
    "1 where PostgreSQL has answered this process; else 0, and what it alone knows is not told.",
    lambda _: [((), 1)],
)


def _paid(number: Callable[[PricedSpend], float | None]) -> Callable[[Bill], Iterable[Sample]]:
    """Added up over migrations and errands; of the largest, because models have users' names."""

    def read(bill: Bill) -> Iterable[Sample]:
        found: defaultdict[tuple[str, ...], float] = defaultdict(float)
        for line in bill.lines:
            if (many := number(line)) is not None:
                found[line.spent.provider, line.spent.model, line.spent.purpose] += many
        return sorted(found.items(), key=lambda one: one[1], reverse=True)[:MOST_SPENT]

    return read


_BY_MODEL: Mapping[str, tuple[str, ...] | None] = {"provider": None, "model": None, "purpose": None}
#: What the ledger says, at today's prices.
SPENT: tuple[Metric[Bill], ...] = (
    Metric(
        "reembed_provider_requests_total",
        "counter",
        "Requests that providers were paid for, by migrations and outside of any.",
        _paid(lambda line: line.spent.requests),
        _BY_MODEL,
    ),
    Metric(
        "reembed_provider_tokens_total",
        "counter",
        "Tokens that providers were paid for, as they say themselves.",
        _paid(lambda line: line.spent.tokens),
        _BY_MODEL,
    ),
    Metric(
        "reembed_provider_cost_dollars_total",
        "counter",
        "What those tokens cost in US dollars at today's prices; absent for models without one.",
        _paid(lambda line: line.cost_usd),
        _BY_MODEL,
    ),
)


def _of_limits(number: Callable[[Counts], float]) -> Callable[[Limits], Iterable[Sample]]:
    return lambda found: (((provider,), number(one)) for provider, one in found.items())


Limits = Mapping[str, Counts]
_BY_PROVIDER: Mapping[str, tuple[str, ...] | None] = {"provider": None}
#: What stands in Redis, and is told by all processes alike as well.
LIMITS: tuple[Metric[Limits], ...] = (
    Metric(
        "reembed_limiter_refusals_total",
        "counter",
        "Requests that a provider has answered with its limit being reached.",
        _of_limits(lambda one: one.refusals),
        _BY_PROVIDER,
    ),
    Metric(
        "reembed_limiter_waited_seconds_total",
        "counter",
        "Seconds that calls have waited for their turns, all calls together.",
        _of_limits(lambda one: one.waited_seconds),
        _BY_PROVIDER,
    ),
    Metric(
        "reembed_limiter_waiting_calls",
        "gauge",
        "Calls that wait for their turn now.",
        _of_limits(lambda one: one.waiting),
        _BY_PROVIDER,
    ),
)


def _queues(crew: Crew) -> Iterable[Sample]:
    return (((queue,), crew.reading(queue)) for queue in ALL_QUEUES)


#: What workers say of themselves in PostgreSQL.
WORKERS: tuple[Metric[Crew], ...] = (
    Metric(
        "reembed_queue_workers",
        "gauge",
        "Workers that are alive and take from a queue: none, and what stands in it waits.",
        _queues,
        {"queue": ALL_QUEUES},
    ),
    Metric(
        "reembed_workers_clock_off_seconds",
        "gauge",
        "How far the host's clock is off PostgreSQL's, of the worker of which it is most.",
        lambda crew: [((), max((abs(o.clock_ahead_seconds) for o in crew.alive), default=0.0))],
    ),
)

#: Whatever all processes say alike.
ALL: tuple[Metric[Any], ...] = (STATE_STORE_UP, *SHARED, *SPENT, *WORKERS, *LIMITS)
