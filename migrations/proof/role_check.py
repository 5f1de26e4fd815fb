"""Whether a target's roles do what they are there for, by its own answers.

Of a sampled text a part is asked as a question, in the role of queries, against all sampled
texts as documents. How far its own text stands out from the others is the measure; with the
two roles exchanged the same is measured once more. A model for which the exchanged roles
work clearly better has been told the wrong way round. One that answers alike in both roles
takes no notice of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from migrations.embedding.embed import embed_texts
from migrations.embedding.work import Work
from migrations.model.config import EmbeddingRef, OverLong
from migrations.model.report import Report
from migrations.model.roles import TextRole

#: Texts that are compared, and fewer of which tell nothing.
MOST_TEXTS, FEWEST_TEXTS = 32, 12
#: As many texts as are asked for, a part counted as a third.
TEXTS_ASKED = 2 * MOST_TEXTS * 4 // 3
#: A text must have so many words that a part of it is something else.
FEWEST_WORDS = 12
#: The exchanged roles are clearly better when so many questions stand out more by them, and all
#: together so much more. With 32 texts the stub's models were at 1.22 or more the wrong way
#: round, and at 0.82 or less the right way.
SHARE_BETTER, TIMES_BETTER = 0.6, 1.1
#: Vectors nearer than this are the same in both roles.
SAME_COSINE = 0.99999

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RoleVerdict:
    """Of ``compared`` texts; with too few of them nothing is said."""

    compared: int
    #: Whether documents and questions have different vectors at all.
    have_effect: bool = True
    #: Share of the questions that stand out more with the roles exchanged.
    better_exchanged: float = 0.0
    #: How much a question's own text stands out, in standard deviations of the others.
    as_stated: float = 0.0
    exchanged: float = 0.0

    @property
    def are_exchanged(self) -> bool:
        return (
            self.better_exchanged >= SHARE_BETTER
            and self.exchanged >= TIMES_BETTER * self.as_stated
        )


def report_roles(
    work: Work, target: EmbeddingRef, texts: Sequence[str], report: Report, *, meant: bool
) -> None:
    """An error where they are the wrong way round, unless they are known to be ``meant``.

    Raises:
        as :func:`embed_texts`.
    """
    verdict = judge_roles(work, target, texts, "validation")
    if not verdict.compared:
        return
    told = ""
    if verdict.are_exchanged:
        told = "; they may be stated the wrong way round" + (
            "." if meant else ": if they are meant, say unusual_roles true."
        )
    elif not verdict.have_effect:
        told = "; the provider takes no notice of the roles, both give the same vectors."
    report.add(
        "roles",
        not told,
        f"Parts of {verdict.compared} texts, asked as {target.query_role}, stand out to their "
        f"texts, embedded as {target.document_role}, by {verdict.as_stated:.1f} deviations of the "
        f"others, and by {verdict.exchanged:.1f} with the roles exchanged" + (told or "."),
        severity="error" if verdict.are_exchanged and not meant else "warning",
        texts=verdict.compared,
        as_stated=round(verdict.as_stated, 3),
        exchanged=round(verdict.exchanged, 3),
    )


def judge_roles(work: Work, ref: EmbeddingRef, texts: Sequence[str], purpose: str) -> RoleVerdict:
    """Ask the model for some of ``texts`` and their parts in both roles.

    Raises:
        as :func:`embed_texts`.
    """
    asked = [text for text in dict.fromkeys(texts) if len(text.split()) >= FEWEST_WORDS]
    asked = asked[:MOST_TEXTS]
    if len(asked) < FEWEST_TEXTS or ref.document_role == ref.query_role:
        return RoleVerdict(0)
    parts = [last_third(text) for text in asked]
    documents, queries = (
        _Answers(work, ref, [*asked, *parts], role, purpose)
        for role in (ref.document_role, ref.query_role)
    )
    whole = [i for i in range(len(asked)) if documents.has(asked[i], parts[i])]
    whole = [i for i in whole if queries.has(asked[i], parts[i])]
    if len(whole) < FEWEST_TEXTS:
        return RoleVerdict(0)
    texts, parts = [asked[i] for i in whole], [parts[i] for i in whole]
    stated = standing_out(queries.of(parts), documents.of(texts))
    exchanged = standing_out(documents.of(parts), queries.of(texts))
    alike = (_unit(documents.of(texts)) * _unit(queries.of(texts))).sum(axis=1)
    return RoleVerdict(
        compared=len(texts),
        have_effect=bool(alike.min() < SAME_COSINE),
        better_exchanged=float(np.mean(exchanged > stated)),
        as_stated=float(np.mean(stated)),
        exchanged=float(np.mean(exchanged)),
    )


def last_third(text: str) -> str:
    """The last third of its words, which is no beginning that a model might favour."""
    words = text.split()
    return " ".join(words[-(len(words) // 3) :])


def standing_out(questions: Vectors, documents: Vectors) -> npt.NDArray[np.float64]:
    """By how many standard deviations of the others each question's own text is nearer to it.

    Both of shape (n, dimension); row i of one belongs to row i of the other.
    """
    cosines = (_unit(questions) @ _unit(documents).T).astype(np.float64)
    own = np.diag(cosines)
    others = cosines[~np.eye(len(cosines), dtype=bool)].reshape(len(cosines), -1)
    return np.asarray((own - others.mean(axis=1)) / np.maximum(others.std(axis=1), 1e-9))


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


class _Answers:
    """The vectors of texts in one role."""

    def __init__(
        self, work: Work, ref: EmbeddingRef, texts: Sequence[str], role: TextRole, purpose: str
    ) -> None:
        self._vectors = embed_texts(
            work, ref, texts, purpose, over_long=OverLong.TRUNCATE, role=role
        ).vectors

    def has(self, *texts: str) -> bool:
        return all(text in self._vectors for text in texts)

    def of(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._vectors[text] for text in texts])
