from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import wordllama

from migrations.adapters.providers.catalogue import LOCAL_DIMENSIONS, LOCAL_MODEL
from migrations.adapters.providers.local import LocalEmbedder, LocalModel
from migrations.model.config import EmbeddingRef
from migrations.model.errors import InvalidConfiguration, TextRefused

TEXTS = ["The sea is wide.", "Eine Katze schläft.", "def f(x):\n    return x\n", "x " * 500]


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return LocalModel()


def embedder(model: LocalModel, dimension: int) -> LocalEmbedder:
    ref = EmbeddingRef(provider="local", model=LOCAL_MODEL, dimension=dimension)
    return LocalEmbedder(ref, model)


@pytest.mark.parametrize("dimension", LOCAL_DIMENSIONS)
def test_vectors_are_wordllamas_own_brought_to_length_one(
    model: LocalModel, dimension: int
) -> None:
    theirs = wordllama.WordLlama.load(
        cache_dir=Path(wordllama.__file__).parent, trunc_dim=dimension, disable_download=True
    )

    ours = embedder(model, dimension).embed(TEXTS).vectors

    np.testing.assert_allclose(theirs.embed(TEXTS, norm=True), ours, rtol=0, atol=1e-6)


def test_tokens_are_the_tokenizers(model: LocalModel) -> None:
    assert sum(map(model.count_tokens, TEXTS)) == embedder(model, 64).embed(TEXTS).tokens
    assert 500 <= model.count_tokens("x " * 500) <= 501


def test_texts_that_mean_alike_are_nearer_than_others(model: LocalModel) -> None:
    one, alike, other = (
        embedder(model, 256)
        .embed(["How do I open a file?", "Opening and reading files", "Tax law of the nineties"])
        .vectors
    )

    assert one @ alike > one @ other + 0.1


def test_the_empty_text_is_named_by_its_position(model: LocalModel) -> None:
    with pytest.raises(TextRefused) as caught:
        embedder(model, 64).embed(["a", "b", "", "c"])

    assert {"position": 2} == caught.value.details


def test_half_a_surrogate_pair_is_refused(model: LocalModel) -> None:
    with pytest.raises(TextRefused):
        embedder(model, 64).embed(["broken \ud800"])


def test_loading_leaves_logging_as_it_was() -> None:
    code = (
        "import logging\n"
        "from migrations.adapters.providers.local import LocalModel\n"
        "LocalModel().count_tokens('x')\n"
        "print(logging.getLogger().handlers, logging.getLogger().level)"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout

    assert f"[] {logging.WARNING}" == printed.decode().strip()


def test_without_wordllama_the_extra_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wordllama", None)

    with pytest.raises(InvalidConfiguration, match=r"pip install 'reembed\[local\]'"):
        embedder(LocalModel(), 64)


#: A process of its own, in one thread: nothing else moves its memory. Prints KiB it has grown by.
_NEW_WORDS = """
import random
import psutil
from migrations.adapters.providers.local import LocalModel

model, rng = LocalModel(), random.Random(1)

def word():
    return "".join(rng.choices("abcdefghijklmnopqrst", k=rng.randrange(3, 9)))

def kib_after_new_words():
    for _ in range(200):
        model.token_ids([" ".join(word() for _ in range(rng.choice([5, 20, 60, 200, 1500])))])
    return psutil.Process().memory_info().rss >> 10

seen = [kib_after_new_words() for _ in range(20)]
print(max(seen[-3:]) - max(seen[:3]))
"""


def test_words_never_seen_before_cost_no_memory() -> None:
    """A worker meets other words for years; what it remembered of each would end it."""
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, "-c", _NEW_WORDS],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 1_500, "KiB for 1.2 million words; remembering them took 2,900"
