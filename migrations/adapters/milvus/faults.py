"""Milvus' and gRPC's errors as the domain's: what passes, what is gone, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc  # type: ignore[import-untyped,unused-ignore]  # its stubs are a package apart
from pymilvus.exceptions import MilvusException

from migrations.model.errors import (
    AnswerTooLarge,
    CollectionNotFound,
    CollectionNotLoaded,
    ReembedError,
    VectorStoreLoginRefused,
    VectorStoreRefused,
    VectorStoreUnavailable,
)

COLLECTION_NOT_FOUND = 100
COLLECTION_NOT_LOADED = 101
ALIAS_NOT_FOUND = 1600
PARAMETER_REFUSED = 1100
DATABASE_NOT_FOUND = 800
#: By the code of milvus-lite, which is another thing's in Milvus, only the words tell.
_NO_DATABASE_ON_LITE = 6
_NO_SUCH_COLLECTION = frozenset({COLLECTION_NOT_FOUND, DATABASE_NOT_FOUND})
#: milvus-lite answers 100 for an alias too, Milvus 1600.
NO_SUCH_ALIAS = frozenset({COLLECTION_NOT_FOUND, ALIAS_NOT_FOUND})

#: From Milvus' merr table: 2 service unavailable (pymilvus: connect failed),
#: 3 memory limit, 4 too many requests, 7 disk limit, 8 rate limit, 9 denied by
#: quota, 103 not fully loaded, 106 on recovery, 500-504 channels and 503 no
#: leader, 901-904 a node went away.
_PASSING = frozenset({2, 3, 4, 7, 8, 9, 103, 106, 500, 501, 502, 503, 504, 901, 902, 903, 904})
_PASSING_GRPC = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
    }
)
#: Code 1 is "not ready" in Milvus and "unexpected" in pymilvus and milvus-lite, 5 is
#: "internal" and 65535 is anything: for these only the words tell.
_VAGUE = frozenset({1, 5, 65535})
_PASSING_WORDS = (
    "not ready",
    "find no available",
    "retry timeout",
    "retry run out",
    "unhealthy",
    # One part of Milvus about another, which is being restarted. What is wrong with a
    # request travels as a status, not as an error of the call.
    "rpc error: code =",
    "node not found",
    "node not match",
)
#: All that Milvus 2.3.5 says when loading a collection asks a query node that was restarted
#: meanwhile, seen in a chaos run: no part of it tries again, so we do. With a reason before
#: it, the reason counts.
_NO_REASON = "unrecoverable error"
#: What Milvus says to whom it does not know; with and without a code of its own.
_LOGIN_WORDS = ("auth check failure", "unauthenticated", "check username and password")
_NO_NAME = "Invalid collection name"
#: gRPC's words on either side of the wire, and Milvus' own (quotaAndLimits.limits.maxOutputSize).
_TOO_LARGE_WORDS = ("message larger than max", "exceed the limit size", "maxoutputsize")


def code_of(error: BaseException | None) -> object:
    """The code of the vendor error, a grpc.StatusCode for a failed call."""
    if isinstance(error, MilvusException):
        code: object = error.code
        return int(code) if isinstance(code, int) else code
    return error.code() if isinstance(error, grpc.RpcError) else None


def translate(error: Exception, action: str, collection: str) -> ReembedError:
    """The domain's error for what pymilvus raised; the caller keeps the cause."""
    said = f"{action} on '{collection}'" if collection else action
    code = code_of(error)
    if code in _NO_SUCH_COLLECTION or _is_no_name(error, action) or _is_no_database(error):
        return CollectionNotFound(
            f"Milvus has no collection or alias '{collection}'; check its spelling.",
            collection=collection,
        )
    if code == COLLECTION_NOT_LOADED:
        return CollectionNotLoaded(
            f"The collection '{collection}' is not loaded; load it in Milvus.",
            collection=collection,
        )
    if any(sign in _words(error).lower() for sign in _TOO_LARGE_WORDS):
        return AnswerTooLarge(f"Milvus has too much to answer for {said}: {_words(error)}")
    if (login := _refused_login(error)) is not None:
        return VectorStoreLoginRefused(f"Milvus refused {said}: {_words(login)}")
    if _passes(error):
        return VectorStoreUnavailable(f"Milvus could not do {said} now: {_words(error)}")
    return VectorStoreRefused(f"Milvus refused {said}: {_words(error)}")


def _is_no_name(error: Exception, action: str) -> bool:
    """Looked for under a name that none can have, which milvus-lite answers like any other."""
    is_refused = code_of(error) == PARAMETER_REFUSED
    return is_refused and action == "describe_collection" and _NO_NAME in _words(error)


def _refused_login(error: BaseException) -> BaseException | None:
    """Whoever says that we are not known; pymilvus says of it that connecting has failed."""
    for one in _with_causes(error):
        words, code = _words(one).lower(), code_of(one)
        if code is grpc.StatusCode.UNAUTHENTICATED or any(sign in words for sign in _LOGIN_WORDS):
            return one
    return None


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """pymilvus raises errors from themselves, so that a chain of causes may be a ring."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__


def _is_no_database(error: Exception) -> bool:
    return code_of(error) == _NO_DATABASE_ON_LITE and _words(error).startswith("database ")


def _passes(error: Exception) -> bool:
    if getattr(error, "retriable", False):
        return True
    code = code_of(error)
    if code in _PASSING_GRPC or code in _PASSING:
        return True
    words = _words(error).lower()
    return code in _VAGUE and (words == _NO_REASON or any(sign in words for sign in _PASSING_WORDS))


def _words(error: BaseException) -> str:
    if isinstance(error, MilvusException):
        return str(error.message)
    if isinstance(error, grpc.RpcError):
        return f"{error.code().name}: {error.details()}"
    return f"{type(error).__name__}: {error}"


@contextmanager
def translated(action: str, collection: str = "") -> Iterator[None]:
    """Raise the domain's error for whatever pymilvus raises inside."""
    try:
        yield
    except (MilvusException, grpc.RpcError, grpc.FutureTimeoutError) as error:
        raise translate(error, action, collection) from error
    except ValueError as error:  # pymilvus lets JSON it cannot read through untranslated
        raise translate(error, action, collection) from error
