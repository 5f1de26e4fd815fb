from __future__ import annotations

from pathlib import Path

import pytest

from devstack.corpus import LONGEST, Passage, distinct, pieces, python_corpus


@pytest.fixture(scope="module")
def corpus() -> list[Passage]:
    return python_corpus()


def test_there_are_several_thousand_passages(corpus: list[Passage]) -> None:
    assert 4_000 <= len(corpus) <= 10_000


def test_the_corpus_does_not_depend_on_the_order_in_which_a_folder_lists_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "glob", "os", "abc"):
        (tmp_path / f"{name}.py").write_text(f'"""{f"All about {name}. " * 9}"""')
    files = sorted(tmp_path.iterdir())
    listings = (files, files[::-1], [files[2], files[0], files[3], files[1]])
    made = []
    for listing in listings:
        monkeypatch.setattr(Path, "rglob", lambda *_, listing=listing: iter(listing))
        made.append(python_corpus(tmp_path))
    assert made[0] == made[1] == made[2]
    assert "stdlib/abc" in {passage.id for passage in made[0]}


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
