"""Who works, and at what."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.schemas.parts import ResponseBody
from migrations.model.states import Phase
from migrations.model.workers import ALL_QUEUES, Crew, TaskAtWork, Worker


class QueueItem(ResponseBody):
    """A queue, and who reads it."""

    queue: str = Field(description="Its name.", examples=["migrations.batch"])
    workers: int = Field(description="Workers alive that take from it.", examples=[2])


class TaskItem(ResponseBody):
    """Tasks of one name that a worker is at."""

    task: str = Field(description="The tasks' name.", examples=["migrations.batch"])
    migration_id: UUID | None = Field(
        description="Whose they are; null for what belongs to no migration.",
        examples=["6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11"],
    )
    phase: Phase | None = Field(
        description="The phase they belong to, or null.", examples=["data_migration"]
    )
    count: int = Field(description="How many at once.", examples=[12])

    @classmethod
    def of(cls, at: TaskAtWork) -> TaskItem:
        return cls(task=at.task, migration_id=at.migration_id, phase=at.phase, count=at.count)


class WorkerItem(ResponseBody):
    """A worker's main process, as it has said of itself last."""

    name: str = Field(description="Its name in Celery.", examples=["batch@worker-1"])
    host: str = Field(description="Where it runs.", examples=["worker-1"])
    pid: int = Field(description="Its process there.", examples=[4711])
    alive: bool = Field(description="Whether it has spoken lately enough.", examples=[True])
    silent_seconds: float = Field(
        description="How long ago it has spoken, by PostgreSQL's clock.", examples=[1.4]
    )
    queues: list[str] = Field(
        description="Those it takes from; none while it is ending.",
        examples=[["migrations.batch"]],
    )
    version: str = Field(description="Of reembed.", examples=["0.1.0"])
    started_at: datetime = Field(
        description="When it spoke first.", examples=["2026-11-03T08:00:00Z"]
    )
    heartbeat_at: datetime = Field(
        description="When it spoke last.", examples=["2026-11-03T09:05:42Z"]
    )
    clock_ahead_seconds: float = Field(
        description="How far its host's clock is ahead of PostgreSQL's; negative: behind.",
        examples=[0.01],
    )
    work: list[TaskItem] = Field(description="What it is at.", examples=[[]])

    @classmethod
    def of(cls, worker: Worker, *, alive: bool) -> WorkerItem:
        return cls(
            name=worker.name,
            host=worker.host,
            pid=worker.pid,
            alive=alive,
            silent_seconds=round(worker.silent_seconds, 1),
            queues=list(worker.queues),
            version=worker.version,
            started_at=worker.started_at,
            heartbeat_at=worker.heartbeat_at,
            clock_ahead_seconds=round(worker.clock_ahead_seconds, 2),
            work=[TaskItem.of(at) for at in worker.work],
        )


class WorkersResponse(ResponseBody):
    """How many workers are alive and what they read; for an admin, who they are."""

    alive: int = Field(description="Workers that have spoken lately enough.", examples=[2])
    silent_after_seconds: float = Field(
        description="Silence after which one counts as gone.", examples=[12.0]
    )
    queues: list[QueueItem] = Field(
        description="Every queue there is; one that nobody reads has 0 workers.",
        examples=[[{"queue": "migrations.control", "workers": 1}]],
    )
    workers: list[WorkerItem] | None = Field(
        description="All that are known, with those that have fallen silent in the last hour; null "
        "unless an admin asks.",
        examples=[None],
    )

    @classmethod
    def of(cls, crew: Crew, *, for_admin: bool) -> WorkersResponse:
        items = [WorkerItem.of(one, alive=crew.is_alive(one)) for one in crew.workers]
        return cls(
            alive=len(crew.alive),
            silent_after_seconds=crew.silent_after_seconds,
            queues=[QueueItem(queue=name, workers=crew.reading(name)) for name in ALL_QUEUES],
            workers=items if for_admin else None,
        )
