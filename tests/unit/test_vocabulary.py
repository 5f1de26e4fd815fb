"""Token ids are read as OpenAI's own decoder reads them, without it."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from bpe_openai import get_encoding

from migrations.adapters.vocabulary import OpenAIVocabulary
from migrations.model.errors import TokensUnknown


@pytest.fixture(scope="module")
def vocabulary() -> OpenAIVocabulary:
    return OpenAIVocabulary()


def test_ids_are_the_text_that_the_package_makes_of_them(vocabulary: OpenAIVocabulary) -> None:
    theirs, chooser = get_encoding(vocabulary.name), random.Random(1)
    known = [*range(100_256), *range(100_257, 100_261), 100_276]
    chooser.shuffle(known)
    for start in range(0, len(known), 500):  # every id once, mostly in the middle of letters
        ids = known[start : start + 500]
        expected = theirs.decode_bytes(ids).decode("utf-8", errors="ignore")
        assert expected == vocabulary.text_of(ids)
    assert "" == vocabulary.text_of([])


@pytest.mark.parametrize("number", [-1, 100_256, 100_261, 100_277, 2**40])
def test_an_id_that_there_is_not_is_named(vocabulary: OpenAIVocabulary, number: int) -> None:
    with pytest.raises(TokensUnknown, match=f"ends at 100276 \\({number} was sent"):
        vocabulary.text_of([1, number])


def test_the_decoder_of_the_package_is_not_loaded() -> None:
    code = (
        "import sys; from migrations.adapters.vocabulary import OpenAIVocabulary as V; "
        "V().text_of([1]); assert 'bpe_openai' not in sys.modules"
    )
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode
