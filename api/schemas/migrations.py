"""Migrations and what can be done with them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import url_for
from pydantic import Field

from api.schemas.bots import BotResponse
from api.schemas.findings import FINDING_EXAMPLE, FindingItem, items_of
from api.schemas.links import migration_links
from api.schemas.parts import (
    CURRENT_EXAMPLE,
    TARGET_EXAMPLE,
    EmbeddingItem,
    ResponseBody,
)
from api.schemas.progress import ErrorItem
from api.schemas.proofs import TextProofItem
from api.schemas.steering import PaceItem, PausedItem
from migrations.model.answers import BotStatus, RollbackOption
from migrations.model.config import RollbackMode
from migrations.model.left_behind import HoldReason, KeptCollection
from migrations.model.runs import ON_THEIR_WAY, Migration, Step
from migrations.model.states import LIVE, Kind, Phase, Status
from migrations.model.what_now import what_now


class MigrationItem(ResponseBody):
    """One run that takes a bot from one embedding to another."""

    migration_id: UUID = Field(
        description="Its id.", examples=["6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11"]
    )
    bot_id: str = Field(description="Its bot.", examples=["support-bot"])
    kind: Kind = Field(description="Forward, or back again (reverse).", examples=["forward"])
    reverses: UUID | None = Field(
        description="The migration a reverse run takes back; else null.", examples=[None]
    )
    status: Status = Field(description="Where it stands as a whole.", examples=["pending"])
    phase: Phase = Field(description="The step it is in.", examples=["validation"])
    step: Step | None = Field(
        description="Where it is within data_migration; else null.", examples=["backfilling"]
    )
    source: EmbeddingItem = Field(
        description="What the bot comes from.", examples=[CURRENT_EXAMPLE]
    )
    target: EmbeddingItem = Field(description="What it goes to.", examples=[TARGET_EXAMPLE])
    source_collection: str = Field(
        description="The physical collection that is read.", examples=["support_docs"]
    )
    target_collection: str = Field(
        description="The physical collection that is filled.",
        examples=["support_docs_live__g2_6f1f4a52"],
    )
    requested_by: str = Field(description="Who asked for it.", examples=["acme"])
    waiting_for: str | None = Field(
        description="Why nothing moves right now; null when it does.", examples=[None]
    )
    what_now: str | None = Field(
        description="What may be done, where it does not go on by itself: it waits for a person, "
        "needs an operator, or has failed. The same in every answer and refusal; null otherwise.",
        examples=[None],
    )
    errors: list[ErrorItem] = Field(description="What went wrong.", examples=[[]])
    warnings: list[str] = Field(description="What to know about.", examples=[[]])
    validation: dict[str, Any] | None = Field(
        description="The report of the validation phase; null before it.", examples=[None]
    )
    text_proof: TextProofItem | None = Field(
        description="What shows that the bot's text is what was embedded: the bot's own proof when "
        "the run began, then what validation found; null of a run of before this was kept.",
        examples=[None],
    )
    verification: dict[str, Any] | None = Field(
        description="The report of the verification phase; null before it.", examples=[None]
    )
    rows_on_their_way: int | None = Field(
        description="Of a rollback with `mode: now` that has switched back: rows written before "
        "that, which are still to be carried over. Null before they are counted, and of any other "
        "migration.",
        examples=[None],
    )
    created_at: datetime = Field(
        description="When it was asked for.", examples=["2026-11-03T09:00:00Z"]
    )
    started_at: datetime | None = Field(
        description="When a worker began.", examples=["2026-11-03T09:00:02Z"]
    )
    switched_at: datetime | None = Field(
        description="When the bot began to answer from the new collection.", examples=[None]
    )
    finished_at: datetime | None = Field(description="When it ended.", examples=[None])
    deadline_at: datetime = Field(
        description="When it is rolled back unless it has switched by then. While it is waiting "
        "no deadline runs, and it has its whole time again from when it goes on; while it is "
        "paused it stands still, see `paused`.",
        examples=["2026-11-03T10:00:00Z"],
    )
    paused: PausedItem | None = Field(
        description="Who has paused it; null while it is not paused.", examples=[None]
    )
    pace: PaceItem | None = Field(
        description="That it uses less of its provider than it could, because somebody has said "
        "so; null where nobody has.",
        examples=[None],
    )
    links: dict[str, str] = Field(
        description="What can be asked or done next, by name.",
        examples=[{"self": "/embeddings/migration/6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11/progress"}],
    )

    @classmethod
    def of(cls, migration: Migration) -> MigrationItem:
        return cls(
            migration_id=migration.id,
            bot_id=migration.bot_id,
            kind=migration.kind,
            reverses=migration.reverses,
            status=migration.status,
            phase=migration.phase,
            step=migration.step,
            source=EmbeddingItem.of(migration.config.source),
            target=EmbeddingItem.of(migration.config.target),
            source_collection=migration.source_collection,
            target_collection=migration.target_collection,
            requested_by=migration.requested_by,
            waiting_for=migration.waiting_for,
            what_now=what_now(migration.id, migration.status),
            errors=[ErrorItem.of(migration.error)] if migration.error else [],
            warnings=list(migration.warnings),
            validation=migration.validation,
            text_proof=TextProofItem.of(migration.proof),
            verification=migration.verification,
            rows_on_their_way=migration.totals.get(ON_THEIR_WAY),
            created_at=migration.created_at,
            started_at=migration.started_at,
            switched_at=migration.switched_at,
            finished_at=migration.finished_at,
            deadline_at=migration.deadline_at,
            paused=PausedItem.of(migration.status, migration.controls),
            pace=PaceItem.of(migration.controls),
            links=migration_links(migration.id, migration.bot_id, migration.status),
        )


class MigrationActionResponse(ResponseBody):
    """What a start, a cancel or a rollback has set going."""

    message: str = Field(
        description="What happens now, in a sentence.",
        examples=["The migration has been enqueued; its progress is at links.progress."],
    )
    created: bool = Field(
        description="Whether this request made the migration, or an earlier one did.",
        examples=[True],
    )
    migration: MigrationItem = Field(description="The migration that acts now.", examples=[{}])
    links: dict[str, str] = Field(
        description="Where to watch it.",
        examples=[
            {"progress": "/embeddings/migration/6f1f4a52-6f3e-4d0e-9a53-0d6f2f1c9b11/progress"}
        ],
    )

    @classmethod
    def of(
        cls, migration: Migration, message: str, *, created: bool = False
    ) -> MigrationActionResponse:
        return cls(
            message=message,
            created=created,
            migration=MigrationItem.of(migration),
            links={
                "progress": url_for("migrations.progress", migration_id=migration.id),
                "status": url_for("embeddings.migration_status", bot_id=migration.bot_id),
            },
        )


#: What the owner of a collection that stays is told.
STAYS = (
    "reembed did not make this collection and does not drop it; it is being released from memory. "
    "Load it in Milvus to read it, drop it there when nobody needs it, or have it dropped for you: "
    "PATCH {bot} with drop_originals: true."
)


class HeldCollectionItem(ResponseBody):
    """A collection that the bot has left: kept for a while before it is dropped, or to stay."""

    collection: str = Field(
        description="Its physical name.", examples=["support_docs_live__g2_6f1f4a52"]
    )
    reason: HoldReason = Field(
        description="The target of a run that was undone (rolled_back), or a previous "
        "collection whose retention window has closed (retired).",
        examples=["rolled_back"],
    )
    embedding: EmbeddingItem = Field(description="What its vectors are.", examples=[TARGET_EXAMPLE])
    chunks: int | None = Field(
        description="Chunks in it when it was held; null when not counted yet.", examples=[8300]
    )
    held_at: datetime = Field(description="Since when.", examples=["2026-11-03T09:30:00Z"])
    stays: bool = Field(
        description="Whether it is never dropped, because reembed did not make it.",
        examples=[False],
    )
    drop_after: datetime | None = Field(
        description="Until when at least; a new run to the same embedding takes a target over. "
        "Null for one that stays, or is kept for good.",
        examples=["2026-11-04T09:30:00Z"],
    )
    note: str | None = Field(
        description="What to do with one that stays, in a sentence.", examples=[None]
    )

    @classmethod
    def of(cls, held: KeptCollection) -> HeldCollectionItem:
        return cls(**held_facts(held))


def held_facts(held: KeptCollection) -> dict[str, Any]:
    """The fields of :class:`HeldCollectionItem`."""
    return {
        "collection": held.collection,
        "reason": held.reason,
        "embedding": EmbeddingItem.of(held.embedding),
        "chunks": held.chunks,
        "held_at": held.held_at,
        "stays": held.stays,
        "drop_after": None if held.stays else held.drop_after,
        "note": STAYS.format(bot=url_for("bots.bot", bot_id=held.bot_id)) if held.stays else None,
    }


class KeyPairItem(ResponseBody):
    """One chunk's keys."""

    old: int = Field(description="In the collection that was left.", examples=[449500000000000001])
    new: int = Field(description="In the new one.", examples=[449600000000000042])


class KeyMapResponse(ResponseBody):
    """Which keys belong together, where Milvus gives them."""

    old_collection: str = Field(
        description="The collection that was left.", examples=["support_docs"]
    )
    new_collection: str = Field(
        description="The one that was filled.", examples=["support_docs_live__g2_6f1f4a52"]
    )
    keys: list[KeyPairItem] = Field(
        description="By the old key; none where keys are kept, and none any more once the way "
        "back is closed. Chunks that were deleted since may be among them.",
        examples=[[{"old": 449500000000000001, "new": 449600000000000042}]],
    )
    next_after: int | None = Field(
        description="Ask for more with this as `after`; null when that was all.", examples=[None]
    )

    @classmethod
    def of(
        cls, migration: Migration, found: Sequence[tuple[int, int]], limit: int
    ) -> KeyMapResponse:
        """``found`` may be one more than ``limit``, which tells that there are more."""
        shown = found[:limit]
        return cls(
            old_collection=migration.source_collection,
            new_collection=migration.target_collection,
            keys=[KeyPairItem(old=old, new=new) for old, new in shown],
            next_after=shown[-1][0] if len(found) > limit else None,
        )


class RollbackOptionItem(ResponseBody):
    """What a rollback in one mode would mean now."""

    mode: RollbackMode = Field(
        description="What to send as `mode` of a rollback.", examples=["now"]
    )
    ready: bool = Field(description="Whether it would be accepted.", examples=[True])
    blockers: list[str] = Field(
        description="What stands in the way, each in a sentence.", examples=[[]]
    )
    seconds_until_back: float | None = Field(
        description="Until the bot answers from the previous collection, estimated; null when not "
        "known.",
        examples=[2.0],
    )
    seconds_until_complete: float | None = Field(
        description="Until what was written since is there as well, estimated as if nothing was; "
        "chunks that are to be embedded again come on top. Null when not known.",
        examples=[14.0],
    )
    readers: str = Field(
        description="What readers are answered meanwhile, in a sentence.",
        examples=["Readers are answered from the previous collection at once."],
    )

    @classmethod
    def of(cls, option: RollbackOption) -> RollbackOptionItem:
        return cls(**{**vars(option), "blockers": list(option.blockers)})


class MigrationStatusResponse(ResponseBody):
    """A bot, its newest migration, and whether its last switch can be taken back now."""

    bot: BotResponse = Field(description="The bot as it answers now.", examples=[{}])
    migrating: bool = Field(
        description="Whether it has a live migration, so that no other can start.",
        examples=[False],
    )
    migration: MigrationItem | None = Field(
        description="Its newest migration; null when it never had one.", examples=[None]
    )
    rollback_ready: bool = Field(
        description="Whether the last switch can be taken back now.", examples=[True]
    )
    rollback_blockers: list[str] = Field(
        description="What stands in the way, each in a sentence.", examples=[[]]
    )
    rollback_expires_at: datetime | None = Field(
        description="Until when it can be taken back; null when there is nothing to take back.",
        examples=["2026-11-06T09:30:00Z"],
    )
    rollback_chunks_to_compare: int | None = Field(
        description="Chunks on both sides, which a rollback compares; null when not known.",
        examples=[40000],
    )
    rollback_estimate_seconds: float | None = Field(
        description="How long a rollback would take if nothing was written since the switch; "
        "null when not known.",
        examples=[42.0],
    )
    rollback_estimate_basis: str | None = Field(
        description="How that was come by, in a sentence.",
        examples=["From the times that the last migration took to read and compare 20000 chunks."],
    )
    rollback_options: list[RollbackOptionItem] = Field(
        description="What a rollback in each mode would mean now; none when there is nothing to "
        "take back. `rollback_ready`, `rollback_blockers` and the estimate are of `complete`.",
        examples=[[]],
    )
    findings: list[FindingItem] = Field(
        description="What is wrong with that which migrations stand on (workers, queues, Redis, "
        "Milvus, clocks), and with a live one's being driven, each with what to do; as it was some "
        "seconds ago at most.",
        examples=[[FINDING_EXAMPLE]],
    )
    not_asked: list[str] = Field(
        description="What could not be asked just now, because Milvus does not answer, each in a "
        "sentence; it counts as standing in the way. Everything else is as it is.",
        examples=[[]],
    )
    held: list[HeldCollectionItem] = Field(
        description="Collections the bot has left: kept for a while before they are dropped, or "
        "staying, because reembed did not make them.",
        examples=[[]],
    )
    conflicts: int = Field(
        description="Chunks for a person to judge: written to an old collection after a switch and "
        "not taken over, because the live one had changed too or the text could not be embedded; "
        "or standing in the live one again although they had been deleted or replaced.",
        examples=[0],
    )

    @classmethod
    def of(cls, found: BotStatus) -> MigrationStatusResponse:
        newest, back = found.migration, found.rollback
        return cls(
            bot=BotResponse.of(found.bot),
            migrating=newest is not None and newest.status in LIVE,
            migration=MigrationItem.of(newest) if newest else None,
            rollback_ready=back.ready,
            rollback_blockers=list(back.blockers),
            rollback_expires_at=back.expires_at,
            rollback_chunks_to_compare=back.chunks_to_compare,
            rollback_estimate_seconds=back.estimate_seconds,
            rollback_estimate_basis=back.estimate_basis,
            rollback_options=[RollbackOptionItem.of(option) for option in back.options],
            findings=items_of(found.findings),
            not_asked=list(back.not_asked),
            held=[HeldCollectionItem.of(one) for one in found.held],
            conflicts=found.conflicts,
        )
