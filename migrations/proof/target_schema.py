"""Before a run: will Milvus make the target as it has to be, and what of the source is it not?"""

from __future__ import annotations

from dataclasses import dataclass

from migrations.model.bots import Bot
from migrations.model.chunks import CollectionSchema
from migrations.model.config import TargetIndex
from migrations.model.report import Report
from migrations.ports.vector_store import VectorStore
from migrations.process.services import Services
from migrations.target.rehearsal import must_be_tried, rehearse


@dataclass(frozen=True)
class MadeAs:
    """How the target is made: with the source's index, or another."""

    index: TargetIndex | None = None


def try_target(
    services: Services,
    bot: Bot,
    source: CollectionSchema,
    dimension: int,
    made_as: MadeAs,
    report: Report,
) -> None:
    """Made once and dropped, where the dimension, or whoever asked, may have changed its index.

    Raises:
        What :func:`migrations.target.rehearsal.rehearse` raises.
    """
    if not must_be_tried(source, made_as.index):
        return
    wanted = source.with_index(made_as.index)
    rehearse(services, bot, wanted, dimension)
    report.add(
        "target_schema",
        True,
        f"Milvus has made an empty collection with an index {wanted.index_type} for {dimension} "
        "dimensions, and it was dropped.",
    )


def warn_of_replicas(vectors: VectorStore, collection: str, report: Report) -> None:
    """How a collection was loaded is no part of what it is, and is not done again by us."""
    groups = vectors.replicas(collection)
    if groups in ([], [""]):
        return
    named = sorted({group for group in groups if group})
    report.add(
        "replicas",
        False,
        f"The collection is loaded in {len(groups)} replica{'s' if len(groups) > 1 else ''}"
        + (f", in the resource groups {', '.join(named)}" if named else "")
        + "; the new one is loaded as its properties collection.replica.number and "
        "collection.resource_groups say, which are carried, or else once in the default group. "
        "Set them, or load the new collection anew after the switch.",
        severity="warning",
        replicas=len(groups),
    )
