"""What a schema may have, and what becomes of each on either engine.

Four verdicts: a copy is **equal** in it; we **refuse** the collection with a sentence; the
engine **forgets** it itself, of the user's own collection, so that there is nothing to copy;
the engine **has none** and refuses to make such a collection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pymilvus import DataType, Function, FunctionType, MilvusClient

from tests.contract.vector_store_world import DIMENSION, Column

Description = Mapping[str, Any]
VECTOR_INDEX = {
    "index_type": "HNSW",
    "metric_type": "COSINE",
    "params": {"M": 8, "efConstruction": 64},
}
KEY: Column = ("pk", DataType.VARCHAR, {"max_length": 64})
#: A row of which no value matters.
PLAIN = {"text": "a text"}
#: The two verdicts that need no words.
EQUAL, FORGOTTEN = "equal", "forgotten by the engine"


@dataclass(frozen=True)
class Refused:
    """By us, in a sentence with these words."""

    words: str


@dataclass(frozen=True)
class Absent:
    """Refused by the engine, with these words, when the user makes the collection."""

    words: str


Verdict = str | Refused | Absent


@dataclass(frozen=True)
class Feature:
    """One thing that a collection may have beside a key, a text and a vector."""

    name: str
    lite: Verdict
    standalone: Verdict
    #: Whether the description shows it.
    told: Callable[[Description], Any]
    key: Column = KEY
    text: Mapping[str, Any] = field(default_factory=dict)
    columns: Sequence[Column] = ()
    functions: Sequence[Function] = ()
    schema: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    partitions: Sequence[str] = ()
    vector_index: Mapping[str, Any] | None = field(default_factory=lambda: VECTOR_INDEX)
    indexes: Sequence[Mapping[str, Any]] = ()
    #: Values of a row that is copied; no row is where there are none.
    row: Mapping[str, Any] | None = None

    def make(self, client: MilvusClient, name: str) -> None:
        """As an application does, past everything of ours."""
        schema = client.create_schema(**{"enable_dynamic_field": False, **self.schema})
        key, kind, options = self.key
        schema.add_field(key, kind, is_primary=True, **options)
        schema.add_field("text", DataType.VARCHAR, max_length=4096, **self.text)
        if self.vector_index is not NO_VECTOR:
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSION)
        for column, kind, options in self.columns:
            schema.add_field(column, kind, **options)
        for function in self.functions:
            schema.add_function(function)
        client.create_collection(name, schema=schema, timeout=60, **self.options)
        for partition in self.partitions:
            client.create_partition(name, partition, timeout=60)
        indexes = client.prepare_index_params()
        if self.vector_index:
            indexes.add_index("vector", **self.vector_index)
        for index in self.indexes:
            indexes.add_index(**index)
        if len(indexes):
            client.create_index(name, indexes, timeout=60, sync=False)


#: In the place of a vector's index: there is no float vector at all.
NO_VECTOR: Mapping[str, Any] = {}


def printed() -> str:
    """The list as a table in Markdown, as the documentation has it."""
    rows = [f"| {each.name} | {_said(each.lite)} | {_said(each.standalone)} |" for each in FEATURES]
    return "\n".join(["| | milvus-lite 3.2.2 | Milvus 2.3.5 |", "|---|---|---|", *rows])


def _said(verdict: Verdict) -> str:
    if isinstance(verdict, Refused):
        return f"refused: “{verdict.words}”"
    return "the engine has none" if isinstance(verdict, Absent) else verdict


def _field(name: str, **wanted: Any) -> Callable[[Description], bool]:
    """The description tells of a field with these members, or parameters."""

    def told(description: Description) -> bool:
        fields = [each for each in description["fields"] if each["name"] == name]
        return any(
            all({**each, **each["params"]}.get(member) == value for member, value in wanted.items())
            for each in fields
        )

    return told


def _property(name: str, value: str) -> Callable[[Description], bool]:
    return lambda description: description["properties"].get(name) == value


def _index(field_name: str, **wanted: Any) -> Callable[[Description], bool]:
    def told(description: Description) -> bool:
        return any(
            index["field_name"] == field_name
            and all(index["params"].get(n) == value for n, value in wanted.items())
            for index in description["indexes"]
        )

    return told


def _column(
    kind: DataType, value: Any, lite: Verdict, standalone: Verdict, name: str = "", **options: Any
) -> Feature:
    """A column of a type, with a value."""
    told = {n: options[n] for n in ("nullable", "default_value") if n in options}
    words = [kind.name, *(each.name for each in options.values() if isinstance(each, DataType))]
    return Feature(
        name or f"a column of {' of '.join(words)}",
        lite,
        standalone,
        _field("c", **(told or {"type": kind.name})),
        columns=[("c", kind, options)],
        row={"c": value},
    )


def _vector_index(kind: str, lite: Verdict, standalone: Verdict, **params: Any) -> Feature:
    index = {"index_type": kind, "metric_type": "L2", "params": params}
    told = _index("vector", index_type=kind)
    return Feature(f"an index {kind}", lite, standalone, told, vector_index=index)


def _scalar_index(
    kind: str, column: DataType, lite: Verdict, standalone: Verdict, **more: Any
) -> Feature:
    options = {"max_length": 64} if column is DataType.VARCHAR else {}
    return Feature(
        f"an index {kind} of {column.name}",
        lite,
        standalone,
        _index("c", index_type=kind),
        columns=[("c", column, options)],
        indexes=[{"field_name": "c", "index_type": kind, "index_name": "by_c", **more}],
    )


ARRAY = {"max_capacity": 8}
SPARSE_INDEX = {
    "field_name": "sparse",
    "index_type": "SPARSE_INVERTED_INDEX",
    "metric_type": "IP",
}
BM25_INDEX = {**SPARSE_INDEX, "metric_type": "BM25"}
ANALYZER = {"enable_analyzer": True, "analyzer_params": {"tokenizer": "standard"}}
FLOATS = np.arange(3, dtype=np.float32) / 7


def _dense(name: str, kind: DataType, dim: int, value: Any, **verdicts: Verdict) -> Feature:
    metric = "HAMMING" if kind is DataType.BINARY_VECTOR else "L2"
    index = "BIN_FLAT" if kind is DataType.BINARY_VECTOR else "FLAT"
    return Feature(
        name,
        verdicts["lite"],
        verdicts["standalone"],
        _field("other", type=kind.name),
        columns=[("other", kind, {"dim": dim})],
        indexes=[{"field_name": "other", "index_type": index, "metric_type": metric}],
        row={"other": value},
    )


def _bm25(function_type: FunctionType = FunctionType.BM25) -> Function:
    return Function("to_sparse", function_type, ["text"], ["sparse"])


def _struct() -> Any:
    struct = MilvusClient.create_struct_field_schema()
    struct.add_field("word", DataType.VARCHAR, max_length=64)
    return struct


ONE_VECTOR = Absent("multiple vector fields is not supported")
NO_SPARSE = Absent("create index on 104 field is not supported")

FEATURES: list[Feature] = [
    # --- keys -------------------------------------------------------------------
    Feature("a key of VARCHAR", EQUAL, EQUAL, _field("pk", type="VARCHAR"), row=PLAIN),
    Feature(
        "a key of INT64",
        EQUAL,
        EQUAL,
        _field("pk", type="INT64"),
        key=("pk", DataType.INT64, {}),
        row={"pk": -(2**62)},
    ),
    Feature(
        "a key that Milvus gives",
        EQUAL,
        EQUAL,
        _field("pk", auto_id=True),
        key=("pk", DataType.INT64, {"auto_id": True}),
    ),
    Feature(
        "a key of VARCHAR that Milvus gives",
        Absent("must be INT64"),
        Refused("assigned by Milvus (auto_id) as VARCHAR"),
        _field("pk", auto_id=True),
        key=("pk", DataType.VARCHAR, {"auto_id": True, "max_length": 64}),
    ),
    # --- columns ----------------------------------------------------------------
    _column(DataType.BOOL, True, EQUAL, EQUAL),
    _column(DataType.INT8, -128, EQUAL, EQUAL),
    _column(DataType.INT16, -32768, EQUAL, EQUAL),
    _column(DataType.INT32, 2**31 - 1, EQUAL, EQUAL),
    _column(DataType.INT64, -(2**62), EQUAL, EQUAL),
    _column(DataType.FLOAT, 0.1, EQUAL, EQUAL),
    _column(DataType.DOUBLE, 0.1, EQUAL, EQUAL),
    _column(DataType.VARCHAR, 'é"\\', EQUAL, EQUAL, max_length=64),
    _column(DataType.JSON, {"a": [1, None, {"b": 1.5}]}, EQUAL, EQUAL),
    _column(DataType.ARRAY, [1, 2], EQUAL, EQUAL, element_type=DataType.INT64, **ARRAY),
    _column(DataType.ARRAY, [True], EQUAL, EQUAL, element_type=DataType.BOOL, **ARRAY),
    _column(DataType.ARRAY, [0.1], EQUAL, EQUAL, element_type=DataType.FLOAT, **ARRAY),
    _column(
        DataType.ARRAY, ["é"], EQUAL, EQUAL, element_type=DataType.VARCHAR, max_length=9, **ARRAY
    ),
    Feature(
        "the longest word of an array",
        FORGOTTEN,
        EQUAL,
        _field("c", max_length=9),
        columns=[
            ("c", DataType.ARRAY, {"element_type": DataType.VARCHAR, "max_length": 9, **ARRAY})
        ],
    ),
    _column(DataType.GEOMETRY, "POINT (1 2)", Refused("is GEOMETRY"), Refused("is GEOMETRY")),
    _column(
        DataType.TIMESTAMPTZ,
        "2026-01-01T00:00:00Z",
        Refused("is TIMESTAMPTZ"),
        Refused("is TIMESTAMPTZ"),
    ),
    _column(DataType.TEXT, "long", Absent("does not support"), Refused("is TEXT")),
    Feature(
        "the dynamic field",
        EQUAL,
        EQUAL,
        lambda description: description["enable_dynamic_field"],
        schema={"enable_dynamic_field": True},
        row={"any": {"thing": [1]}},
    ),
    _column(DataType.INT64, None, EQUAL, FORGOTTEN, "a column that may be null", nullable=True),
    _column(
        DataType.JSON, None, EQUAL, FORGOTTEN, "a column of JSON that may be null", nullable=True
    ),
    _column(DataType.INT64, 3, EQUAL, EQUAL, "a column with a default", default_value=7),
    _column(
        DataType.VARCHAR,
        "w",
        EQUAL,
        FORGOTTEN,
        "a column with a default that may be null",
        default_value="d",
        nullable=True,
        max_length=9,
    ),
    Feature(
        "a field's description",
        FORGOTTEN,
        EQUAL,
        _field("c", description="said"),
        columns=[("c", DataType.INT64, {"description": "said"})],
    ),
    Feature(
        "a column kept out of memory",
        FORGOTTEN,
        EQUAL,
        _field("c", mmap_enabled=True),
        columns=[("c", DataType.VARCHAR, {"max_length": 9, "mmap_enabled": True})],
    ),
    Feature(
        "an array of structs",
        FORGOTTEN,
        FORGOTTEN,
        lambda description: "structs" in str(description),
        columns=[
            (
                "structs",
                DataType.ARRAY,
                {"element_type": DataType.STRUCT, "struct_schema": _struct(), **ARRAY},
            )
        ],
    ),
    # --- text search ------------------------------------------------------------
    Feature(
        "an analyzer of the text",
        EQUAL,
        EQUAL,
        _field("text", enable_analyzer="true"),
        text=ANALYZER,
        row={"text": "Words, of a text"},
    ),
    Feature(
        "text match",
        EQUAL,
        EQUAL,
        _field("text", enable_match="true"),
        text={**ANALYZER, "enable_match": True},
        row=PLAIN,
    ),
    Feature(
        "a function BM25",
        EQUAL,
        NO_SPARSE,
        lambda description: description["functions"],
        text=ANALYZER,
        columns=[("sparse", DataType.SPARSE_FLOAT_VECTOR, {})],
        functions=[_bm25()],
        indexes=[BM25_INDEX],
        row=PLAIN,
    ),
    Feature(
        "a function that embeds",
        Absent("API key is required"),
        FORGOTTEN,
        lambda description: description["functions"],
        functions=[
            Function(
                "embeds",
                FunctionType.TEXTEMBEDDING,
                ["text"],
                ["vector"],
                params={"provider": "openai", "model_name": "text-embedding-3-small"},
            )
        ],
    ),
    # --- vectors ----------------------------------------------------------------
    Feature(
        "a sparse vector",
        EQUAL,
        NO_SPARSE,
        _field("sparse", type="SPARSE_FLOAT_VECTOR"),
        columns=[("sparse", DataType.SPARSE_FLOAT_VECTOR, {})],
        indexes=[SPARSE_INDEX],
        row={"sparse": {7: 2.5, 1: 0.1, 4_000_000_000: 0.7}},
    ),
    _dense(
        "a second float vector", DataType.FLOAT_VECTOR, 3, FLOATS, lite=EQUAL, standalone=ONE_VECTOR
    ),
    Feature(
        "a vector that may be null",
        Refused("may be null"),
        ONE_VECTOR,
        _field("other", nullable=True),
        columns=[("other", DataType.FLOAT_VECTOR, {"dim": 3, "nullable": True})],
        indexes=[{"field_name": "other", "index_type": "FLAT", "metric_type": "L2"}],
    ),
    _dense(
        "a binary vector beside it",
        DataType.BINARY_VECTOR,
        16,
        b"\x01\xff",
        lite=Absent("does not support"),
        standalone=ONE_VECTOR,
    ),
    _dense(
        "a half vector beside it",
        DataType.FLOAT16_VECTOR,
        3,
        FLOATS.astype(np.float16),
        lite=Absent("does not support"),
        standalone=ONE_VECTOR,
    ),
    _dense(
        "a vector of bfloat16 beside it",
        DataType.BFLOAT16_VECTOR,
        3,
        b"",
        lite=Absent("does not support"),
        standalone=Absent("BFloat16Vector field is not supported"),
    ),
    _dense(
        "a byte vector beside it",
        DataType.INT8_VECTOR,
        3,
        b"",
        lite=Absent("does not support"),
        standalone=Absent("105 field is not supported"),
    ),
    Feature(
        "binary vectors alone",
        Absent("does not support"),
        Refused("no FLOAT_VECTOR"),
        _field("bits", type="BINARY_VECTOR"),
        vector_index=NO_VECTOR,
        columns=[("bits", DataType.BINARY_VECTOR, {"dim": 16})],
        indexes=[{"field_name": "bits", "index_type": "BIN_FLAT", "metric_type": "HAMMING"}],
    ),
    # --- partitions -------------------------------------------------------------
    *(
        Feature(
            f"a partition key of {kind.name}",
            EQUAL,
            EQUAL,
            _field("tenant", is_partition_key=True),
            columns=[("tenant", kind, {"is_partition_key": True, **options})],
            row={"tenant": value},
        )
        for kind, options, value in (
            (DataType.VARCHAR, {"max_length": 64}, "a"),
            (DataType.INT64, {}, 5),
        )
    ),
    Feature(
        "a number of partitions by key",
        FORGOTTEN,
        EQUAL,
        lambda description: description["num_partitions"] == 5,
        columns=[("tenant", DataType.VARCHAR, {"max_length": 64, "is_partition_key": True})],
        options={"num_partitions": 5},
    ),
    Feature(
        "a partition of the user's",
        Refused("partitions"),
        Refused("partitions"),
        lambda description: True,
        partitions=["one"],
    ),
    Feature(
        "a clustering key",
        FORGOTTEN,
        FORGOTTEN,
        _field("c", is_clustering_key=True),
        columns=[("c", DataType.INT64, {"is_clustering_key": True})],
    ),
    Feature(
        "a namespace",
        FORGOTTEN,
        FORGOTTEN,
        lambda description: description["enable_namespace"],
        schema={"enable_namespace": True},
    ),
    # --- the collection ---------------------------------------------------------
    Feature(
        "a collection's description",
        FORGOTTEN,
        EQUAL,
        lambda description: description["description"] == "said",
        schema={"description": "said"},
    ),
    Feature(
        "a consistency level",
        FORGOTTEN,
        EQUAL,
        lambda description: description["consistency_level"] == "Session",
        options={"consistency_level": "Session"},
    ),
    Feature(
        "two shards",
        FORGOTTEN,
        EQUAL,
        lambda description: description["num_shards"] == 2,
        options={"num_shards": 2},
    ),
    *(
        Feature(
            f"the property {name}",
            EQUAL,
            EQUAL,
            _property(name, value),
            options={"properties": {name: value}},
        )
        for name, value in (
            ("mmap.enabled", "true"),
            ("collection.autocompaction.enabled", "false"),
            ("collection.replica.number", "1"),
            ("collection.resource_groups", "__default_resource_group"),
            ("partitionkey.isolation", "false"),
            ("dynamicfield.enabled", "true"),
            ("theirs", "own"),
        )
    ),
    Feature(
        "rows that expire",
        Refused("Rows expire after 3600 seconds"),
        Refused("Rows expire after 3600 seconds"),
        _property("collection.ttl.seconds", "3600"),
        options={"properties": {"collection.ttl.seconds": "3600"}},
    ),
    # --- indexes ----------------------------------------------------------------
    Feature(
        "no index of the vector",
        Refused("has no index"),
        Refused("has no index"),
        lambda description: not description["indexes"],
        vector_index=None,
    ),
    *(
        Feature(
            f"the metric {metric}",
            EQUAL,
            EQUAL,
            _index("vector", metric_type=metric),
            vector_index={**VECTOR_INDEX, "metric_type": metric},
        )
        for metric in ("COSINE", "IP", "L2")
    ),
    _vector_index("FLAT", EQUAL, EQUAL),
    _vector_index("IVF_FLAT", EQUAL, EQUAL, nlist=16),
    _vector_index("IVF_SQ8", EQUAL, EQUAL, nlist=16),
    _vector_index("IVF_PQ", EQUAL, EQUAL, nlist=16, m=4, nbits=8),
    _vector_index("SCANN", EQUAL, EQUAL, nlist=16),
    _vector_index("DISKANN", EQUAL, EQUAL),
    _vector_index("AUTOINDEX", EQUAL, EQUAL),
    Feature(
        "parameters of an index",
        FORGOTTEN,
        EQUAL,
        _index("vector", M="8", efConstruction="64"),
    ),
    Feature(
        "an index kept out of memory",
        FORGOTTEN,
        EQUAL,
        lambda description: "mmap" in str(description["indexes"]),
        vector_index={
            **VECTOR_INDEX,
            "params": {"mmap.enabled": "true", "M": 8, "efConstruction": 64},
        },
    ),
    _scalar_index("STL_SORT", DataType.INT64, Absent("is not implemented"), EQUAL),
    _scalar_index("INVERTED", DataType.INT64, EQUAL, Absent("index type not match")),
    _scalar_index("Trie", DataType.VARCHAR, Absent("is not implemented"), EQUAL),
    _scalar_index(
        "BITMAP", DataType.INT64, Absent("is not implemented"), Absent("index type not match")
    ),
    Feature(
        "an index of a path in JSON",
        Absent("does not support scalar index"),
        Absent("create index on JSON field is not supported"),
        _index("c", json_path='c["a"]'),
        columns=[("c", DataType.JSON, {})],
        indexes=[
            {
                "field_name": "c",
                "index_type": "INVERTED",
                "index_name": "by_a",
                "params": {"json_path": 'c["a"]', "json_cast_type": "varchar"},
            }
        ],
    ),
    Feature(
        "the name of an index",
        FORGOTTEN,
        EQUAL,
        lambda description: any(index["index_name"] == "ours" for index in description["indexes"]),
        vector_index={**VECTOR_INDEX, "index_name": "ours"},
    ),
]
