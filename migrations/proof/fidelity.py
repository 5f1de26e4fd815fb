"""Whether vectors are of their text: one judge for a bot's registration and every check of a run.

A vector is of its text when the model, asked for that text, answers with the same
vector. What was embedded with a prefix, a title or other metadata is not of its text:
embedded again from the text alone it becomes another vector.

How near the same is depends on the model: some answer a text with other bits when they are
asked for it in other company. So a model is asked for some texts twice, and a stored vector
may be so far from its text as two answers are, and a margin more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import numpy as np

from migrations.embedding.asking import OWN_TEXTS, Vector
from migrations.embedding.embed import embed_texts
from migrations.embedding.over_long import (
    Parts,
    combined,
    is_over_long,
    parts_as_before,
    room_for_text,
)
from migrations.embedding.work import Work
from migrations.model.chunks import Chunk, Key
from migrations.model.config import EmbeddingRef
from migrations.model.errors import TextRefused
from migrations.model.proofs import How, Proof, Spread
from migrations.model.report import Severity
from migrations.model.texts import Recipe
from migrations.ports.embedders import Embedders
from migrations.settings import Settings

#: The threshold of a model that answers the same each time, with the margin as it comes:
#: a vector of another text or model is far below this, one with a title or prefix a little.
SAME_VECTOR_COSINE = 0.999
#: Texts that a model is asked for twice.
ECHOED = 20
#: The share of its own answers that a model may give less alike than the threshold assumes.
_LEAST_ALIKE = 0.05
#: From this share of strangers on, vectors that were found are not of their text.
MOST = 0.5
#: Two samples of one collection may differ by so much in that share.
_MUCH_MORE = 0.25


def threshold_by(settings: Settings, echoes: Sequence[float] = ()) -> float:
    """The least cosine of two vectors that are the same, by how alike a model answers twice."""
    alike = float(np.quantile(echoes, _LEAST_ALIKE)) if len(echoes) else 1.0
    return round(max(settings.same_vector_floor, alike - settings.same_vector_margin), 4)


def threshold_of_made(settings: Settings, echoes: Sequence[float]) -> float:
    """As :func:`threshold_by`, where not one of many vectors may be below it by chance.

    Of hundreds of answers some are less alike than the least alike of a few: by as much again
    as those are spread, twice. What is wrong in vectors of a run's own making (another text's,
    another role's) is farther off than the floor.
    """
    if not len(echoes):
        return threshold_by(settings)
    least = min(echoes)
    below = least - 2 * (float(np.median(echoes)) - least) - settings.same_vector_margin
    return round(max(settings.same_vector_floor, below), 4)


def as_before(share: float) -> float:
    """The share of strangers that is too many where, before, ``share`` of them were found."""
    return max(MOST, share + _MUCH_MORE)


@dataclass(frozen=True)
class Verdict:
    """How near the vectors are to those of their texts.

    Of vectors that the run has ``made`` itself every single one must be of its text. Of
    those it has found most must be: what was otherwise before does not stop a run, nor
    its way back.
    """

    cosines: Mapping[Key, float]
    made: bool
    #: From where on two vectors are the same.
    threshold: float = SAME_VECTOR_COSINE
    #: Cosines of the model's two answers to the same texts; empty where it was asked once.
    echoes: Sequence[float] = ()
    #: The share of strangers from which on vectors that were found do not pass.
    too_many: float = MOST

    def by(self, other: Verdict) -> Verdict:
        """As the model that ``other`` is of answers, when it is asked twice."""
        return replace(self, threshold=other.threshold, echoes=other.echoes)

    @property
    def median(self) -> float:
        return float(np.median(list(self.cosines.values()))) if self.cosines else 1.0

    @property
    def strangers(self) -> list[Key]:
        """Keys of the chunks whose vector is not of their text."""
        return [key for key, value in self.cosines.items() if not value >= self.threshold]

    @property
    def explained(self) -> int:
        """How many vectors are of their text."""
        return len(self.cosines) - len(self.strangers)

    @property
    def share_of_strangers(self) -> float:
        return len(self.strangers) / len(self.cosines) if self.cosines else 0.0

    @property
    def passed(self) -> bool:
        if self.made or not self.cosines:
            return not self.strangers
        return self.share_of_strangers < self.too_many

    @property
    def severity(self) -> Severity:
        """Of a check that fails because there are strangers."""
        return "warning" if self.passed else "error"


def proof_of(verdict: Verdict, how: How, ref: EmbeddingRef, *, by: str, at: datetime) -> Proof:
    """What is kept of a verdict on vectors of ``ref``."""
    was_asked = bool(verdict.cosines)
    return Proof(
        how=how,
        by=by,
        at=at,
        embedding=ref,
        judged=len(verdict.cosines),
        strangers=len(verdict.strangers),
        threshold=verdict.threshold if was_asked else None,
        cosines=spread_of(verdict.cosines.values()),
        reproduces=spread_of(verdict.echoes),
    )


def spread_of(cosines: Iterable[float]) -> Spread | None:
    """None of nothing."""
    values = list(cosines)
    if not values:
        return None
    lowest, low, median = np.quantile(values, [0.0, _LEAST_ALIKE, 0.5]).tolist()
    return Spread(lowest=round(lowest, 6), low=round(low, 6), median=round(median, 6))


def judge(
    chunks: Sequence[Chunk],
    again: Mapping[Key, Vector],
    *,
    made: bool,
    threshold: float = SAME_VECTOR_COSINE,
) -> Verdict:
    """Compare the chunks' stored vectors with those of their texts, ``again``.

    A text that the model refuses has no vector: one that was made is not of it, and one
    that was found cannot be judged.
    """
    return Verdict(
        {
            chunk.key: cosine(chunk.vector, again[chunk.key]) if chunk.key in again else 0.0
            for chunk in chunks
            if made or chunk.key in again
        },
        made,
        threshold,
    )


@dataclass
class Questions:
    """What is asked of the model that is said to have made some vectors; no text is paid for twice.

    It may be gone for good, so it is not waited for long unless somebody insists.
    """

    work: Work
    ref: EmbeddingRef
    purpose: str
    insist: bool = False
    #: What it has answered, by text.
    answers: dict[str, Vector] = field(default_factory=dict)
    #: Texts that it refuses.
    refused: set[str] = field(default_factory=set)
    #: As billed, so far.
    tokens: int = 0
    #: How alike it answers when it is asked twice; nothing before it was.
    echoes: Sequence[float] = ()
    _sent: dict[tuple[str, int | None, int | None], Parts] = field(default_factory=dict)

    def judged(self, chunks: Sequence[Chunk], recipe: Recipe, prefix: str = "") -> Verdict:
        """As if it answered alike each time; :meth:`by_its_own` knows better.

        ``prefix`` is put before what is sent.

        Raises:
            TextRefused: every text is refused; otherwise as :func:`embed_texts`.
        """
        chunks = judgeable(self.work.services.embedders, self.ref, chunks, recipe)
        again = self.vectors_of(chunks, recipe, prefix)
        if chunks and not again:
            raise TextRefused("The model refuses every text of the sample.")
        least = threshold_by(self.work.services.settings, self.echoes)
        verdict = judge(chunks, again, made=False, threshold=least)
        return replace(verdict, echoes=self.echoes)

    def vectors_of(
        self, chunks: Sequence[Chunk], recipe: Recipe, prefix: str = ""
    ) -> dict[Key, Vector]:
        """Of their texts, as the recipe says that the application has sent them.

        Without those that the model refuses. Raises as :func:`embed_texts`.
        """
        parts = {chunk.key: self._parts(chunk, recipe, prefix) for chunk in chunks}
        self._ask(piece for one in parts.values() for piece in one.texts)
        whole = {k: one for k, one in parts.items() if self.answers.keys() >= set(one.texts)}
        return {key: combined(one, self.answers) for key, one in whole.items()}

    def _parts(self, chunk: Chunk, recipe: Recipe, prefix: str) -> Parts:
        text, embedders = prefix + recipe.text_of(chunk.fields), self.work.services.embedders
        how = (text, recipe.first_tokens, recipe.split_tokens)
        if how not in self._sent:
            count_tokens = partial(embedders.count_tokens, self.ref.provider, self.ref.model)
            self._sent[how] = parts_as_before(recipe, text, count_tokens)
        return self._sent[how]

    def by_its_own(
        self, chunks: Sequence[Chunk], recipe: Recipe, verdict: Verdict, prefix: str = ""
    ) -> Verdict:
        """``verdict`` on these chunks, by how alike the model answers when it is asked twice.

        So are later ones.
        """
        judged = [self._parts(c, recipe, prefix) for c in chunks if c.key in verdict.cosines]
        first = {piece: self.answers[piece] for one in judged for piece in one.texts}
        self.echoes, tokens = echoes_of(self.work, self.ref, first, self.purpose)
        self.tokens += tokens
        least = threshold_by(self.work.services.settings, self.echoes)
        return replace(verdict, threshold=least, echoes=self.echoes)

    def _ask(self, texts: Iterable[str]) -> None:
        known = self.answers.keys() | self.refused
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if not new:
            return
        answers = embed_texts(self.work, self.ref, new, self.purpose, insist=self.insist)
        self.answers |= answers.vectors
        self.refused |= answers.refused.keys()
        self.tokens += answers.tokens


def judge_found(
    work: Work, ref: EmbeddingRef, chunks: Sequence[Chunk], recipe: Recipe, purpose: str
) -> Verdict:
    """Ask the model that is said to have made these vectors, and ask for some again.

    Raises:
        as :meth:`Questions.judged`.
    """
    questions = Questions(work, ref, purpose)
    return questions.by_its_own(chunks, recipe, questions.judged(chunks, recipe))


def echoes_of(
    work: Work,
    ref: EmbeddingRef,
    answers: Mapping[str, Vector],
    purpose: str,
    *,
    insist: bool = False,
) -> tuple[list[float], int]:
    """How alike the model answers when it is asked for some texts again, in other company.

    Returns:
        cosines, and the tokens that were paid.

    Raises:
        as :func:`embed_texts`.
    """
    some = list(answers)[:ECHOED][::-1]
    if not some:
        return [], 0
    second = embed_texts(work, ref, [OWN_TEXTS[0], *some], purpose, insist=insist)
    alike = [cosine(answers[text], second.vectors[text]) for text in some if text in second.vectors]
    return alike, second.tokens


def judgeable(
    embedders: Embedders,
    ref: EmbeddingRef,
    chunks: Sequence[Chunk],
    recipe: Recipe,
    limit: int | None = None,
) -> list[Chunk]:
    """Those with a text that the model takes whole: who knows how a longer one was cut?

    Where the recipe knows it, all that have a text. ``limit`` in tokens; what is known of the
    model if not said.
    """
    if recipe.first_tokens or recipe.split_tokens:
        return [chunk for chunk in chunks if recipe.text_of(chunk.fields)]
    if limit is None:
        limit = room_for_text(embedders, ref, ref.document_role)
    count_tokens = partial(embedders.count_tokens, ref.provider, ref.model)
    texts = [(chunk, recipe.text_of(chunk.fields)) for chunk in chunks]
    return [chunk for chunk, text in texts if text and not is_over_long(text, limit, count_tokens)]


def cosine(one: Vector | None, other: Vector) -> float:
    """0 where either is zero."""
    assert one is not None  # noqa: S101 # read with its vector
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.dot(one, other)) / norms if norms else 0.0
