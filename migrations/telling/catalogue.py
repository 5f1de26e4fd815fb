"""Which events of a migration are told, and in which words; and what a message looks like.

A message names ids, collections, models and counts. What chunks hold is told to nobody, and
neither is what providers or Milvus have said, which may repeat it: of an error its code goes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from migrations.model.config import EmbeddingRef
from migrations.model.notifications import NotificationType as Type
from migrations.model.notifications import Untold
from migrations.model.runs import Migration
from migrations.model.states import Kind

#: Of the shape of a message; fields may be added within a version.
VERSION = 1


@dataclass(frozen=True)
class Words:
    """What is made of an event: a type, a sentence, and what of its details goes out."""

    type: Type
    sentence: str
    details: tuple[str, ...] = ()


#: Of a message that an operator sends to see whether it comes.
TEST = "reembed.test"

#: By the name of the event.
TOLD: Mapping[str, Words] = {
    "started": Words(Type.STARTED, "{what} was started.", ("by",)),
    "waits": Words(Type.WAITING, "{what} waits for a decision before its switch.", ("for",)),
    "accepted": Words(
        Type.ACCEPTED,
        "{what} was accepted by {by}; it goes on to its switch.",
        ("by", "reason", "of"),
    ),
    "switched": Words(
        Type.SWITCHED, "The bot answers from {to} now.", ("collection", "generation")
    ),
    "paused": Words(Type.PAUSED, "{what} was paused by {by}.", ("by", "reason")),
    "resumed": Words(Type.RESUMED, "{what} was resumed by {by}.", ("by",)),
    "completed": Words(Type.COMPLETED, "{what} is completed.", ("by",)),
    "cancel_requested": Words(
        Type.CANCELLED, "{what} was cancelled by {by}; what it did is being undone.", ("by",)
    ),
    "rollback_begun": Words(
        Type.ROLLING_BACK, "{what} failed ({code}); what it did is being undone.", ("code",)
    ),
    "rolled_back": Words(
        Type.ROLLED_BACK, "{what} is rolled back: the bot answers from {origin}.", ("by",)
    ),
    "failed": Words(
        Type.FAILED, "{what} failed ({code}) and, as asked, nothing was undone.", ("code",)
    ),
    "operator_needed": Words(
        Type.NEEDS_OPERATOR, "{what} could not be undone: a person is needed."
    ),
    "conflicts_kept": Words(
        Type.CONFLICTS_KEPT,
        "{conflicts} writes that came to the old collection after the switch are kept as "
        "conflicts.",
        ("conflicts",),
    ),
    "canaries_breached": Words(
        Type.CANARIES_BREACHED,
        "The live collection answers worse than it was verified.",
        ("breaches",),
    ),
    "way_back_ends": Words(
        Type.WAY_BACK_ENDS,
        "A rollback to {origin} is possible until {expires_at}.",
        ("expires_at",),
    ),
    "retired": Words(
        Type.WAY_BACK_ENDED,
        "The way back to {origin} has ended; its collection is kept for a while.",
        ("collection",),
    ),
    "drop_refused": Words(
        Type.DROP_REFUSED,
        "A kept collection is still written to and was not dropped.",
        ("collection",),
    ),
}


def message_of(one: Untold) -> Mapping[str, Any] | None:
    """The body that goes out; None for an event that is nobody's business."""
    words = TOLD.get(one.event.name)
    if words is None:
        return None
    detail = {name: one.event.detail[name] for name in words.details if name in one.event.detail}
    return {
        "type": words.type.value,
        "timestamp": one.event.at.isoformat(),
        "version": VERSION,
        "sentence": _sentence(words, one.migration, detail),
        "data": {
            **facts_of(one.migration),
            "phase": one.event.phase.value if one.event.phase else None,
            "epoch": one.event.epoch,
            "detail": detail,
        },
    }


def message_of_a_test() -> Mapping[str, Any]:
    return {
        "type": TEST,
        "timestamp": datetime.now(UTC).isoformat(),
        "version": VERSION,
        "sentence": "This is a test: reembed reaches you.",
        "data": {"detail": {}},
    }


def message_id_of(one: Untold) -> str:
    """Receivers know by it what they have had; unlike anybody else's."""
    return f"msg_{one.migration.id.hex}_{one.event_id}"


def facts_of(migration: Migration) -> dict[str, Any]:
    """What does not change in a migration's life."""
    config = migration.config
    return {
        "migration_id": str(migration.id),
        "bot_id": migration.bot_id,
        "owner": migration.owner,
        "kind": migration.kind.value,
        "reverses": str(migration.reverses) if migration.reverses else None,
        "from": _embedding(config.source),
        "to": _embedding(config.target),
        "source_collection": migration.source_collection,
        "target_collection": migration.target_collection,
    }


def _embedding(ref: EmbeddingRef) -> dict[str, Any]:
    return {"provider": ref.provider, "model": ref.model, "dimension": ref.dimension}


def _sentence(words: Words, migration: Migration, detail: Mapping[str, Any]) -> str:
    back = migration.kind is Kind.REVERSE
    target, source = migration.config.target, migration.config.source
    said = {
        **dict.fromkeys(words.details, "unknown"),
        **detail,
        "what": f"The {'rollback' if back else 'migration'} to {target.model}",
        "to": target.model,
        "origin": source.model,
    }
    return f"{migration.bot_id}: {words.sentence.format_map(said)}"
