"""How far a migration is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.findings import FINDING_EXAMPLE, FindingItem, items_of
from api.schemas.links import migration_links
from api.schemas.parts import ResponseBody
from api.schemas.steering import HeldToItem, PaceItem, PausedItem
from migrations.model.progress import ChunkError, MigrationProgress, PhaseProgress
from migrations.model.states import DRIVEN, Kind, Phase, Status


class ErrorItem(ResponseBody):
    """What ended or holds up a migration; further members say more."""

    model_config = ConfigDict(extra="allow")

    code: str = Field(
        description="A stable word, explained at /problems/<code>.", examples=["provider-quota"]
    )
    message: str = Field(
        description="What happened and what to do, in a sentence.",
        examples=["The embedding provider's quota or credit is used up; top it up."],
    )

    @classmethod
    def of(cls, error: dict[str, Any]) -> ErrorItem:
        return cls(**{"code": "error", "message": "Something went wrong; see the log."} | error)


class FailedChunkItem(ResponseBody):
    """One chunk that could not be migrated."""

    key: str = Field(description="Its primary key.", examples=["doc-17-3"])
    code: str = Field(description="A stable word.", examples=["text-refused"])
    message: str = Field(
        description="Why, in a sentence.", examples=["The provider refuses this text."]
    )
    attempts: int = Field(description="How often it was tried.", examples=[3])

    @classmethod
    def of(cls, failed: ChunkError) -> FailedChunkItem:
        return cls(
            key=failed.key, code=failed.code, message=failed.message, attempts=failed.attempts
        )


class PhaseItem(ResponseBody):
    """When a phase began and ended."""

    phase: Phase = Field(description="Which of the seven.", examples=["data_migration"])
    started_at: datetime | None = Field(
        description="Null while it has not begun.", examples=["2026-11-03T09:00:04Z"]
    )
    finished_at: datetime | None = Field(
        description="Null while it has not ended.", examples=["2026-11-03T09:14:21Z"]
    )
    duration_seconds: float | None = Field(
        description="Seconds it took; null while it has not ended.", examples=[857.0]
    )

    @classmethod
    def of(cls, phase: PhaseProgress) -> PhaseItem:
        began, ended = phase.started_at, phase.finished_at
        return cls(
            phase=phase.phase,
            started_at=began,
            finished_at=ended,
            duration_seconds=(ended - began).total_seconds() if began and ended else None,
        )


class DecisionItem(ResponseBody):
    """That a run waits before its switch, or has waited, and who has accepted it."""

    waits_for: list[str] = Field(
        description="Gates of which less was found than wanted, 'veto of …' and the hook's name, "
        "or 'postponed'.",
        examples=[["neighbourhood_overlap"]],
    )
    since: datetime = Field(description="When it began to wait.", examples=["2026-11-03T09:20:00Z"])
    kept_up_at: datetime = Field(
        description="When the new collection was last compared with the old one; while a switch "
        "is postponed that is done again and again.",
        examples=["2026-11-03T09:35:00Z"],
    )
    caught_up_chunks: int = Field(
        description="Chunks that were written or deleted then: how far it had fallen behind.",
        examples=[17],
    )
    remaining_difference: int = Field(
        description="Chunks in which both still differed when the last pass began; 0 when that "
        "found nothing. What was written since is caught up before the switch.",
        examples=[0],
    )
    accepted_by: str | None = Field(
        description="Whose token has accepted it; null while nobody has.", examples=[None]
    )
    accepted_at: datetime | None = Field(description="When.", examples=[None])
    reason: str | None = Field(
        description="Why, in their words.", examples=["The new model is of another family."]
    )

    @classmethod
    def of(cls, progress: MigrationProgress) -> DecisionItem | None:
        decision = progress.decision
        if "since" not in decision:
            return None
        accepted = decision.get("accepted") or {}
        return cls(
            waits_for=decision["waits_for"],
            since=datetime.fromisoformat(decision["since"]),
            kept_up_at=datetime.fromisoformat(decision["kept_up_at"]),
            caught_up_chunks=progress.caught_up_chunks,
            remaining_difference=progress.remaining_chunks,
            accepted_by=accepted.get("by"),
            accepted_at=datetime.fromisoformat(accepted["at"]) if accepted else None,
            reason=accepted.get("reason"),
        )


class MigrationProgressResponse(ResponseBody):
    """A snapshot of one migration. Counts are chunks unless named otherwise."""

    migration_id: UUID = Field(
        description="The migration.", examples=["6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11"]
    )
    bot_id: str = Field(description="Its bot.", examples=["support-bot"])
    owner: str = Field(description="Whose bot it is.", examples=["acme"])
    kind: Kind = Field(description="Forward, or back again (reverse).", examples=["forward"])
    status: Status = Field(description="Where it stands as a whole.", examples=["running"])
    phase: Phase = Field(description="The step it is in.", examples=["data_migration"])
    epoch: int = Field(
        description="One higher each time it was driven anew or turned round.", examples=[1]
    )
    finished: bool = Field(
        description="Whether nothing more happens unless somebody asks.", examples=[False]
    )
    percent: float = Field(description="Share of chunks processed, 0 to 100.", examples=[41.5])
    total_chunks: int = Field(description="All chunks found so far.", examples=[20000])
    processed_chunks: int = Field(
        description="Chunks in the new collection, with those that were there already.",
        examples=[8300],
    )
    failed_chunks: int = Field(description="Chunks that could not be migrated.", examples=[1])
    failed_chunk_errors: list[FailedChunkItem] = Field(
        description="Those chunks and why; the first ones when there are many.", examples=[[]]
    )
    current_batch: int = Field(description="Batches done.", examples=[166])
    total_batches: int = Field(description="All batches planned so far.", examples=[400])
    chunks_per_second: float = Field(
        description="The rate of moving chunks within the last minute; 0 when none are moved, and "
        "while it is undone.",
        examples=[24.3],
    )
    average_chunks_per_second: float = Field(
        description="The same over all of `data_migration`, so far or as a whole.", examples=[21.7]
    )
    tokens_used: int = Field(
        description="Tokens the provider has counted for this migration.", examples=[2158000]
    )
    started_at: datetime | None = Field(
        description="When a worker began; null while none has.", examples=["2026-11-03T09:00:02Z"]
    )
    updated_at: datetime = Field(
        description="When this was last true.", examples=["2026-11-03T09:05:42Z"]
    )
    finished_at: datetime | None = Field(
        description="When it ended; null while it has not.", examples=[None]
    )
    timeout_seconds: int = Field(
        description="How long it may take until its switch, in all.", examples=[3600]
    )
    deadline_at: datetime = Field(
        description="When it is rolled back unless it has switched by then. While it is waiting "
        "no deadline runs, and it has its whole time again from when it goes on; while it is "
        "paused it stands still, see `paused`.",
        examples=["2026-11-03T10:00:00Z"],
    )
    estimated_completion: datetime | None = Field(
        description="When all chunks will have been moved at this rate; null while none are moved, "
        "while something is waited for, and while it is undone.",
        examples=["2026-11-03T09:14:00Z"],
    )
    waiting_for: str | None = Field(
        description="Why nothing moves right now; null when it does.",
        examples=["The provider's rate limit; goes on in 12 s."],
    )
    rows_on_their_way: int | None = Field(
        description="Of a rollback with `mode: now` that has switched back: rows written before "
        "that, which are still to be carried over. Null before they are counted, and of any other "
        "migration.",
        examples=[None],
    )
    decision: DecisionItem | None = Field(
        description="That it waits before its switch, or did; null where it never has.",
        examples=[None],
    )
    paused: PausedItem | None = Field(
        description="Who has paused it; null while it is not paused.", examples=[None]
    )
    held_to: HeldToItem | None = Field(
        description="What holds its calls to the provider beside limits that are known: refusals, "
        "or a pause that the provider has asked for. Null where nothing does, or Redis does not "
        "answer.",
        examples=[None],
    )
    pace: PaceItem | None = Field(
        description="That it uses less of its provider than it could, because somebody has said "
        "so; null where nobody has.",
        examples=[None],
    )
    what_now: str | None = Field(
        description="What may be done, where it does not go on by itself: it waits for a person, "
        "needs an operator, or has failed. The same in every answer and refusal; null otherwise.",
        examples=[None],
    )
    errors: list[ErrorItem] = Field(description="What went wrong.", examples=[[]])
    warnings: list[str] = Field(
        description="What to know about.", examples=[["2 chunks have no text."]]
    )
    findings: list[FindingItem] = Field(
        description="What is wrong with that which it stands on (workers, queues, Redis, Milvus, "
        "clocks) or with its being driven, each with what to do; as it was some seconds ago at "
        "most. None of a migration that has ended.",
        examples=[[FINDING_EXAMPLE]],
    )
    phases: list[PhaseItem] = Field(description="The phases in order.", examples=[[]])
    links: dict[str, str] = Field(
        description="What can be asked or done next, by name.",
        examples=[{"self": "/embeddings/migration/6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11/progress"}],
    )

    @classmethod
    def of(cls, progress: MigrationProgress) -> MigrationProgressResponse:
        return cls(
            migration_id=progress.migration_id,
            bot_id=progress.bot_id,
            owner=progress.owner,
            kind=progress.kind,
            status=progress.status,
            phase=progress.phase,
            epoch=progress.epoch,
            finished=progress.status not in DRIVEN,
            percent=progress.percent,
            total_chunks=progress.total_chunks,
            processed_chunks=progress.processed_chunks,
            failed_chunks=progress.failed_chunks,
            failed_chunk_errors=[FailedChunkItem.of(failed) for failed in progress.failed],
            current_batch=progress.current_batch,
            total_batches=progress.total_batches,
            chunks_per_second=progress.chunks_per_second,
            average_chunks_per_second=progress.average_chunks_per_second,
            tokens_used=progress.tokens_used,
            started_at=progress.started_at,
            updated_at=progress.updated_at,
            finished_at=progress.finished_at,
            timeout_seconds=progress.timeout_seconds,
            deadline_at=progress.deadline_at,
            estimated_completion=progress.estimated_completion,
            waiting_for=progress.waiting_for,
            rows_on_their_way=progress.rows_on_their_way,
            decision=DecisionItem.of(progress),
            paused=PausedItem.of(progress.status, progress.controls),
            held_to=HeldToItem.of(progress.held_to),
            pace=PaceItem.of(progress.controls),
            what_now=progress.what_now,
            errors=[ErrorItem.of(progress.error)] if progress.error else [],
            warnings=progress.warnings,
            findings=items_of(progress.findings),
            phases=[PhaseItem.of(phase) for phase in progress.phases],
            links=migration_links(progress.migration_id, progress.bot_id, progress.status),
        )


class ActiveMigrationsResponse(ResponseBody):
    """Live migrations of every owner, or a page of them, oldest first."""

    count: int = Field(description="How many are in this answer.", examples=[1])
    migrations: list[MigrationProgressResponse] = Field(
        description="How far each is.", examples=[[]]
    )
    next_cursor: UUID | None = Field(
        description="Sent as `cursor` it gives those that follow; null when none do.",
        examples=[None],
    )

    @classmethod
    def of(cls, found: Sequence[MigrationProgress], limit: int) -> ActiveMigrationsResponse:
        """Of one more than the limit, where there are as many."""
        page = [MigrationProgressResponse.of(one) for one in found[:limit]]
        follows = page[-1].migration_id if len(found) > limit else None
        return cls(count=len(page), migrations=page, next_cursor=follows)
