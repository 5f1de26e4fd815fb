"""Whether vectors are of their text: one judge for a bot's registration and every check of a run.

A vector is of its text when the model, asked for that text, answers with the same
vector. What was embedded with a prefix, a title or other metadata is not of its text:
embedded again from the text alone it becomes another vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from migrations.embedding.asking import Vector
from migrations.embedding.embed import embed_texts
from migrations.embedding.over_long import is_over_long, room_for_text
from migrations.embedding.work import Work
from migrations.model.chunks import Chunk, Key
from migrations.model.config import EmbeddingRef
from migrations.model.errors import TextRefused
from migrations.model.texts import Recipe
from migrations.ports.embedders import Embedders

#: Two embeddings of one text by one model may differ in the last bits; a vector
#: of another text or model is far below this, one with a title or prefix a little.
SAME_VECTOR_COSINE = 0.999


@dataclass(frozen=True)
class Verdict:
    """How near the vectors are to those of their texts.

    Of vectors that the run has ``made`` itself every single one must be of its text. Of
    those it has found most must be: what was otherwise before does not stop a run, nor
    its way back.
    """

    cosines: Mapping[Key, float]
    made: bool

    @property
    def median(self) -> float:
        return float(np.median(list(self.cosines.values()))) if self.cosines else 1.0

    @property
    def strangers(self) -> list[Key]:
        """Keys of the chunks whose vector is not of their text."""
        return [key for key, value in self.cosines.items() if not value >= SAME_VECTOR_COSINE]

    @property
    def passed(self) -> bool:
        return not self.strangers if self.made else self.median >= SAME_VECTOR_COSINE

    @property
    def severity(self) -> str:
        """Of a check that fails because there are strangers."""
        return "warning" if self.passed else "error"


def judge(chunks: Sequence[Chunk], again: Mapping[Key, Vector], *, made: bool) -> Verdict:
    """Compare the chunks' stored vectors with those of their texts, ``again``.

    A text that the model refuses has no vector: one that was made is not of it, and one
    that was found cannot be judged.
    """
    return Verdict(
        {
            chunk.key: _cosine(chunk.vector, again[chunk.key]) if chunk.key in again else 0.0
            for chunk in chunks
            if made or chunk.key in again
        },
        made,
    )


def judge_found(
    work: Work, ref: EmbeddingRef, chunks: Sequence[Chunk], recipe: Recipe, purpose: str
) -> Verdict:
    """Ask the model that is said to have made these vectors; it may be gone for good.

    Raises:
        TextRefused: every text is refused; otherwise as :func:`embed_texts`.
    """
    chunks = judgeable(work.services.embedders, ref, chunks, recipe)
    texts = {chunk.key: recipe.text_of(chunk.fields) for chunk in chunks}
    answers = embed_texts(work, ref, texts.values(), purpose, insist=False).vectors
    if texts and not answers:
        raise TextRefused("The model refuses every text of the sample.")
    again = {key: answers[text] for key, text in texts.items() if text in answers}
    return judge(chunks, again, made=False)


def judgeable(
    embedders: Embedders,
    ref: EmbeddingRef,
    chunks: Sequence[Chunk],
    recipe: Recipe,
    limit: int | None = None,
) -> list[Chunk]:
    """Those with a text that the model takes whole: who knows how a longer one was cut.

    ``limit`` in tokens; what is known of the model if not said.
    """
    if limit is None:
        limit = room_for_text(embedders, ref, ref.document_role)
    count_tokens = partial(embedders.count_tokens, ref.provider, ref.model)
    texts = [(chunk, recipe.text_of(chunk.fields)) for chunk in chunks]
    return [chunk for chunk, text in texts if text and not is_over_long(text, limit, count_tokens)]


def _cosine(one: Vector | None, other: Vector) -> float:
    """0 where either is zero."""
    assert one is not None  # noqa: S101 # read with its vector
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.dot(one, other)) / norms if norms else 0.0
