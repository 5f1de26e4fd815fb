"""Models that take documents and queries otherwise, as their makers' do.

Planted by their names, with words of this module's own, so that what reembed knows of models
is tested against something else. Their vectors are of the words of a text: a part of a text is
near the whole. A role moves and bends them as it does with real models, so that a text in a
wrong role is near where it should be, at a cosine of some 0.85 to 0.95, and nothing fails:

- A document, and a query, is moved in the direction of its role.
- A query is read for what it begins with; the end of a long text counts for less in it.
- A document is expected to be long: noise of its own blurs a short one.
- So does it a text in no role, however long.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Kind = Literal["document", "query", "none"]

#: Lengths of what is added to the content's unit vector.
_SHIFT, _BLUR = 0.3, 0.4
#: After so many words each counts half as much in a query, and a document is blurred half as much.
_HALF_QUERY, _HALF_BLUR = 24, 12
_WORDS = re.compile(r"\w+")


class WrongRole(ValueError):
    """The provider refuses a request for its role."""


@dataclass(frozen=True)
class Family:
    """How models of this name are told what a text is."""

    name: str
    pattern: re.Pattern[str]
    #: By the words a text begins with.
    prefixes: Mapping[str, Kind]
    #: By a parameter of the request, and its values.
    parameter: str = ""
    values: Mapping[str, Kind] | None = None
    #: Whether a request without the parameter is refused, as some providers do.
    is_required: bool = False
    #: Whether the role may stand behind the model's name instead.
    in_names: bool = False


FAMILIES = (
    Family(
        "nim", re.compile("nv-embedqa"), {}, "input_type",
        {"passage": "document", "query": "query"}, is_required=True, in_names=True,
    ),
    Family(
        "e5", re.compile("e5-(small|base|large)"), {"passage: ": "document", "query: ": "query"}
    ),
    Family(
        "nomic", re.compile("nomic-embed"),
        {"search_document: ": "document", "search_query: ": "query"},
    ),
    Family(
        "voyage", re.compile("voyage-"), {}, "input_type",
        {"document": "document", "query": "query"},
    ),
    Family(
        "cohere", re.compile("embed-(english|multilingual)-"), {}, "input_type",
        {"search_document": "document", "search_query": "query"},
    ),
    # One that nobody else knows: what is said of it can only be measured.
    Family("inhouse", re.compile("^inhouse-"), {"doc> ": "document", "ask> ": "query"}),
    Family(
        "jina", re.compile("jina-embeddings-v[3-9]"), {}, "task",
        {"retrieval.passage": "document", "retrieval.query": "query"},
    ),
)  # fmt: skip


def family_of(model: str) -> Family | None:
    """The planted family of a model's name; None for the many that have no roles."""
    return next((one for one in FAMILIES if one.pattern.search(model)), None)


def without_role(model: str) -> str:
    """The name of the model that a name with a role behind it is of."""
    family = family_of(model)
    if family is not None and family.in_names:
        return re.sub("-(passage|query)$", "", model)
    return model


def check_role(model: str, parameters: Mapping[str, Any]) -> None:
    """Raises WrongRole: the request has a role that its provider does not know, or needs one."""
    family = family_of(model)
    if family is not None:
        _kind_of_request(family, model, parameters)


def roles_of(model: str, texts: Sequence[str], parameters: Mapping[str, Any]) -> list[Kind]:
    """In which role each text comes, as a planted model sees it; empty for any other model."""
    family = family_of(model)
    if family is None:
        return []
    kind = _kind_of_request(family, model, parameters)
    return [_kind_of_text(family, text, kind)[1] for text in texts]


def vectors_in_roles(
    model: str,
    texts: Sequence[str],
    table: Vectors,
    parameters: Mapping[str, Any],
) -> Vectors | None:
    """The vectors of these texts by a planted model, float32, of length 1; None for any other.

    Args:
        model: As it was asked for, perhaps with a role behind its name.
        table: Random rows of that model, cut to the dimension.
        parameters: The fields of the request.

    Raises:
        WrongRole: see :func:`check_role`.
    """
    family = family_of(model)
    if family is None:
        return None
    kind = _kind_of_request(family, model, parameters)
    rows = [_vector(table, *_kind_of_text(family, text, kind)) for text in texts]
    return np.stack(rows).astype(np.float32)


def _kind_of_request(family: Family, model: str, parameters: Mapping[str, Any]) -> Kind:
    if family.in_names and model != without_role(model):
        return "query" if model.endswith("-query") else "document"
    if family.values is None:
        return "none"
    said = parameters.get(family.parameter)
    if said is None and family.is_required:
        raise WrongRole(f"'{family.parameter}' parameter is required.")
    if said is None:
        return "none"
    if said not in family.values:
        raise WrongRole(f"'{family.parameter}' must be one of {', '.join(family.values)}.")
    return family.values[said]


def _kind_of_text(family: Family, text: str, kind: Kind) -> tuple[str, Kind]:
    for prefix, of_prefix in family.prefixes.items():
        if text.startswith(prefix):
            return text.removeprefix(prefix), of_prefix
    return text, kind


def _vector(table: Vectors, text: str, kind: Kind) -> npt.NDArray[np.float64]:
    words = _WORDS.findall(text.lower()) or [text]
    vector = _content(table, words, _HALF_QUERY if kind == "query" else None)
    if kind != "none":
        vector = vector + _SHIFT * _noise(kind, table.shape[1])
    if kind != "query":
        blur = _BLUR * 0.5 ** (len(words) / _HALF_BLUR) if kind == "document" else _BLUR
        vector = vector + blur * _noise(text, table.shape[1])
    return _unit(vector)


def _content(
    table: Vectors, words: Sequence[str], half_after: int | None
) -> npt.NDArray[np.float64]:
    """The mean of its words, the later ones of less weight if they are to count by half."""
    total = np.zeros(table.shape[1])
    for at, word in enumerate(words):
        weight = 0.5 ** (at / half_after) if half_after else 1.0
        for row, share in _picks(word, len(table)):
            total += weight * share * table[row]
    return _unit(total)


@lru_cache(maxsize=100_000)
def _picks(word: str, rows: int) -> tuple[tuple[int, float], ...]:
    drawn = np.frombuffer(hashlib.blake2b(word.encode(), digest_size=8).digest(), dtype="<u2")
    return ((int(drawn[0]) % rows, 1.0), (int(drawn[1]) % rows, 0.5))


@lru_cache(maxsize=10_000)
def _noise(of: str, dimension: int) -> npt.NDArray[np.float64]:
    seed = int.from_bytes(hashlib.blake2b(of.encode(), digest_size=8).digest(), "big")
    return _unit(np.random.default_rng(seed).standard_normal(dimension))


def _unit(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    length = float(np.sqrt(np.square(vector).sum()))
    return vector / length if length else vector
