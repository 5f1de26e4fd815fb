"""Texts as questions: in the role in which a model wants those, if that is another one."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from migrations.embedding.asking import Vector
from migrations.model.chunks import Key
from migrations.model.config import EmbeddingRef
from migrations.ports.embedders import PROVIDER_FAULTS
from migrations.proof.questions import embed_questions
from migrations.run.run import Run

log = structlog.get_logger(__name__)


def as_questions(
    run: Run,
    ref: EmbeddingRef,
    texts: Mapping[Key, str],
    as_documents: Mapping[Key, Vector],
    *,
    may_be_gone: bool = False,
) -> Mapping[Key, Vector]:
    """What to ask a collection of ``ref`` for these texts.

    Args:
        as_documents: Their vectors as documents, which serve where both roles are the same,
            and for a model that ``may_be_gone`` and does not answer: then they are returned.

    Raises:
        as :func:`embed_queries`. A text that the model refuses is left out.
    """
    if ref.query_role == ref.document_role:
        return as_documents
    try:
        answers = embed_questions(run, ref, texts.values(), insist=not may_be_gone)
    except PROVIDER_FAULTS as error:
        if not may_be_gone:
            raise
        log.warning("asked_as_documents", model=ref.model, code=error.code, reason=error.message)
        return as_documents
    return {key: answers[text] for key, text in texts.items() if text in answers}
