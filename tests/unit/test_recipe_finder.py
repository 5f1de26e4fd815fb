"""Twelve ways of making a text, planted in a hundred rows each, are named; what is none is not.

The model is the local one and the texts are real: what is a little wrong is as near to the
stored vectors as it is in life.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, pairwise
from typing import Any

import numpy as np
import orjson
import pytest

from devstack.corpus import python_corpus
from migrations.adapters.providers.local import LocalEmbedder, LocalModel
from migrations.bots.recipe_search import Diagnosis, diagnose
from migrations.model.chunks import Embedded, Vectors
from migrations.model.config import EmbeddingRef
from migrations.model.texts import recipe_of
from tests.fakes.embedders import LOCAL_64, LOCAL_256, FakeEmbedders
from tests.fakes.world import World

ROWS = 100
MODEL = LocalModel()
TOPICS = ("tuples", "sockets", "threads", "parsing", "dates", "Numbers", "files")


class LocalEmbedders(FakeEmbedders):
    """Whose provider "local" has the real model."""

    def __init__(self) -> None:
        super().__init__()
        self.max_input_tokens = 1_000_000  # by an estimate that is not the local model's

    def answer(self, ref: EmbeddingRef, texts: Sequence[str]) -> Embedded:
        answer = super().answer(ref, texts)
        return Embedded(embedded(texts, ref), answer.tokens)

    def count_tokens(self, provider: str, model: str, text: str) -> int:
        return MODEL.count_tokens(text)


def embedded(texts: Sequence[str], ref: EmbeddingRef = LOCAL_64) -> Vectors:
    return LocalEmbedder(ref, MODEL).embed(list(texts)).vectors


@cache
def passages() -> tuple[str, ...]:
    return tuple(passage.text for passage in islice(python_corpus(), 0, 4000, 5))


def text(i: int) -> str:
    return passages()[i]


def long_text(i: int) -> str:
    """Some 600 tokens and more."""
    return "\n".join(passages()[100 + i : 106 + i])


def topic(i: int) -> str:
    return f"{TOPICS[i % len(TOPICS)]} {i}"


@dataclass(frozen=True)
class Planted:
    """Columns and dynamic members of the i-th row, and the text whose vector it has."""

    row: Callable[[int], Mapping[str, Any]]
    embedded: Callable[[int], str]
    recipe: Mapping[str, Any]
    columns: tuple[str, ...] = ("title", "text")
    prefix: str = ""
    vectors: Callable[[Sequence[str]], Vectors] = embedded


def titled(i: int) -> Mapping[str, Any]:
    return {"title": topic(i), "text": text(i), "source": f"page {i}", "teamId": "a team"}


def titled_and_long(i: int) -> Mapping[str, Any]:
    return {"title": topic(i), "text": long_text(i)}


def in_node(i: int) -> Mapping[str, Any]:
    node = {
        "metadata": {"product": topic(i), "page": i, "language": "en"},
        "excluded_embed_metadata_keys": ["page"],
        "text_template": "{metadata_str}\n\n{content}",
    }
    return {"text": text(i), "doc_id": f"{i}", "_node_content": orjson.dumps(node).decode()}


def split_and_averaged(texts: Sequence[str]) -> Vectors:
    """As langchain-openai does for texts above its limit, here at 512 tokens."""
    return np.array([_mean_of_pieces(one, 512) for one in texts], dtype=np.float32)


def _mean_of_pieces(one: str, limit: int) -> Any:
    encoded = MODEL._tokenizer.encode(one, add_special_tokens=False)
    starts = range(0, len(encoded.ids), limit)
    borders = [encoded.offsets[start][0] for start in starts] + [len(one)]
    pieces = [one[a:b] for a, b in pairwise(borders)]
    weights = [len(encoded.ids[start : start + limit]) for start in starts]
    mean = np.average(embedded(pieces), axis=0, weights=weights)
    return mean / np.linalg.norm(mean)


PLANTED = {
    "a column": Planted(titled, text, {"field": "text"}),
    "a member of the dynamic field": Planted(
        lambda i: {"title": topic(i), "my_words": text(i)}, text, {"field": "my_words"}, ("title",)
    ),
    "a path into JSON": Planted(
        lambda i: {"title": topic(i), "data": {"inner": {"said": text(i), "page": i}}},
        text,
        {"field": "data.inner.said"},
        ("title",),
    ),
    "title and text": Planted(
        titled, lambda i: f"{topic(i)}\n{text(i)}", {"template": "{title}\n{text}"}
    ),
    "lines of metadata and text": Planted(
        lambda i: {"text": text(i), "author": f"A. {topic(i)}", "page": i, "year": 1990 + i},
        lambda i: f"author: A. {topic(i)}\npage: {i}\nyear: {1990 + i}\n\n{text(i)}",
        {"template": "author: {author}\npage: {page}\nyear: {year}\n\n{text}"},
    ),
    "LlamaIndex": Planted(
        in_node,
        lambda i: f"product: {topic(i)}\nlanguage: en\n\n{text(i)}",
        {"framework": "llama-index"},
    ),
    "Spring AI": Planted(
        lambda i: {"content": text(i), "metadata": {"source": topic(i), "page": i}},
        lambda i: f"source: {topic(i)}\npage: {i}\n\n{text(i)}",
        {"framework": "spring-ai"},
        ("content",),
    ),
    "E5's prefix": Planted(
        titled, lambda i: f"passage: {text(i)}", {"field": "text"}, prefix="passage: "
    ),
    "Nomic's prefix": Planted(
        titled,
        lambda i: f"search_document: {text(i)}",
        {"field": "text"},
        prefix="search_document: ",
    ),
    "split and averaged": Planted(
        titled_and_long,
        long_text,
        {"field": "text", "split_tokens": 512},
        vectors=split_and_averaged,
    ),
    "truncated": Planted(
        titled_and_long,
        lambda i: long_text(i)[:500],
        {"field": "text", "first_characters": 500},
    ),
    "in lower case": Planted(titled, lambda i: text(i).lower(), {"field": "text", "lower": True}),
}
MORE = {
    "truncated by tokens": Planted(
        titled_and_long,
        long_text,
        {"field": "text", "first_tokens": 256},
        vectors=lambda texts: embedded([first_tokens(one, 256) for one in texts]),
    ),
    "title, unnamed text": Planted(
        lambda i: {"heading": topic(i), "my_words": text(i)},
        lambda i: f"{topic(i)}: {text(i)}",
        {"template": "{heading}: {my_words}"},
        ("heading", "my_words"),
    ),
    "one line of metadata": Planted(
        titled,
        lambda i: f"source: page {i}\n\n{text(i)}",
        {"template": "source: {source}\n\n{text}"},
    ),
    "a few that are very long": Planted(
        lambda i: {"title": topic(i), "text": text(i) if i % 50 else very_long(i)},
        lambda i: text(i) if i % 50 else very_long(i),
        {"field": "text", "split_tokens": 8191},
        vectors=lambda texts: np.array(
            [_mean_of_pieces(one, 8191) for one in texts], dtype=np.float32
        ),
    ),
}


def first_tokens(one: str, limit: int) -> str:
    offsets = MODEL._tokenizer.encode(one, add_special_tokens=False).offsets
    return one[: offsets[limit - 1][1]] if len(offsets) > limit else one


def very_long(i: int) -> str:
    return "\n".join(passages()[i : i + 80])


def found(planted: Planted, vectors: Vectors | None = None) -> Diagnosis:
    """What the finder says of a hundred rows."""
    world = World(0, embedders=LocalEmbedders())
    MODEL.count_tokens("loads it")
    if vectors is None:
        vectors = planted.vectors([planted.embedded(i) for i in range(ROWS)])
    rows = [
        {"pk": f"k{i:03}", "vector": vector, **planted.row(i)} for i, vector in enumerate(vectors)
    ]
    world.vectors.seed("zoo", rows, LOCAL_64.dimension, text_candidates=planted.columns)
    return diagnose(world.errand(), LOCAL_64, world.vectors.describe("zoo"))


@pytest.mark.parametrize("what", [*PLANTED, *MORE])
def test_a_planted_recipe_is_named_and_no_other(what: str) -> None:
    planted = (PLANTED | MORE)[what]
    fitting = found(planted).fitting
    expected = [(recipe_of(planted.recipe), planted.prefix)]
    assert expected == [(one.recipe, one.prefix) for one in fitting]
    assert fitting[0].verdict.explained >= 0.9 * ROWS


NONE_FITS: dict[str, Callable[[], Vectors]] = {
    "random vectors": lambda: (
        np.random.default_rng(1).standard_normal((ROWS, 64)).astype(np.float32)
    ),
    "another model's": lambda: np.ascontiguousarray(
        embedded([text(i) for i in range(ROWS)], LOCAL_256)[:, 64:128]
    ),
}


@pytest.mark.parametrize("what", NONE_FITS)
def test_vectors_of_no_text_fit_none(what: str) -> None:
    diagnosis = found(Planted(titled, text, {}), NONE_FITS[what]())
    assert [] == diagnosis.fitting
    assert diagnosis.candidates, "what was tried is shown"
