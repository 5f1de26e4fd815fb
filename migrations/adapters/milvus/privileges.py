"""Whether Milvus lets us do what a migration does: each once, on a collection of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import grpc  # type: ignore[import-untyped,unused-ignore]  # its stubs are a package apart
from pymilvus import DataType, MilvusClient

from migrations.adapters.milvus.faults import code_of
from migrations.model.checkup import Privilege
from migrations.model.errors import (
    CollectionNotFound,
    ReembedError,
    TransientError,
    VectorStoreRefused,
)

Call = Callable[..., Any]
#: Of what the doctor makes; somebody who finds one may drop it.
SCRATCH = "reembed_doctor_"
_VECTOR = [1.0, 0.0]


def tried(call: Call) -> list[Privilege]:
    """In the order in which a migration needs them; nothing of it stays.

    What this Milvus does not know, or cannot do now, is left out.

    Raises:
        VectorStoreUnavailable: it does not answer.
    """
    name = f"{SCRATCH}{uuid4().hex[:8]}"
    try:
        call("create_collection", name, schema=_schema())
    except VectorStoreRefused as error:
        return [Privilege("CreateCollection", error.message)]  # nothing to try the others on
    except TransientError:
        with suppress(ReembedError):  # it may have been made all the same
            call("drop_collection", name)
        raise
    found = [Privilege("CreateCollection")]
    try:
        for privilege, step in _steps(call, name):
            found += _judged(privilege, step)
    finally:
        found += _judged("DropCollection", lambda: call("drop_collection", name))
    return found


def _judged(privilege: str, step: Callable[[], object]) -> list[Privilege]:
    refusal = _refusal(step)
    return [] if refusal is _UNKNOWN else [Privilege(privilege, refusal)]


#: In place of a refusal: the answer tells nothing of what we may do.
_UNKNOWN = "?"


def _refusal(step: Callable[[], object]) -> str | None:
    try:
        step()
    except TransientError:
        return _UNKNOWN
    except (VectorStoreRefused, CollectionNotFound) as error:
        if code_of(error.__cause__) is grpc.StatusCode.UNIMPLEMENTED:
            return _UNKNOWN
        return error.message
    return None


def _steps(call: Call, name: str) -> Iterator[tuple[str, Callable[[], object]]]:
    alias = f"{name}_alias"
    row = {"id": 1, "vector": _VECTOR}
    yield "DescribeCollection", lambda: call("describe_collection", name)
    yield "CreateIndex", lambda: call("create_index", name, _index())
    yield "IndexDetail", lambda: call("list_indexes", name)
    yield "Load", lambda: call("load_collection", name)
    yield "GetLoadState", lambda: call("get_load_state", name)
    yield "Insert", lambda: call("insert", name, [row])
    yield "Upsert", lambda: call("upsert", name, [row])
    yield "Flush", lambda: call("flush", name)
    yield "Query", lambda: call("query", name, filter="id >= 0", output_fields=["id"])
    yield "Search", lambda: call("search", name, data=[_VECTOR], limit=1)
    yield "Delete", lambda: call("delete", name, ids=[1])
    yield "CreateAlias", lambda: call("create_alias", name, alias)
    yield "ListAliases", lambda: call("list_aliases", name)
    yield "DropAlias", lambda: call("drop_alias", alias)
    yield "Release", lambda: call("release_collection", name)


def _schema() -> Any:
    schema = MilvusClient.create_schema(description="Made by reembed's doctor; may be dropped.")
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=len(_VECTOR))
    return schema


def _index() -> Any:
    request = MilvusClient.prepare_index_params()
    request.add_index("vector", index_type="FLAT", metric_type="COSINE")
    return request
