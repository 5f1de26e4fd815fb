"""Which of Milvus' errors pass by themselves, and which do not."""

from __future__ import annotations

import grpc
import pytest
from pymilvus.exceptions import MilvusException

from migrations.adapters.milvus.faults import translate, translated
from migrations.model.errors import (
    AnswerTooLarge,
    CollectionNotFound,
    CollectionNotLoaded,
    ReembedError,
    VectorStoreLoginRefused,
    VectorStoreRefused,
    VectorStoreUnavailable,
)


class Failed(grpc.RpcError):  # type: ignore[misc]  # grpc ships no types
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "said the channel"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MilvusException(100, "collection not found"), CollectionNotFound),
        (MilvusException(8, "rate limit exceeded"), VectorStoreUnavailable),
        (MilvusException(9, "memory quota exceeded"), VectorStoreUnavailable),
        (MilvusException(2, "Fail connecting to server"), VectorStoreUnavailable),
        (MilvusException(1, "service not ready[proxy=1]"), VectorStoreUnavailable),
        (MilvusException(1, "[query] Retry timeout: 30s"), VectorStoreUnavailable),
        (MilvusException(grpc.StatusCode.UNAVAILABLE, "gone"), VectorStoreUnavailable),
        (MilvusException(65535, "find no available rootcoord"), VectorStoreUnavailable),
        (
            MilvusException(65535, "attempt #5: rpc error: code = Canceled desc = closing"),
            VectorStoreUnavailable,
        ),
        (
            MilvusException(1, "session not found->datanode-1: node not found[node=1]"),
            VectorStoreUnavailable,
        ),
        (MilvusException(65535, "unrecoverable error"), VectorStoreUnavailable),
        (MilvusException(65535, "no such field: unrecoverable error"), VectorStoreRefused),
        (MilvusException(5, "passing", retriable=True), VectorStoreUnavailable),
        (MilvusException(65535, "cannot parse expression"), VectorStoreRefused),
        (MilvusException(1, "alias 'a' already exists"), VectorStoreRefused),
        (MilvusException(101, "collection not loaded"), CollectionNotLoaded),
        (MilvusException(1100, "invalid parameter"), VectorStoreRefused),
        (Failed(grpc.StatusCode.UNAVAILABLE), VectorStoreUnavailable),
        (Failed(grpc.StatusCode.DEADLINE_EXCEEDED), VectorStoreUnavailable),
        (Failed(grpc.StatusCode.UNAUTHENTICATED), VectorStoreLoginRefused),
        (
            MilvusException(65535, "auth check failure, please check username"),
            VectorStoreLoginRefused,
        ),
        (ValueError("not JSON"), VectorStoreRefused),
        (MilvusException(65535, "query results exceed the limit size"), AnswerTooLarge),
    ],
)
def test_an_error_of_milvus_becomes_one_of_ours_and_keeps_its_cause(
    error: Exception, expected: type[ReembedError]
) -> None:
    with pytest.raises(ReembedError) as caught, translated("query", "docs"):
        raise error

    assert expected is type(caught.value)
    assert error is caught.value.__cause__
    assert "docs" in caught.value.message


def test_a_login_that_is_refused_while_connecting_is_told_from_a_server_that_is_away() -> None:
    connecting = MilvusException(2, "Fail connecting to server, illegal connection params")
    connecting.__cause__ = Failed(grpc.StatusCode.UNAUTHENTICATED)
    assert isinstance(translate(connecting, "connecting", ""), VectorStoreLoginRefused)
    connecting.__cause__ = Failed(grpc.StatusCode.UNAVAILABLE)
    assert isinstance(translate(connecting, "connecting", ""), VectorStoreUnavailable)


def test_an_error_that_is_its_own_cause_is_told_like_any_other() -> None:
    refused = MilvusException(1600, "alias not found")
    refused.__cause__ = refused  # as pymilvus raises what it has caught
    assert not isinstance(translate(refused, "alter_alias", "docs"), VectorStoreLoginRefused)
