"""What is looked at before a migration: asked for by itself or as its first phase."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from migrations.embedding.asking import OWN_TEXTS
from migrations.embedding.embed import embed_queries, embed_texts
from migrations.embedding.over_long import is_over_long, room_for_text
from migrations.embedding.pace import Amount, requests_of, seconds_for
from migrations.embedding.work import Work
from migrations.model.agreed import NOTHING_AGREED, Agreed
from migrations.model.bots import Bot
from migrations.model.chunks import Chunk, CollectionSchema, Content, Key, content_of
from migrations.model.config import EmbeddingRef, Keys, OverLong
from migrations.model.errors import (
    CheckpointsUnavailable,
    CollectionNotLoaded,
    NoAnswer,
    PermanentError,
    ProviderRateLimited,
    ProviderRefuses,
    ProviderUnavailable,
    RequestError,
    TimedOut,
)
from migrations.model.looked_up import read_with_texts
from migrations.model.proofs import Proof
from migrations.model.report import Report
from migrations.ports.checkpoints import evicting
from migrations.ports.vector_store import Moment
from migrations.process.services import Services
from migrations.proof.duplicate_keys import report_duplicates
from migrations.proof.lengths import LENGTHS_SAMPLE, minds_lengths, report_lengths
from migrations.proof.old_model import examine_vectors, leave_unasked
from migrations.proof.reservoir import Reservoir
from migrations.proof.role_check import report_roles
from migrations.proof.slices import Slices, report_slices
from migrations.proof.target_schema import MadeAs, try_target, warn_of_replicas

#: Chunks embedded again to see whether the old model reproduces the stored vectors.
FIDELITY_SAMPLE = 50


@dataclass(frozen=True)
class Haste:
    """How fast a run has to be."""

    timeout_seconds: float
    batch_size: int


@dataclass
class Examination:
    """One pass over all checks; each adds to the report what it found."""

    work: Work
    bot: Bot
    target: EmbeddingRef
    agreed: Agreed
    #: Seconds until the switch and the chunks of a batch; None where nothing is embedded.
    haste: Haste | None
    #: None where the target is there already.
    made_as: MadeAs | None
    beforehand: bool
    report: Report
    #: Of all reads: each would wait for one of its own.
    now: Moment
    #: In whose name it is looked at.
    by: str = ""
    #: Of the chunks that have a text, for the fidelity check.
    sample: Reservoir = field(default_factory=lambda: Reservoir(FIDELITY_SAMPLE))
    #: Those, once they were fetched.
    sampled: Sequence[Chunk] = ()
    #: What the present model said of them; None where the bot's own proof is all there is.
    proof: Proof | None = None
    chunks: int = 0
    #: That the target's model took for one request.
    seconds_per_request: float = 0.0

    @property
    def services(self) -> Services:
        return self.work.services

    def count_tokens(self, text: str) -> int:
        target = self.target
        return self.services.embedders.count_tokens(target.provider, target.model, text)

    def guarded(self, name: str, check: Callable[[], None]) -> None:
        """A refusal becomes a failed check; a passing fault is the caller's to wait out."""
        try:
            check()
        except TimedOut:
            raise
        except (RequestError, PermanentError) as error:
            self.report.add(name, False, error.message, code=error.code)


def examine(
    work: Work,
    bot: Bot,
    target: EmbeddingRef,
    *,
    agreed: Agreed = NOTHING_AGREED,
    haste: Haste | None = None,
    made_as: MadeAs | None = None,
    beforehand: bool = True,
    by: str = "",
) -> Examination:
    """Try the source, both models, the texts and the alias, on behalf of a run or an errand.

    With ``beforehand``, a provider that does not answer and a source that is not
    loaded are findings; within a run the former is waited out and the latter loaded.

    Raises:
        TransientError: a dependency other than a provider does not answer.
        What ends the work.
    """
    now = work.services.vectors.moment()
    exam = Examination(work, bot, target, agreed, haste, made_as, beforehand, Report(), now, by)
    exam.guarded("source", lambda: _check_source(exam))
    exam.guarded("target_model", lambda: _check_target_model(exam))
    exam.guarded("alias", lambda: _check_alias(exam))
    _check_redis(exam)
    if exam.report.passed:
        schema = work.services.vectors.describe(bot.live.collection, bot.vector_field)
        schema = read_with_texts(schema, bot.recipe)
        exam.guarded("target_schema", lambda: _check_target_schema(exam, schema))
        exam.guarded("texts", lambda: _check_texts(exam, schema))
        exam.guarded("fidelity", lambda: _check_fidelity(exam, schema))
        exam.guarded("vector_lengths", lambda: _check_lengths(exam, schema))
        exam.guarded("roles", lambda: _check_roles(exam))
        exam.guarded("deadline", lambda: _check_deadline(exam))
    return exam


def _check_source(exam: Examination) -> None:
    vectors, bot = exam.services.vectors, exam.bot
    schema = vectors.describe(bot.live.collection, bot.vector_field)
    exam.report.add(
        "schema",
        not schema.unsupported,
        " ".join(schema.unsupported)
        or "Everything in the collection's schema can be carried over.",
    )
    exam.report.add(
        "source_dimension",
        schema.dimension == bot.live.embedding.dimension,
        f"The collection holds {schema.dimension} dimensions; "
        f"the bot is registered with {bot.live.embedding.dimension}.",
    )
    if schema.key_is_given:
        _report_given_keys(exam, schema)
    loaded = vectors.is_loaded(bot.live.collection)
    if not loaded and not exam.beforehand:
        # A restarted Milvus has forgotten it; whoever runs this has it loaded, and tries again.
        raise CollectionNotLoaded(collection=bot.live.collection)
    exam.report.add(
        "source_loaded",
        loaded,
        "The collection is loaded." if loaded else "The collection is not loaded; load it first.",
    )
    if loaded:
        warn_of_replicas(vectors, bot.live.collection, exam.report)
    chunks = vectors.count(bot.live.collection, as_of=exam.now) if loaded else 0
    added = chunks * exam.target.dimension * 4
    exam.report.add(
        "source",
        True,
        f"{chunks} chunks; the new vectors take about {added / 1e6:,.1f} MB beside the old ones "
        f"{_until_when(exam)}.",
        chunks=chunks,
        new_vector_bytes=added,
    )


def _report_given_keys(exam: Examination, schema: CollectionSchema) -> None:
    agreed = exam.agreed.keys is Keys.REASSIGN
    exam.report.add(
        "keys",
        agreed,
        f"Milvus gives the keys '{schema.key_field}', and will give others in the new collection: "
        "whoever has stored some elsewhere finds out which belong together from the map of keys."
        + ("" if agreed else " Start with keys: reassign if that is all right."),
    )


def _check_target_schema(exam: Examination, schema: CollectionSchema) -> None:
    if exam.made_as is not None:
        dimension = exam.target.dimension
        try_target(exam.services, exam.bot, schema, dimension, exam.made_as, exam.report)


def _until_when(exam: Examination) -> str:
    bot, until = exam.bot, "until the retention window closes"
    if exam.services.store.may_be_dropped(bot.bot_id, bot.live.collection):
        return until
    return f"{until}, and on disk after it, because reembed drops nothing that it did not make"


def _check_target_model(exam: Examination) -> None:
    """A run waits for its model; one that an errand has asked in vain is a finding.

    Two texts, since any answer to a single one could be assigned; as documents and, where it
    wants those otherwise, as questions.
    """
    target = exam.target
    try:
        answers = embed_texts(exam.work, target, OWN_TEXTS, "validation")
        if target.query_role != target.document_role:
            embed_queries(exam.work, target, OWN_TEXTS[:1], "validation").of(OWN_TEXTS[0])
    except (ProviderRateLimited, ProviderUnavailable) as error:
        raise PermanentError(error.message) from error
    except ProviderRefuses as error:
        raise _refused_in_roles(target, error) from error
    vector, _ = (answers.of(text) for text in OWN_TEXTS)
    exam.seconds_per_request = answers.seconds
    exam.report.add(
        "target_model",
        len(vector) == exam.target.dimension,
        f"{exam.target} answers with {len(vector)} dimensions.",
    )


def _refused_in_roles(target: EmbeddingRef, error: ProviderRefuses) -> ProviderRefuses:
    """With the way out, where the provider may not know what a role wants to be sent."""
    if not any(role.parameters for role in target.roles):
        return error
    return ProviderRefuses(
        f"{error.message} It was asked with {target.roles}: if it does not take that, state "
        "other roles, or document_role {} and query_role {} with unusual_roles true for none.",
        **error.details,
    )


def _check_alias(exam: Examination) -> None:
    bot = exam.bot
    actual = exam.services.vectors.resolve_alias(bot.alias)
    agrees = actual == bot.live.collection
    exam.report.add(
        "alias",
        agrees,
        f"The alias {bot.alias!r} points to {bot.live.collection!r}."
        if agrees
        else f"The alias {bot.alias!r} does not point to {bot.live.collection!r}; "
        "it is put right by the watchdog.",
        severity="warning",
    )


def _check_redis(exam: Examination) -> None:
    """What Redis evicts is driven again, by and by; one that is away is waited for elsewhere."""
    services = exam.services
    with suppress(CheckpointsUnavailable, NoAnswer):
        policy = services.redis_briefly.ask(lambda: services.checkpoints.eviction_policy())
        wrong = evicting(policy)
        exam.report.add(
            "redis", wrong is None, wrong or "Redis keeps what it is given.", severity="warning"
        )


def _check_texts(exam: Examination, schema: CollectionSchema) -> None:
    """Empty texts cannot be embedded, and a key has one text: said before anything is paid.

    Every chunk is read for that, so its content is added up in passing: see backup creation.
    """
    empty = too_long = 0
    content = Content()
    duplicates: list[Key] = []
    limit = room_for_text(exam.services.embedders, exam.target, exam.target.document_role)
    by = exam.agreed.slice_by
    slices = Slices(by) if by is not None else None
    for page in exam.services.vectors.scan(schema, as_of=exam.now):
        content += content_of(page)
        duplicates += [chunk.key for chunk in page if chunk.rows > 1]
        for chunk in page:
            if slices is not None:
                slices.add(chunk)
            text = exam.bot.recipe.text_of(chunk.fields)
            if not text:
                empty += 1
            else:
                exam.sample.add(chunk.key)
                too_long += is_over_long(text, limit, exam.count_tokens)
    exam.chunks = content.chunks
    unusable = empty + (too_long if exam.agreed.over_long is OverLong.REFUSE else 0)
    exam.report.add(
        "texts",
        unusable <= exam.agreed.max_failed_ratio * content.chunks,
        f"{content.chunks} texts: {empty} empty, {too_long} longer than the model takes"
        + (
            "."
            if not unusable
            else "; mend or delete them, or start with a max_failed_ratio that leaves them out."
        ),
        empty=empty,
        too_long=too_long,
        chunks=content.chunks,
        content_digest=content.hex,
    )
    report_duplicates(exam.report, duplicates, exam.agreed.duplicate_keys)
    report_slices(slices, content.chunks, exam.agreed, exam.report)
    if too_long and exam.agreed.over_long is not OverLong.REFUSE:
        _warn_of_shortened(exam, too_long, limit)


def _warn_of_shortened(exam: Examination, too_long: int, limit: int | None) -> None:
    done = {
        OverLong.TRUNCATE: "only their beginning is embedded",
        OverLong.SPLIT: "their pieces are embedded and averaged",
    }
    exam.report.add(
        "over_long",
        False,
        f"{too_long} texts are longer than the {limit} tokens the model takes; "
        + ("of those written since the switch " if exam.agreed.way_back else "")
        + f"{done[exam.agreed.over_long]}.",
        severity="warning",
        too_long=too_long,
    )


def _check_fidelity(exam: Examination, schema: CollectionSchema) -> None:
    exam.sampled = exam.services.vectors.fetch(
        schema, exam.sample.keys, with_vectors=True, as_of=exam.now
    )
    agreed = exam.agreed
    if agreed.old_model_gone and not agreed.way_back:
        exam.proof = leave_unasked(exam.work, exam.bot, exam.report, by=exam.by)
        return
    exam.proof = examine_vectors(
        exam.work,
        exam.bot,
        exam.sampled,
        exam.report,
        agreed=agreed.unproven_text,
        way_back=agreed.way_back,
        by=exam.by,
    )


def _check_lengths(exam: Examination, schema: CollectionSchema) -> None:
    """Of the vectors that the new model gives for some texts; those there already are kept."""
    if exam.agreed.way_back or not minds_lengths(schema):
        return
    texts = [exam.bot.recipe.text_of(chunk.fields) for chunk in exam.sampled][:LENGTHS_SAMPLE]
    vectors = embed_texts(exam.work, exam.target, texts, "validation").vectors
    report_lengths(
        exam.report,
        schema,
        before=[chunk.vector for chunk in exam.sampled if chunk.vector is not None],
        after=list(vectors.values()),
        agreed=exam.agreed.vector_lengths,
    )


def _check_roles(exam: Examination) -> None:
    """Do the target's roles do what they are there for? Nothing else would show it later."""
    target, texts = exam.target, [exam.bot.recipe.text_of(c.fields) for c in exam.sampled]
    known = exam.services.embedders.known_roles(target.provider, target.model)
    meant = exam.agreed.unusual_roles or target.roles == known
    try:
        report_roles(exam.work, target, texts, exam.report, meant=meant)
    except (ProviderRateLimited, ProviderUnavailable) as error:
        raise PermanentError(error.message) from error


def _check_deadline(exam: Examination) -> None:
    """Is there time enough to embed everything, by the pace and the limits known by now?"""
    if exam.haste is None or not exam.sampled:
        return
    services, target, haste = exam.services, exam.target, exam.haste
    texts = [exam.bot.recipe.text_of(chunk.fields) for chunk in exam.sampled]
    sent = target.document_role.around_all(texts)
    tokens = round(sum(map(exam.count_tokens, sent)) * exam.chunks / len(texts))
    requests = requests_of(services, target, texts, exam.chunks, haste.batch_size)
    amount = Amount(requests, tokens)
    seconds, decides = seconds_for(services, target, amount, exam.seconds_per_request)
    in_time = seconds <= haste.timeout_seconds
    exam.report.add(
        "deadline",
        in_time,
        f"Embedding takes about {seconds:,.0f} s ({decides}), and the migration has "
        f"{haste.timeout_seconds:,.0f} s"
        + (
            "."
            if in_time
            else ": start it with a larger timeout_seconds, or it is taken back when that is over."
        ),
        severity="warning",
        seconds=round(seconds, 1),
        timeout_seconds=haste.timeout_seconds,
    )
