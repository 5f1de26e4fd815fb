from __future__ import annotations

import time

import pytest

from devstack.corpus import LONGEST, Passage, distinct, pieces, python_corpus


@pytest.fixture(scope="module")
def corpus() -> list[Passage]:
    return python_corpus()


def test_there_are_several_thousand_passages_in_a_few_seconds() -> None:
    begun = time.process_time()

    corpus = python_corpus()

    assert 4_000 <= len(corpus) <= 10_000
    assert time.process_time() - begun < 8  # about 2.4 on the machine this was written on


def test_the_corpus_is_the_same_at_every_call(corpus: list[Passage]) -> None:
    assert corpus == python_corpus()


def test_ids_are_distinct(corpus: list[Passage]) -> None:
    assert len(corpus) == len({passage.id for passage in corpus})


def test_a_name_that_comes_again_is_numbered() -> None:
    twice = [Passage("stdlib/os.open", "os.open", text) for text in ("one", "two", "three")]

    assert ["stdlib/os.open", "stdlib/os.open~2", "stdlib/os.open~3"] == [
        passage.id for passage in distinct(twice)
    ]


def test_no_passage_is_empty_or_too_long_for_a_small_text_field(corpus: list[Passage]) -> None:
    for passage in corpus:
        assert passage.text == passage.text.strip()
        assert 20 <= len(passage.text) <= LONGEST + 150, passage.id
        assert passage.title


def test_most_of_the_reference_lies_between_the_lengths_aimed_at(corpus: list[Passage]) -> None:
    lengths = [len(one.text) for one in corpus if one.id.startswith("topics/")]

    within = sum(200 <= length <= LONGEST for length in lengths)

    assert within / len(lengths) > 0.9


def test_what_anybody_would_look_for_is_there(corpus: list[Passage]) -> None:
    by_id = {passage.id: passage for passage in corpus}

    assert by_id["stdlib/json.dumps"].text.startswith("json.dumps: Serialize ``obj`` to a JSON")
    assert "topics/LAMBDA#000" in by_id
    assert not [one for one in by_id if one.startswith("stdlib/test.")]


def test_nothing_of_a_text_is_lost_in_cutting_it() -> None:
    text = "\n\n".join(f"Paragraph {n} " + "with words " * (n * 13 % 170) for n in range(40))

    cut = pieces(text + "\n\n" + "x" * 2000)

    assert "".join(text.split()) + "x" * 2000 == "".join("".join(cut).split())
    assert max(map(len, cut)) <= LONGEST
