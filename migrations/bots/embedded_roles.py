"""In which roles a bot's texts are embedded: as it is stated, as it is proven, as it is known.

Of vectors that are there their texts decide, see :mod:`migrations.bots.embedded_text`; what is
known of a model's name only says what is tried. Of vectors that are to be made the known roles
are taken, and others need somebody who says that they are meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from migrations.bots.embedded_text import Found, find_recipe, prove_recipe, require_texts
from migrations.embedding.work import Work
from migrations.model.chunks import CollectionSchema
from migrations.model.config import AS_IT_COMES, EmbeddingRef, Manner
from migrations.model.errors import (
    CollectionNotLoaded,
    InvalidConfiguration,
    ProviderRefuses,
    TextRefused,
    UnusualRoles,
)
from migrations.model.requests import HowEmbedded
from migrations.model.roles import PLAIN, Roles, TextRole, queries_beside
from migrations.model.texts import Recipe
from migrations.ports.embedders import Embedders

T = TypeVar("T")
#: What a provider says of a role alone, so that another one may still be the right one.
_OF_THE_ROLE = (InvalidConfiguration, ProviderRefuses, TextRefused)


def target_manner(
    embedders: Embedders, wish: HowEmbedded, live: EmbeddingRef, target: EmbeddingRef
) -> Manner:
    """How ``target`` is asked: as stated, else as the model's family wants it.

    Of the embedding the bot has already nothing else is assumed, or naming it would move the bot.

    Raises:
        UnusualRoles: it is stated otherwise than is known, and nobody says that it is meant.
    """
    assumed = embedders.assumed_roles(target.provider, target.model)
    base = live.manner if _same_model(live, target) else _in_roles(assumed)
    asked = Manner(
        document_role=_or(wish.document_role, base.document_role),
        query_role=_or(wish.query_role, base.query_role),
        version=_or(wish.version, base.version),
        normalized=wish.normalized or base.normalized,
    )
    known = embedders.known_roles(target.provider, target.model)
    usual = {known, assumed, base.roles}
    if known is not None and asked.roles not in usual and not wish.unusual_roles:
        raise UnusualRoles(_unusual(target, known, asked.roles))
    return asked


def _same_model(one: EmbeddingRef, other: EmbeddingRef) -> bool:
    return one.in_manner(AS_IT_COMES) == other.in_manner(AS_IT_COMES)


def _in_roles(roles: Roles) -> Manner:
    return Manner(document_role=roles.documents, query_role=roles.queries)


def _or(stated: T | None, base: T) -> T:
    return base if stated is None else stated


def _unusual(ref: EmbeddingRef, known: Roles, stated: Roles) -> str:
    return (
        f"{ref.provider}/{ref.model} is known to take {known}; stated are {stated}. "
        "Leave the roles out to take the known ones; if the stated ones are meant, say "
        "unusual_roles true."
    )


def embedding_and_recipe(
    work: Work,
    schema: CollectionSchema,
    ref: EmbeddingRef,
    wish: HowEmbedded,
    stated: Recipe | None,
) -> tuple[EmbeddingRef, Found]:
    """How the vectors of a collection were made of its rows, and what shows it.

    A role of documents that is not stated is found by the vectors, where one is known of the
    model. That of queries left no trace: it is the known one, if documents are embedded as known.

    Raises:
        InvalidConfiguration: nothing fits, or the model cannot be asked.
        UnusualRoles; VectorStoreUnavailable: among others because the collection is not loaded.
    """
    known = work.services.embedders.known_roles(ref.provider, ref.model)
    candidates = [_candidate(ref, wish, known, role) for role in _to_try(wish, known)]
    if stated is None:
        embedding, found = _found(work, schema, candidates)
        return _with_its_prefix(embedding, found, wish)
    require_texts(work.services.vectors, schema, stated)
    return _proven(work, schema, candidates, stated)


def _with_its_prefix(
    embedding: EmbeddingRef, found: Found, wish: HowEmbedded
) -> tuple[EmbeddingRef, Found]:
    """What was found before each text is the role of its documents, and no part of the text.

    Raises InvalidConfiguration: another role is stated.
    """
    if not found.prefix:
        return embedding, found
    if wish.document_role is not None:
        raise InvalidConfiguration(
            f"{embedding} gives the stored vectors for {found.recipe} with {found.prefix!r} before "
            "it, not in the role that is stated. State that as document_role, or leave it out."
        )
    documents = TextRole(prefix=found.prefix)
    queries = queries_beside(documents) if wish.query_role is None else wish.query_role
    roles = {"document_role": documents, "query_role": queries}
    manner = embedding.manner.model_copy(update=roles)
    return embedding.in_manner(manner), replace(found, prefix="")


def _to_try(wish: HowEmbedded, known: Roles | None) -> tuple[TextRole, ...]:
    """What was stated; else what is known, and what those did who did not know it."""
    if wish.document_role is not None:
        return (wish.document_role,)
    if known is None or known.documents.is_plain:
        return (PLAIN,)
    return tuple(dict.fromkeys((known.documents, PLAIN, known.queries)))


def _candidate(
    ref: EmbeddingRef, wish: HowEmbedded, known: Roles | None, documents: TextRole
) -> EmbeddingRef:
    queries = known.queries if known is not None and documents == known.documents else PLAIN
    if wish.query_role is not None:
        queries = wish.query_role
    roles = Roles(documents, queries)
    if not wish.unusual_roles:
        require_usual_queries(ref, known, roles)
    told = {"version": wish.version, "normalized": wish.normalized}
    return ref.in_manner(_in_roles(roles).model_copy(update=told))


def require_usual_queries(ref: EmbeddingRef, known: Roles | None, roles: Roles) -> None:
    """Where documents are embedded as is known of the model, so are queries: nothing else shows
    in which role they are. Raises UnusualRoles.
    """
    if known is not None and roles.documents == known.documents and roles != known:
        raise UnusualRoles(_unusual(ref, known, roles))


def _found(
    work: Work, schema: CollectionSchema, candidates: Sequence[EmbeddingRef]
) -> tuple[EmbeddingRef, Found]:
    refusals: list[InvalidConfiguration] = []
    for candidate in candidates:
        try:
            return candidate, find_recipe(work, candidate, schema)
        except InvalidConfiguration as refusal:
            refusals.append(refusal)
            if _is_of_the_model(refusal):
                break
    raise (
        refusals[-1]
        if len(refusals) == 1 or _is_of_the_model(refusals[-1])
        else _none_fits(candidates, refusals)
    )


def _proven(
    work: Work, schema: CollectionSchema, candidates: Sequence[EmbeddingRef], stated: Recipe
) -> tuple[EmbeddingRef, Found]:
    """The one that gives the vectors of this text; the only one unproven, as validation judges it.

    Where none does, or the model is not there to be asked, it is plain until validation.
    """
    if len(candidates) == 1:
        return candidates[0], Found(stated, None)
    with suppress(CollectionNotLoaded):
        for candidate in candidates:
            try:
                found = prove_recipe(work, candidate, schema, stated)
            except InvalidConfiguration as refusal:
                if _is_of_the_model(refusal):
                    break
            else:
                return candidate, found
    plain = next(candidate for candidate in candidates if candidate.document_role.is_plain)
    return plain, Found(stated, None)


def _is_of_the_model(refusal: InvalidConfiguration) -> bool:
    """Whether it would be the same in another role: the model cannot be asked at all."""
    cause = refusal.__cause__
    return cause is not None and not isinstance(cause, _OF_THE_ROLE)


def _none_fits(
    candidates: Sequence[EmbeddingRef], refusals: Sequence[InvalidConfiguration]
) -> InvalidConfiguration:
    roles = "; ".join(str(candidate.document_role) for candidate in candidates)
    return InvalidConfiguration(
        f"{refusals[0].message} Texts were tried in these roles of a document: {roles}. State "
        "another one as document_role."
    )
