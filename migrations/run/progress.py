"""Put together what a caller sees of a migration: PostgreSQL's row and Redis' counters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from migrations.model.errors import TransientError
from migrations.model.findings import Finding
from migrations.model.progress import (
    ChunkError,
    Held,
    MigrationProgress,
    MigrationResult,
    PhaseProgress,
)
from migrations.model.runs import ON_THEIR_WAY, Migration, Watched
from migrations.model.states import DRIVEN, Phase, Status
from migrations.ports.checkpoints import Counters, Lately, Snapshot
from migrations.process.services import Services


def progress_of(
    services: Services, watched: Watched, findings: Sequence[Finding] = ()
) -> MigrationProgress:
    """A snapshot; without Redis it shows what PostgreSQL last heard."""
    migration, failed = watched.migration, watched.failed_chunks
    seen = _checkpoint(services, migration.id)
    plan = seen.plan if seen else None
    counters = seen.counters if seen else Counters()
    totals = migration.totals
    processed = max(counters.processed, totals.get("processed_chunks", 0))
    total = plan.total_chunks if plan else totals.get("total_chunks", 0)
    left = max(0, total - processed)
    rate = _rate(services, migration, seen.lately) if seen else 0.0
    return MigrationProgress(
        migration_id=migration.id,
        bot_id=migration.bot_id,
        owner=migration.owner,
        kind=migration.kind,
        status=migration.status,
        phase=migration.phase,
        epoch=migration.epoch,
        total_chunks=max(total, totals.get("total_chunks", 0)),
        processed_chunks=processed,
        failed_chunks=failed,
        current_batch=seen.done if seen else _batches_without_plan(migration, processed),
        total_batches=plan.total_batches if plan else totals.get("total_batches", 0),
        chunks_per_second=rate,
        average_chunks_per_second=_average(services, migration, processed),
        tokens_used=watched.tokens_used,
        started_at=migration.started_at,
        updated_at=migration.updated_at,
        finished_at=migration.finished_at,
        estimated_completion=_estimate(services, migration, left, rate),
        timeout_seconds=migration.config.timeout_seconds,
        deadline_at=migration.deadline_at,
        waiting_for=migration.waiting_for,
        decision=migration.decision,
        held_to=_held_to(services, migration),
        controls=migration.controls,
        caught_up_chunks=totals.get("caught_up_chunks", 0),
        remaining_chunks=totals.get("remaining_chunks", 0),
        rows_on_their_way=totals.get(ON_THEIR_WAY),
        error=migration.error,
        warnings=list(migration.warnings),
        findings=list(findings),
        failed=_errors(services, migration) if failed else [],
        phases=[phase_times(migration, phase) for phase in Phase],
    )


def _errors(services: Services, migration: Migration) -> list[ChunkError]:
    return [ChunkError(**vars(chunk)) for chunk in services.store.failed_chunks(migration.id)]


def _checkpoint(services: Services, migration_id: UUID) -> Snapshot | None:
    """None when there is no plan, not yet or any more, or Redis does not answer."""
    try:
        return services.redis_briefly.ask(lambda: services.checkpoints.snapshot(migration_id))
    except TransientError:
        return None


def _held_to(services: Services, migration: Migration) -> Held | None:
    """Of a run that still asks. None when the limiter does not answer."""
    if migration.status not in DRIVEN | {Status.PAUSED}:
        return None
    provider = migration.config.to_provider
    try:
        learned = services.redis_briefly.ask(lambda: services.limiter.learned(provider))
    except TransientError:
        return None
    if learned is None or learned.told is None:
        return None
    return Held(
        provider=provider,
        told=learned.told,
        share=learned.share,
        requests_per_minute=learned.requests_per_minute,
        paused_seconds=learned.paused_seconds,
        refused_seconds_ago=learned.refused_seconds_ago,
    )


def _batches_without_plan(migration: Migration, processed: int) -> int:
    """All of them once the data has moved; until then as many as its chunks would fill."""
    total = migration.totals.get("total_batches", 0)
    if Phase.DATA_MIGRATION in migration.completed_phases:
        return total
    return min(total, processed // migration.config.batch_size)


def phase_times(migration: Migration, phase: Phase) -> PhaseProgress:
    """When it began and ended first."""
    times = migration.phase_times.get(phase.value, {})
    return PhaseProgress(phase, _time(times.get("started_at")), _time(times.get("finished_at")))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _is_moving(migration: Migration) -> bool:
    """Whether chunks are being moved forward, in the phase whose rate is worth telling."""
    here = (migration.status, migration.phase) == (Status.RUNNING, Phase.DATA_MIGRATION)
    return here and Phase.DATA_MIGRATION not in migration.completed_phases


def _rate(services: Services, migration: Migration, lately: Lately) -> float:
    """Chunks per second within the last minute, or since it began; 0 when nothing is moved."""
    began = phase_times(migration, Phase.DATA_MIGRATION).started_at
    if not _is_moving(migration) or began is None:
        return 0.0
    seconds = min(lately.seconds, (services.now() - began).total_seconds())
    return round(lately.chunks / max(seconds, 1.0), 2)


def _average(services: Services, migration: Migration, processed: int) -> float:
    """Chunks per second over the data migration phase, so far or as a whole."""
    times = phase_times(migration, Phase.DATA_MIGRATION)
    if times.started_at is None or not processed:
        return 0.0
    end = times.finished_at or migration.finished_at or services.now()
    seconds = (end - times.started_at).total_seconds()
    return round(processed / seconds, 2) if seconds > 0 else 0.0


def _estimate(services: Services, migration: Migration, left: int, rate: float) -> datetime | None:
    """When the data will have moved, as long as it moves; what follows is short beside it."""
    if not _is_moving(migration) or migration.waiting_for is not None or rate <= 0:
        return None
    return services.now() + timedelta(seconds=left / rate)


def result_of(services: Services, migration: Migration) -> MigrationResult:
    """How a migration ended, or stands now."""
    return MigrationResult(
        migration_id=migration.id,
        bot_id=migration.bot_id,
        status=migration.status,
        total_chunks=migration.totals.get("total_chunks", 0),
        failed_chunks=services.store.count_failed_chunks(migration.id),
        tokens_used=services.store.tokens_used(migration.id),
        started_at=migration.started_at,
        finished_at=migration.finished_at,
        generation=migration.new_generation,
        error=migration.error,
    )
