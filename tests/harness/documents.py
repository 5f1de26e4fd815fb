"""The command lines that the documents show, in blocks for a shell and within sentences."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from devstack.server import PROJECT

PAGES = sorted(
    [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")]
)
_BLOCK = re.compile(r"^ *```(.*)\n((?:.*\n)*?) *```$", re.M)
_SHELL = re.compile(r"(sh|bash|console)\b")
#: In a sentence: what begins with one of these is meant as a command.
_INLINE = re.compile(
    r"`((?:\.venv/bin/)?(?:celery|docker|honcho|kubectl|make|pip|pytest|python -m|reembed"
    r"|systemctl)(?: [^`]*)?)`"
)
_PLACEHOLDER = re.compile(r"<[a-z][^<>|]*>")
_BETWEEN = {";", "|", "&&", "||", "&", "\n"}
_FUNCTION = re.compile(r"^ *(\w+)\(\) *\{.*$", re.M)


@dataclass(frozen=True)
class Shown:
    """A command line and where it stands."""

    page: Path
    words: tuple[str, ...]
    #: Not so where it is named within a sentence, perhaps without its arguments.
    whole: bool = True

    def __str__(self) -> str:
        return f"{self.page.relative_to(PROJECT)}: {' '.join(self.words)}"


def blocks(page: Path) -> list[tuple[str, str]]:
    """What stands behind the opening fence, and the text between it and the closing one."""
    return _BLOCK.findall(page.read_text())


def shell_blocks(page: Path) -> list[str]:
    return [text for kind, text in blocks(page) if _SHELL.match(kind)]


def runnable_blocks(page: Path) -> list[str]:
    """Those that say so: their fence is followed by ``sh run``."""
    return [text for kind, text in blocks(page) if kind.split() == ["sh", "run"]]


def shown_in(page: Path) -> Iterator[Shown]:
    for block in shell_blocks(page):
        for words in commands_of(block):
            yield Shown(page, tuple(words))
    prose = _BLOCK.sub("", page.read_text())
    for line in _INLINE.findall(prose):
        for words in commands_of(_of_a_sentence(line)):
            yield Shown(page, tuple(words), whole=False)


def _of_a_sentence(line: str) -> str:
    """Where it ends with an ellipsis any command may follow, so it is asked for help."""
    return re.sub(r" …$", " --help", line)


def commands_of(block: str) -> list[list[str]]:
    """Its commands, each as words; functions that it defines are not looked into.

    Raises ValueError for a quote that is not closed.
    """
    own = set(_FUNCTION.findall(block))
    text = _FUNCTION.sub("", block).replace("\\\n", " ")
    text = _PLACEHOLDER.sub("…", text)
    found: list[list[str]] = [[]]
    for logical in _logical_lines(text):
        lexer = shlex.shlex(logical, posix=True, punctuation_chars=";|&")
        lexer.whitespace_split = True
        for word in [*lexer, "\n"]:
            if word in _BETWEEN:
                found.append([])
            else:
                found[-1].append(word)
    return [words for words in found if words and words[0] not in own]


def _logical_lines(text: str) -> Iterator[str]:
    """Lines, where one whose quote is not closed goes on in the next."""
    begun = ""
    for line in text.splitlines():
        begun += line + "\n"
        try:
            shlex.split(begun, comments=True)
        except ValueError:
            continue
        yield begun
        begun = ""
    if begun:
        raise ValueError(f"A quote is not closed: {begun}")
