"""From texts to vectors, for chunks or for texts alone.

Equal texts are sent once, over-long ones are refused, cut or split.
:mod:`migrations.embedding.asking` asks for what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import structlog

from migrations.embedding.asking import OWN_TEXTS, Answers, Asking, Vector
from migrations.embedding.over_long import (
    LEAST_LIMIT,
    SHORTER,
    Parts,
    Policy,
    combined,
    room_for_text,
)
from migrations.embedding.work import Work
from migrations.model.chunks import Chunk, Vectors
from migrations.model.config import EmbeddingRef, OverLong
from migrations.model.errors import (
    InvalidVectors,
    PermanentError,
    Superseded,
    TextRefused,
    TextTooLong,
    TransientError,
)
from migrations.model.roles import TextRole
from migrations.model.runs import LONGEST_INPUT
from migrations.run.run import Run

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Outcome:
    """Chunks with the vectors of the same position, and those that could not be embedded."""

    chunks: list[Chunk]
    vectors: Vectors
    refused: list[tuple[Chunk, PermanentError]]
    tokens: int
    #: Whether others were not asked for, because the run was paused: store these, and stop.
    is_cut_off: bool = False


def embed(run: Run, chunks: Sequence[Chunk], purpose: str) -> Outcome:
    """Embed the chunks' texts with the target's model.

    A text the provider refuses is reported; its neighbours are embedded all the same. A text
    longer than the model takes is treated as the migration's ``over_long`` says.
    Where the run is paused meanwhile, there are those that are paid for already.

    Raises:
        Superseded, TimedOut; Postponed for a batch that has waited too long for its turn;
        PermanentError for what no other chunk would survive either.
    """
    config, totals = run.migration.config, run.migration.totals
    standing = run.services.standings.of(config.target)
    if LONGEST_INPUT in totals:
        standing.takes_at_most(totals[LONGEST_INPUT])
    texts = [run.text_of(chunk) for chunk in chunks]
    answers = embed_texts(
        *(run, config.target, texts, purpose),
        over_long=config.over_long,
        keeps_a_part=run.was_paused,
    )
    if answers.shortened and not answers.is_cut_off:
        _tell_of_shortened(run, config.over_long, answers.shortened)
        learned = standing.longest_input
        if learned is not None and learned != totals.get(LONGEST_INPUT):
            store, of = run.services.store, run.migration  # before anything of it is stored
            run.patiently(lambda: store.learn_longest_input(of.id, of.epoch, learned))
    kept = [i for i, text in enumerate(texts) if text in answers.vectors]
    vectors = np.empty((len(kept), config.to_dimension), dtype=np.float32)
    for row, i in enumerate(kept):
        vectors[row] = answers.vectors[texts[i]]
    refused = answers.refused
    return Outcome(
        chunks=[chunks[i] for i in kept],
        vectors=vectors,
        refused=[(c, refused[t]) for c, t in zip(chunks, texts, strict=True) if t in refused],
        tokens=answers.tokens,
        is_cut_off=answers.is_cut_off,
    )


def _never() -> bool:
    return False


def embed_texts(
    work: Work,
    ref: EmbeddingRef,
    texts: Iterable[str],
    purpose: str,
    *,
    over_long: OverLong = OverLong.REFUSE,
    insist: bool = True,
    role: TextRole | None = None,
    keeps_a_part: Callable[[], bool] = _never,
) -> Answers:
    """Embed texts with any model, on behalf of ``work``: as its documents, or in another ``role``.

    ``purpose`` is what the ledger says it was for. Without ``insist``, a model that does not
    answer for :data:`migrations.embedding.work.PATIENCE_SECONDS` is given up, also by a run,
    and nonsense is not asked for again: for a model that one can do without.
    ``keeps_a_part`` is asked when the work is superseded: whether to answer with the texts that
    are paid for, instead of raising.

    Raises:
        what ends the work, and what the provider answers to any text
        (see :data:`migrations.ports.embedders.PROVIDER_FAULTS`).
    """
    role = ref.document_role if role is None else role
    policy = _policy(work, ref, role, over_long)
    planned, refused = _plan(policy, role, dict.fromkeys(texts))
    asking = Asking(work, work.services.embedders.get(ref, role), purpose, insist)
    answers = asking.answers
    try:
        asking.ask_for(_pieces(planned))
        while shorter := _shorter(work, ref, policy, planned, answers):
            planned |= shorter
            asking.ask_for([piece for piece in _pieces(shorter) if piece not in answers.vectors])
    except Superseded:
        if not answers.vectors or not keeps_a_part():
            raise
        answers.is_cut_off = True
        planned = {t: parts for t, parts in planned.items() if _is_whole(parts, answers)}
    vectors, refused = _put_together(planned, answers, refused)
    return Answers(
        {text: _of_length_1(v) for text, v in vectors.items()} if ref.normalized else vectors,
        refused,
        answers.tokens,
        answers.seconds,
        shortened=sum(parts.texts != (text,) for text, parts in planned.items()),
        is_cut_off=answers.is_cut_off,
    )


def _is_whole(parts: Parts, answers: Answers) -> bool:
    return all(piece in answers.vectors or piece in answers.refused for piece in parts.texts)


def embed_queries(
    work: Work, ref: EmbeddingRef, texts: Iterable[str], purpose: str, *, insist: bool = True
) -> Answers:
    """Embed questions as ``ref`` wants them, which may be otherwise than documents.

    Of one that is longer than the model takes the beginning is asked. Raises as
    :func:`embed_texts`.
    """
    return embed_texts(
        work, ref, texts, purpose, over_long=OverLong.TRUNCATE, insist=insist, role=ref.query_role
    )


def _pieces(planned: dict[str, Parts]) -> list[str]:
    return list(dict.fromkeys(piece for parts in planned.values() for piece in parts.texts))


def find_dimension(work: Work, provider: str, model: str) -> int:
    """The model's own dimension: as it is known, else by asking the model.

    Raises:
        UnknownProvider, UnknownModel, ProviderKeyMissing and what :func:`embed_texts` raises.
    """
    embedders = work.services.embedders
    known = embedders.dimension_of(provider, model)
    if known is not None:
        return known
    asking = Asking(work, embedders.of_own_dimension(provider, model), "dimension", insist=False)
    asking.ask_for(OWN_TEXTS[:1])
    return len(asking.answers.of(OWN_TEXTS[0]))


def _of_length_1(vector: Vector) -> Vector:
    unit: Vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def _put_together(
    planned: dict[str, Parts], answers: Answers, refused: dict[str, PermanentError]
) -> tuple[dict[str, Vector], dict[str, PermanentError]]:
    """Each text's vector, and all that have none with the reason."""
    found: dict[str, Vector] = {}
    for text, parts in planned.items():
        error = next((answers.refused[p] for p in parts.texts if p in answers.refused), None)
        try:
            if error is None:
                found[text] = combined(parts, answers.vectors)
        except InvalidVectors as cancelled:
            error = cancelled
        if error is not None:
            refused[text] = error
    return found, refused


# --- texts that are too long ---------------------------------------------------


def _plan(
    policy: Policy, role: TextRole, texts: Iterable[str]
) -> tuple[dict[str, Parts], dict[str, PermanentError]]:
    """What is sent for each text, and the texts that are refused without asking.

    The words of a role are no text: the provider would not notice that there is none.
    """
    planned: dict[str, Parts] = {}
    refused: dict[str, PermanentError] = {}
    for text in texts:
        try:
            if role.words and not text:
                raise TextRefused("The text is empty.")
            planned[text] = policy.parts(text)
        except TextRefused as error:
            refused[text] = error
    return planned, refused


def _policy(work: Work, ref: EmbeddingRef, role: TextRole, over_long: OverLong) -> Policy:
    embedders = work.services.embedders
    limits = [room_for_text(embedders, ref, role)]
    if over_long is not OverLong.REFUSE:  # what is only learned is no reason to refuse a text
        limits.append(work.services.standings.of(ref).longest_input)
    return Policy(
        over_long,
        min((limit for limit in limits if limit is not None), default=None),
        lambda text: embedders.count_tokens(ref.provider, ref.model, text),
    )


def _shorter(
    work: Work, ref: EmbeddingRef, policy: Policy, planned: dict[str, Parts], answers: Answers
) -> dict[str, Parts]:
    """What is sent now for texts that were refused for their length, if they may be shortened.

    That shorter pieces are taken proves what the provider has said of their length.
    """
    refused = {p for p, error in answers.refused.items() if isinstance(error, TextTooLong)}
    again = [text for text, parts in planned.items() if refused & set(parts.texts)]
    if policy.over_long is OverLong.REFUSE or not again:
        return {}
    limit = int(SHORTER * min(policy.count_tokens(piece) for piece in refused))
    if limit < LEAST_LIMIT:
        return {}
    work.services.standings.of(ref).takes_at_most(limit)
    for piece in refused:
        del answers.refused[piece]
    shorter = replace(policy, limit=limit)
    return {text: shorter.parts(text) for text in again}


def _tell_of_shortened(run: Run, over_long: OverLong, texts: int) -> None:
    """Validation has counted them; those written since are warned of once, all together."""
    log.warning("texts_shortened", over_long=over_long.value, texts=texts)
    if any("longer than the" in warning for warning in run.migration.warnings):
        return
    warning = f"Texts longer than the model takes were written meanwhile; over_long: {over_long}."
    try:
        run.services.store.note(run.migration.id, run.migration.epoch, warnings=[warning])
    except TransientError as error:
        log.warning("note_failed", reason=error.message)
