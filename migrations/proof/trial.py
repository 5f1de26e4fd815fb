"""A trial: some chunks are moved to another model, judged as verification would, and forgotten.

Nothing of the bot's changes. The new vectors lie in the bot's scratch collection meanwhile, so
Milvus makes the target's schema, takes its rows and answers from them; what a killed process
has left of it is dropped by the next trial or a watchdog. The old side is asked in memory, for
the same chunks alone (:mod:`migrations.proof.sampled_source`). Whatever it asks of providers is
an errand's, and in the ledger as ``trial``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TypeVar, cast
from uuid import uuid4

import numpy as np

from migrations.embedding.asking import Vector
from migrations.embedding.embed import embed_texts
from migrations.embedding.estimate import cost_of, estimate
from migrations.embedding.work import Errand
from migrations.model.answers import Trial
from migrations.model.bots import Bot
from migrations.model.chunks import Chunk, CollectionSchema, Key, vector_of
from migrations.model.config import EmbeddingRef, MigrationConfig
from migrations.model.errors import (
    ForeignCollection,
    SchemaNotReproduced,
    StillRead,
    VectorStoreRefused,
)
from migrations.model.looked_up import read_with_texts
from migrations.model.report import Report
from migrations.model.requests import TrialRequest
from migrations.model.runs import Handover, Migration
from migrations.model.states import Kind, Phase, Status
from migrations.ports.limiter import Ticket
from migrations.ports.vector_store import Moment, VectorStore
from migrations.process.pulse import Beat
from migrations.process.services import Services
from migrations.proof.fidelity import ECHOED
from migrations.proof.golden import judge_golden
from migrations.proof.lengths import minds_lengths, report_lengths
from migrations.proof.neighbourhoods import judge_neighbourhoods
from migrations.proof.parts import judge_parts
from migrations.proof.preflight import FIDELITY_SAMPLE
from migrations.proof.questions import ask_with_stored
from migrations.proof.reservoir import Reservoir
from migrations.proof.retrieval import judge_retrieval
from migrations.proof.role_check import TEXTS_ASKED, report_roles
from migrations.proof.sampled_source import SampledSource
from migrations.run.run import Run
from migrations.target.rehearsal import scratch, scratch_name

#: What the ledger says that everything here is for.
TRIAL = "trial"
#: A golden query's relevant chunks come first, and are so much of the sample at the most.
_RELEVANT = 0.5

T = TypeVar("T")


@dataclass
class TrialRun(Run):
    """What checks of verification ask, for somebody who waits for it: no migration is there."""

    errand: Errand = field(kw_only=True)
    paid: list[tuple[EmbeddingRef, int]] = field(default_factory=list)

    def must_go_on(self) -> None:
        self.errand.must_go_on()

    def wait(self, seconds: float) -> None:
        self.errand.wait(seconds)

    def patiently(self, action: Callable[[], T]) -> T:
        return self.errand.patiently(action)

    @property
    def max_retries(self) -> int:
        return self.errand.max_retries

    @property
    def retry_delay(self) -> float:
        return self.errand.retry_delay

    def ticket(self, provider: str, estimated_tokens: int) -> Ticket:
        return self.errand.ticket(provider, estimated_tokens)

    def pay(self, ref: EmbeddingRef, purpose: str, tokens: int) -> None:
        self.paid.append((ref, tokens))
        self.errand.pay(ref, TRIAL, tokens)

    def wait_for_turn(self, seconds: float, purpose: str) -> None:
        self.errand.wait_for_turn(seconds, purpose)

    def put_off(self, seconds: float, purpose: str) -> None:
        self.errand.put_off(seconds, purpose)


@dataclass
class _Moved:
    """Sampled chunks with their new vectors, and why others have none."""

    chunks: list[Chunk] = field(default_factory=list)
    vectors: dict[Key, Vector] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    #: That the provider took, without the waiting for turns.
    seconds: float = 0.0


def try_out(services: Services, bot: Bot, target: EmbeddingRef, wish: TrialRequest) -> Trial:
    """Move ``wish.chunks`` of the bot's chunks, or all if there are fewer, and judge them.

    Raises:
        CollectionNotFound, VectorStoreUnavailable, StateStoreUnavailable and what the target's
        model answers (:data:`migrations.ports.embedders.PROVIDER_FAULTS`).
    """
    begun = services.clock.monotonic()
    schema = services.vectors.describe(bot.live.collection, bot.vector_field)
    schema, now = read_with_texts(schema, bot.recipe), services.vectors.moment()
    chunks, sample = _sampled(services, bot, schema, wish.chunks, now)
    alone = cast("VectorStore", SampledSource(services.vectors, schema, sample))
    run = TrialRun(
        services=replace(services, vectors=alone),
        migration=_as_if(services, bot, target, wish, schema),
        bot=bot,
        beat=Beat(lambda: True, 0.0),
        errand=Errand.of(services, bot),
    )
    report = Report()
    moved = _embedded(run, sample, report)
    try:
        with scratch(services, bot, run.wanted, target.dimension) as name:
            if name is None:
                told = f"A bot has a collection named {scratch_name(bot)!r}."
                report.add("target_schema", False, told)
            elif moved.chunks:
                _store_and_judge(run, moved, report)
    except (VectorStoreRefused, SchemaNotReproduced, ForeignCollection, StillRead) as error:
        report.add("target_schema", False, error.message, code=error.code)
    batch_size = run.migration.config.batch_size
    whole = estimate(run, bot, target, batch_size, FIDELITY_SAMPLE + ECHOED, TEXTS_ASKED)
    tokens = [(target, 0), *run.paid]
    return Trial(
        bot=bot,
        target=target,
        report=report,
        chunks=chunks,
        sampled=len(sample),
        moved=len(moved.chunks),
        tokens=sum(many for _, many in tokens),
        cost_usd=cost_of(services, tokens)[0],
        seconds=round(services.clock.monotonic() - begun, 3),
        chunks_per_second=round(len(moved.chunks) / moved.seconds, 1) if moved.seconds else None,
        whole=whole,
    )


def _sampled(
    services: Services, bot: Bot, schema: CollectionSchema, wanted: int, now: Moment
) -> tuple[int, list[Chunk]]:
    """How many there are, and some from all over: the same for the same collection."""
    chosen, chunks = Reservoir(wanted), 0
    for page in services.vectors.scan_keys(schema, as_of=now):
        chunks += len(page)
        for key in page:
            chosen.add(key)
    answers = _relevant(services, bot, chosen.keys)[:wanted]
    fetch = services.vectors.fetch
    first = fetch(schema, answers, with_vectors=True, as_of=now) if answers else []
    first = first[: int(_RELEVANT * wanted)]
    there = {chunk.key for chunk in first}
    rest = [key for key in chosen.keys if key not in there][: wanted - len(first)]
    others = fetch(schema, rest, with_vectors=True, as_of=now) if rest else []
    return chunks, [chunk for chunk in (*first, *others) if chunk.vector is not None]


def _relevant(services: Services, bot: Bot, keys: Sequence[Key]) -> list[Key]:
    """Keys that golden queries name, of the kind that the collection has."""
    if not keys:
        return []
    of_numbers = isinstance(keys[0], int)
    named = [k for query in services.store.golden_queries(bot.bot_id) for k in query.relevant]
    if of_numbers:
        named = [int(k) for k in named if isinstance(k, int) or k.lstrip("-").isdecimal()]
    else:
        named = [str(k) for k in named]
    return list(dict.fromkeys(named))


def _embedded(run: TrialRun, sample: Sequence[Chunk], report: Report) -> _Moved:
    """In batches one after another, as one slot of a worker does it."""
    config, moved = run.migration.config, _Moved()
    for start in range(0, len(sample), config.batch_size):
        batch = sample[start : start + config.batch_size]
        texts = [run.text_of(chunk) for chunk in batch]
        answers = embed_texts(
            run, config.target, texts, TRIAL, over_long=config.over_long, insist=False
        )
        moved.seconds += answers.seconds
        for chunk, text in zip(batch, texts, strict=True):
            if text in answers.refused:
                moved.refused[answers.refused[text].code] += 1
            else:
                moved.chunks.append(chunk)
                moved.vectors[chunk.key] = answers.vectors[text]
    refused = moved.refused.total()
    why = ", ".join(f"{many} {code}" for code, many in moved.refused.items())
    report.add(
        "texts",
        not refused,
        f"{len(moved.chunks)} of {len(sample)} sampled texts were embedded"
        + (f"; the others were not: {why}." if refused else "."),
        refused=dict(moved.refused),
    )
    return moved


def _store_and_judge(run: TrialRun, moved: _Moved, report: Report) -> None:
    vectors, dimension = run.services.vectors, run.migration.config.to_dimension
    size = run.migration.config.batch_size
    for start in range(0, len(moved.chunks), size):
        batch = moved.chunks[start : start + size]
        made = np.stack([moved.vectors[chunk.key] for chunk in batch])
        run.patiently(partial(vectors.upsert, run.target, batch, made))
    vectors.load(run.target.name)
    as_of = vectors.moment()
    keys = [chunk.key for chunk in moved.chunks]
    stored = run.patiently(lambda: vectors.fetch(run.target, keys, with_vectors=True, as_of=as_of))
    report.add(
        "target_schema",
        True,
        f"Milvus has made a collection with an index {run.wanted.index_type or 'of its choice'} "
        f"for {dimension} dimensions, and it was dropped.",
    )
    _judge_stored(moved, stored, report)
    _judge(run, moved, stored, as_of, report)


def _judge_stored(moved: _Moved, stored: Sequence[Chunk], report: Report) -> None:
    """Whether Milvus gives back what it was given: texts, other fields and vectors."""
    given = {chunk.key: chunk for chunk in moved.chunks}
    others = [
        str(chunk.key)
        for chunk in stored
        if not chunk.holds_the_same_as(given[chunk.key])
        or not np.array_equal(vector_of(chunk), moved.vectors[chunk.key])
    ]
    lost = len(given) - len(stored)
    report.add(
        "content",
        not others and not lost,
        f"{len(stored) - len(others)} of {len(given)} chunks were read as they were written.",
        lost=lost,
        examples=others[:10],
    )


def _judge(
    run: TrialRun, moved: _Moved, stored: Sequence[Chunk], as_of: Moment, report: Report
) -> None:
    """As verification does, with these chunks for the whole collection."""
    config, rows = run.migration.config, len(stored)
    keys = {chunk.key for chunk in stored}
    if minds_lengths(run.target):
        report_lengths(
            report,
            run.source,
            before=[vector_of(chunk) for chunk in moved.chunks],
            after=list(moved.vectors.values()),
            agreed=config.vector_lengths,
        )
    pairs = run.patiently(lambda: ask_with_stored(run, stored, as_of))
    judge_neighbourhoods(run, pairs, rows, report)
    again: Mapping[Key, Vector] = moved.vectors
    run.patiently(lambda: judge_retrieval(run, stored, pairs, again, keys, as_of, report))
    judge_parts(run, stored, rows, as_of, report)
    judge_golden(run, as_of, report)
    known = run.services.embedders.known_roles(config.to_provider, config.to_model)
    meant = config.unusual_roles or config.target.roles == known
    texts = [run.text_of(chunk) for chunk in stored]
    report_roles(run, config.target, texts, report, meant=meant)


def _as_if(
    services: Services,
    bot: Bot,
    target: EmbeddingRef,
    wish: TrialRequest,
    schema: CollectionSchema,
) -> Migration:
    """A migration that nobody has started and no store knows, for checks to read from."""
    live, now = bot.live, services.now()
    config = MigrationConfig(
        bot_id=bot.bot_id,
        from_provider=live.embedding.provider,
        from_model=live.embedding.model,
        from_dimension=live.embedding.dimension,
        from_manner=live.embedding.manner,
        to_provider=target.provider,
        to_model=target.model,
        to_dimension=target.dimension,
        to_manner=target.manner,
        batch_size=services.settings.default_batch_size,
        over_long=wish.over_long,
        index=wish.index,
        old_model_gone=wish.old_model_gone,
        vector_lengths=wish.vector_lengths,
        unusual_roles=wish.unusual_roles,
    )
    return Migration(
        id=uuid4(),
        bot_id=bot.bot_id,
        owner=bot.owner,
        requested_by=bot.owner,
        kind=Kind.FORWARD,
        reverses=None,
        config=config,
        status=Status.RUNNING,
        phase=Phase.VERIFICATION,
        step=None,
        epoch=0,
        source_collection=schema.name,
        target_collection=scratch_name(bot),
        source_generation=live.generation,
        new_generation=None,
        target_is_kept=False,
        target_adopted=False,
        completed_phases=(),
        phase_times={},
        rollback_info=None,
        validation=None,
        verification=None,
        error=None,
        warnings=(),
        waiting_for=None,
        totals={},
        handover=Handover(),
        undo_errors={},
        decision={},
        created_at=now,
        started_at=now,
        switched_at=None,
        finished_at=None,
        deadline_at=now + timedelta(days=1),
        heartbeat_at=now,
        updated_at=now,
    )
