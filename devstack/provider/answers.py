"""The body of an embeddings answer, right or wrong as asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import pybase64

from devstack.provider.vectors import MAX_DIMENSION, NOTHING, Vectors, vectors_for


def embeddings_body(
    model: str,
    texts: Sequence[str],
    dimension: int,
    tokens: int,
    as_floats: bool,
    wrong: str | None = None,
    parameters: Mapping[str, Any] = NOTHING,
) -> bytes:
    """JSON in OpenAI's form; ``wrong`` is one of ``WRONG_ANSWERS`` or anything else for none."""
    vectors = _vectors(model, texts, dimension, wrong, parameters)
    indexes = list(range(len(vectors)))
    if wrong == "duplicate_index":
        indexes[-1] = 0
    if wrong == "reordered":
        vectors, indexes = vectors[::-1], indexes[::-1]
    encode = _floats if as_floats or wrong == "floats" else _base64
    rows = [encode(vector) for vector in vectors]
    if wrong == "empty_vector":
        rows[0] = b"[]"
    items = b",".join(
        b'{"object":"embedding",%b"embedding":%b}' % (_index(index, wrong), row)
        for index, row in zip(indexes, rows, strict=True)
    )
    usage = b"" if wrong == "no_usage" else _usage(tokens)
    named = orjson.dumps(model)
    return b'{"object":"list","data":[%b],"model":%b%b}' % (items, named, usage)


def _index(index: int, wrong: str | None) -> bytes:
    forms = {"no_index": b"", "null_index": b'"index":null,', "same_index": b'"index":0,'}
    return forms.get(wrong or "", b'"index":%d,' % index)


def _usage(tokens: int) -> bytes:
    return b',"usage":{"prompt_tokens":%d,"total_tokens":%d}' % (tokens, tokens)


def _vectors(
    model: str,
    texts: Sequence[str],
    dimension: int,
    wrong: str | None,
    parameters: Mapping[str, Any],
) -> Vectors:
    if wrong == "drifted":
        model += "@another-version"
    if wrong == "wrong_dimension":
        dimension = dimension + 1 if dimension < MAX_DIMENSION else dimension - 1
    vectors = vectors_for(model, texts, dimension, parameters)
    match wrong:
        case "nan":
            vectors[0, 0] = np.nan
        case "infinite":
            vectors[0, 0] = np.inf
        case "zeros":
            vectors[0] = 0
        case "too_few":
            vectors = vectors[:-1]
        case "swapped":
            vectors[[0, -1]] = vectors[[-1, 0]]
    return vectors


def _base64(vector: Vectors) -> bytes:
    return b'"%b"' % pybase64.b64encode(vector.astype("<f4", copy=False).data)


def _floats(vector: Vectors) -> bytes:
    return orjson.dumps(np.ascontiguousarray(vector), option=orjson.OPT_SERIALIZE_NUMPY)
