"""What the applications store: real texts, and questions that are a part of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from devstack.corpus import python_corpus

MANY = 48
#: What a reader writes while the new model is live.
LATER = 2


@dataclass(frozen=True)
class Document:
    number: int
    title: str
    text: str
    #: What is asked, where a part of the text would ask for other documents as well.
    asked: str = ""

    @property
    def question(self) -> str:
        """A sentence of the text, never all of it: the longest of those that leave something."""
        if self.asked:
            return self.asked
        most = 0.7 * len(self.text)
        sentences = [part.strip() for part in re.split(r"(?<=[.:;])\s+|\n\n", self.text)]
        fitting = [sentence for sentence in sentences if 40 <= len(sentence) <= most]
        if fitting:
            return " ".join(max(fitting, key=len).split())
        words = self.text.split()
        return " ".join(words[len(words) // 4 : 3 * len(words) // 4])


def _documents() -> list[Document]:
    passages = (passage for passage in python_corpus() if len(passage.text) >= 200)
    chosen = islice(passages, 0, 25 * (MANY + LATER), 25)
    return [Document(number, one.title, one.text) for number, one in enumerate(chosen)]


def _manual() -> list[Document]:
    """Twenty products that only their names tell apart."""
    says = (
        "Before the first use fill the tank with fresh water, close the lid and let the device"
        " run once without anything in it. Then empty the tank and let it dry for an hour."
    )
    kinds = ("Kettle", "Toaster", "Juicer", "Steamer", "Blender")
    makes = ("Aurora", "Boreas", "Cirrus", "Dorado")
    names = [f"{kind} {make}" for kind in kinds for make in makes]
    return [
        Document(number, name, says, asked=f"How long does the {name} have to dry?")
        for number, name in enumerate(names)
    ]


STORED = (ALL := _documents())[:MANY]
WRITTEN_LATER = ALL[MANY:]
MANUAL = _manual()
