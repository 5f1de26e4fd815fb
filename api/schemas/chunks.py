"""Chunks that applications write through us, and how far that is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field

from api.schemas.parts import RequestBody, RequestPart, ResponseBody, VisibleText
from migrations.model.writes import FailedWrite, Journal, Write, WriteKind
from migrations.writers.journal import Written

#: Of one request.
MOST_CHUNKS = 1000
_Key = Annotated[str, Field(max_length=65_535)] | int
_FIELDS = {"text": "Invoices are sent on the first of the month.", "page": 12}


class WriteOnceHeader(RequestPart):
    place: ClassVar[str] = "header"

    idempotency_key: VisibleText | None = Field(
        default=None,
        alias="Idempotency-Key",
        description="Any text that is new for each wish, such as a UUID. Sent again with the same "
        "body within a day, the request writes nothing, and is answered with its first place.",
        json_schema_extra={"example": "2f0c2f9e-7b1f-4a63-8f0e-6d2b0a4f5c77"},
    )


class ChunkItem(RequestBody):
    """A chunk as it is from now on."""

    key: _Key = Field(description="Its primary key.", examples=["faq-17"])
    fields: dict[str, Any] = Field(
        description="Its columns and members of the dynamic field, all of them; without the key, "
        "which stands beside them, and without the vector, which is made of the text.",
        examples=[_FIELDS],
    )


class ChunksRequest(RequestBody):
    """Chunks to be written, in this order."""

    chunks: Annotated[list[ChunkItem], Field(min_length=1, max_length=MOST_CHUNKS)] = Field(
        description=f"At most {MOST_CHUNKS}; of those with the same key the last one counts.",
        examples=[[{"key": "faq-17", "fields": _FIELDS}]],
    )

    def writes(self) -> list[Write]:
        return [Write(WriteKind.UPSERT, chunk.key, chunk.fields) for chunk in self.chunks]


class ChunkDeletionRequest(RequestBody):
    """Chunks to be deleted."""

    keys: Annotated[list[_Key], Field(min_length=1, max_length=MOST_CHUNKS)] = Field(
        description=f"Their primary keys, at most {MOST_CHUNKS}; one that is not there is no "
        "mistake.",
        examples=[["faq-17", "faq-18"]],
    )

    def writes(self) -> list[Write]:
        return [Write(WriteKind.DELETE, key) for key in self.keys]


class FailedWriteItem(ResponseBody):
    """A write that could not be done: the chunk is as it was before."""

    position: int = Field(description="Its place in the journal.", examples=[4711])
    key: str | int = Field(description="The chunk's primary key.", examples=["faq-17"])
    code: str = Field(description="A stable word.", examples=["text-too-long"])
    message: str = Field(
        description="Why, in a sentence.",
        examples=["The text is longer than the 8192 tokens the model takes."],
    )

    @classmethod
    def of(cls, failed: FailedWrite) -> Self:
        return cls(**vars(failed))


_FAILED_EXAMPLE = {
    "position": 4711,
    "key": "faq-17",
    "code": "text-too-long",
    "message": "The text is longer than the 8192 tokens the model takes.",
}


class ChunksWrittenResponse(ResponseBody):
    """Writes that are kept, and are or will be applied."""

    bot_id: str = Field(description="The bot.", examples=["support-bot"])
    accepted: int = Field(description="How many writes are kept.", examples=[1])
    position: int = Field(
        description="The last one's place in the bot's journal: it is applied when the journal's "
        "`applied_position` has reached it.",
        examples=[4711],
    )
    applied: bool = Field(
        description="Whether all of them are applied to the live collection.", examples=[True]
    )
    failed: list[FailedWriteItem] = Field(
        description="Of those that are applied, the ones that could not be done; at most a "
        "hundred, the journal has the others.",
        examples=[[]],
    )

    @classmethod
    def of(cls, written: Written) -> Self:
        return cls(
            bot_id=written.bot_id,
            accepted=written.appended.upto - written.appended.after,
            position=written.appended.upto,
            applied=written.is_applied,
            failed=[FailedWriteItem.of(one) for one in written.failed],
        )


class JournalResponse(ResponseBody):
    """How far a bot's journal is written and applied."""

    bot_id: str = Field(description="The bot.", examples=["support-bot"])
    last_position: int = Field(description="Of the last write that is kept.", examples=[4711])
    applied_position: int = Field(
        description="Up to and including this one all are applied.", examples=[4711]
    )
    waiting: int = Field(description="Writes that are kept and not applied yet.", examples=[0])
    waiting_since: datetime | None = Field(
        description="When the oldest of them was sent; null where none waits.", examples=[None]
    )
    waiting_for: str | None = Field(
        description="Why nothing is applied just now, in a sentence; null where nothing is in the "
        "way.",
        examples=[None],
    )
    failed_count: int = Field(
        description="Writes that could not be done, and whose key was not written since.",
        examples=[1],
    )
    failed: list[FailedWriteItem] = Field(
        description="Those of them that stand after `after`, in order.",
        examples=[[_FAILED_EXAMPLE]],
    )
    next_after: int | None = Field(
        description="Ask for the next ones with this `after`; null when these are the last.",
        examples=[None],
    )

    @classmethod
    def of(cls, bot_id: str, journal: Journal, failed: Sequence[FailedWrite], limit: int) -> Self:
        """``failed`` may be one more than the limit."""
        shown = failed[:limit]
        return cls(
            bot_id=bot_id,
            last_position=journal.last,
            applied_position=journal.applied,
            waiting=journal.last - journal.applied,
            waiting_since=journal.waiting_since,
            waiting_for=_waiting_for(journal),
            failed_count=journal.failed,
            failed=[FailedWriteItem.of(one) for one in shown],
            next_after=shown[-1].position if len(failed) > limit else None,
        )


def _waiting_for(journal: Journal) -> str | None:
    if journal.last == journal.applied:
        return None
    if journal.is_held:
        return "The bot is about to switch; what is written is applied right after it."
    return journal.waiting_for
