from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.corpus import python_corpus
from migrations.adapters.providers.local import LocalModel
from migrations.adapters.providers.tokens import at_most_tokens, estimate_tokens, pack


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("word", 1),
        ("three short words", 3),
        ("internationalisation", 5),
        ("123456", 2),
        ("\u4eba\u4eba\u751f\u800c\u81ea\u7531", 7),
        (" ", 1),
    ],
)
def test_a_text_weighs_what_its_pieces_weigh(text: str, tokens: int) -> None:
    assert tokens == estimate_tokens(text)


def test_the_estimate_of_a_real_corpus_is_within_a_tenth_of_a_real_tokenizer(
    tmp_path: Path,
) -> None:
    # The language reference alone: parsing the library takes seconds.
    texts = [passage.text for passage in python_corpus(tmp_path)[::2]]
    model = LocalModel()

    counted = sum(map(model.count_tokens, texts))

    assert counted == pytest.approx(sum(map(estimate_tokens, texts)), rel=0.1)


@given(st.text())
def test_the_upper_bound_is_never_below_the_estimate_or_the_bytes(text: str) -> None:
    encoded = text.encode("utf-8", "surrogatepass")

    assert at_most_tokens(text) >= max(estimate_tokens(text), len(encoded))


@given(
    st.lists(st.text(alphabet="ab 1.\u4eba", max_size=30), min_size=1, max_size=30),
    st.integers(1, 10),
    st.integers(1, 40),
)
def test_packing_keeps_every_text_in_order_and_every_request_within_its_limits(
    texts: list[str], max_inputs: int, max_tokens: int
) -> None:
    requests = [texts[part] for part in pack(texts, max_inputs, max_tokens)]

    assert texts == [text for request in requests for text in request]
    for request in requests:
        assert 1 <= len(request) <= max_inputs
        assert len(request) == 1 or sum(map(estimate_tokens, request)) <= max_tokens


def test_what_fits_is_one_request() -> None:
    assert [slice(0, 3)] == list(pack(["one", "two", "three"], 3, 11))


def test_texts_are_packed_as_full_as_the_limits_allow() -> None:
    texts = ["one two three"] * 10

    assert [3, 3, 3, 1] == [len(texts[part]) for part in pack(texts, 100, 9)]
