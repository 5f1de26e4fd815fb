"""From the body of an embeddings response to one float32 array, without Python floats."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pybase64

from migrations.model.chunks import Embedded, Vectors
from migrations.model.errors import DimensionMismatch, InvalidVectors, ProviderUnavailable


def decode_response(
    body: bytes, *, count: int, dimension: int | None, estimate: Callable[[], int], source: str
) -> Embedded:
    """The vectors of a response, in the order the texts were sent.

    Args:
        body: The response as received. Each embedding is base64 of little-endian
            float32 or, from a provider that ignores ``encoding_format``, a list.
        count: How many texts were sent.
        dimension: What each vector must have; None takes whatever comes first.
        estimate: Gives the tokens where the provider reports no usage.
        source: Who answered, for messages.

    Raises:
        InvalidVectors: too few or too many vectors, indexes that contradict each
            other, or something that is no vector.
        DimensionMismatch: a vector of another dimension.
        ProviderUnavailable: not an embeddings response at all, such as the page
            of a proxy or a body that was cut off.
        All say what the answer is billed with.
    """
    payload = _parse(body, source)
    tokens = _reported_tokens(payload) or estimate()
    try:
        items = _in_order(payload["data"], count, source)
        rows = [_row(item.get("embedding"), source) for item in items]
        return Embedded(_stack(rows, dimension, source), tokens)
    except (InvalidVectors, DimensionMismatch) as error:
        error.billed_tokens = tokens
        raise


def _parse(body: bytes, source: str) -> dict[str, Any]:
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        payload = _parse_leniently(body, source)
    if isinstance(payload, dict) and isinstance(payload.get("data"), list):
        return payload
    error = ProviderUnavailable(f"{source} answered with something that holds no embeddings.")
    error.billed_tokens = _reported_tokens(payload)
    raise error


def _parse_leniently(body: bytes, source: str) -> Any:
    """Some servers write NaN into JSON; read it, so that it is reported as what it is."""
    try:
        return json.loads(body)
    except ValueError as error:
        raise ProviderUnavailable(f"{source} answered with something that is no JSON.") from error


def _in_order(items: list[Any], count: int, source: str) -> list[dict[str, Any]]:
    """The items by their index: the protocol allows any order in the list.

    Where no index tells one item from another, some gateways have none, it is the list's order.
    """
    if len(items) != count:
        raise InvalidVectors(f"{source} answered {count} texts with {len(items)} vectors.")
    if not all(isinstance(item, dict) for item in items):
        raise InvalidVectors(f"{source} answered with something that is no vector.")
    indexes = [item.get("index") for item in items]
    if all(index == indexes[0] for index in indexes):
        return items
    placed = {item["index"]: item for item in items if type(item.get("index")) is int}
    if placed.keys() != set(range(count)):
        raise InvalidVectors(
            f"{source} left out an index or gave one twice, so no vector can be assigned."
        )
    return [placed[index] for index in range(count)]


def _row(embedding: Any, source: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    try:
        if isinstance(embedding, str):
            row = np.frombuffer(pybase64.b64decode(embedding, validate=True), dtype="<f4")
        else:
            with np.errstate(over="ignore"):  # becomes infinite, which is refused by name later
                row = np.asarray(embedding, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise InvalidVectors(f"{source} answered with something that is no vector.") from error
    if row.ndim != 1 or not row.size:
        raise InvalidVectors(f"{source} answered with something that is no vector.")
    return row


def _stack(
    rows: list[np.ndarray[Any, np.dtype[np.float32]]], dimension: int | None, source: str
) -> Vectors:
    expected = len(rows[0]) if dimension is None else dimension
    for row in rows:
        if len(row) != expected:
            raise DimensionMismatch(
                f"{source} answered with {len(row)} dimensions where {expected} are expected.",
                expected=expected,
                actual=len(row),
            )
    vectors = np.empty((len(rows), expected), dtype=np.float32)
    for position, row in enumerate(rows):
        vectors[position] = row
    return vectors


def _reported_tokens(payload: Any) -> int:
    usage = payload.get("usage") if isinstance(payload, dict) else None
    if not isinstance(usage, dict):
        return 0
    tokens = usage.get("total_tokens") or usage.get("prompt_tokens") or 0
    return tokens if type(tokens) is int and tokens > 0 else 0
