"""A real text corpus that every CPython carries: its language reference and its docstrings.

For the demo, tests and benchmarks: several thousand passages about one coherent
subject, so that a question has an answer among them. Sources are parsed, never
imported, so building the corpus runs none of the library's code.
"""

from __future__ import annotations

import ast
import inspect
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from pydoc_data.topics import topics

#: Passages are cut at paragraph borders to lie between these, in characters.
SHORTEST = 200
LONGEST = 900
#: A docstring shorter than this says little more than its function's name.
_SHORTEST_DOCSTRING = 60
#: Tests, generated tables and the tools around the library are not about the library.
_LEFT_OUT = frozenset(
    {"test", "tests", "idlelib", "lib2to3", "turtledemo", "site-packages", "dist-packages",
     "ensurepip", "__pycache__", "pydoc_data", "encodings", "msilib", "__phello__"}
)  # fmt: skip

_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Passage:
    """One piece of text. ``id`` is distinct and the same at every call on one Python."""

    id: str
    title: str
    text: str


def python_corpus(library: Path | None = None) -> list[Passage]:
    """All passages, always in the same order: the reference's topics, then the library.

    ``library`` is the folder of its sources, by default this Python's own.
    """
    root = library or Path(sysconfig.get_path("stdlib"))
    return [*distinct(_reference()), *distinct(_library(root))]


def _reference() -> Iterator[Passage]:
    for topic in sorted(topics):
        for number, text in enumerate(pieces(topics[topic])):
            yield Passage(f"topics/{topic.upper()}#{number:03d}", topic, text)


def _library(root: Path) -> Iterator[Passage]:
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).parts):
        parts = path.relative_to(root).with_suffix("").parts
        if not _is_public(parts):
            continue
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for name, docstring in _docstrings(path, module):
            yield from _described(name, docstring)


def _is_public(parts: tuple[str, ...]) -> bool:
    """Modules under a private name count: much of the library is documented there."""
    return not _LEFT_OUT.intersection(parts) and parts[-1] != "__main__"


def _docstrings(path: Path, module: str) -> Iterator[tuple[str, str]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escapes in docstrings, not ours to mend
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, OSError):  # a template, or a file meant not to parse
        return
    yield from _within(tree, module)


def _within(node: _Documented, name: str) -> Iterator[tuple[str, str]]:
    docstring = ast.get_docstring(node)
    if docstring and len(docstring) >= _SHORTEST_DOCSTRING:
        yield name, docstring
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _within(child, f"{name}.{child.name}")


def _described(name: str, docstring: str) -> Iterator[Passage]:
    """The name leads the text, since a docstring seldom repeats what it is about."""
    for number, text in enumerate(pieces(docstring)):
        suffix = f"#{number:03d}" if number else ""
        yield Passage(f"stdlib/{name}{suffix}", name, f"{name}: {text}")


def pieces(text: str) -> list[str]:
    """Cut a text at paragraph borders into pieces of SHORTEST to LONGEST characters.

    A text, or its last piece, may be shorter; a paragraph longer than LONGEST is
    cut between lines, and a longer line anywhere.
    """
    found: list[str] = []
    for block in _blocks(inspect.cleandoc(text)):
        if found and (len(found[-1]) < SHORTEST or len(block) < SHORTEST):
            joined = f"{found[-1]}\n\n{block}"
            if len(joined) <= LONGEST:
                found[-1] = joined
                continue
        found.append(block)
    return found


def _blocks(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        if len(paragraph) <= LONGEST:
            yield from filter(None, [paragraph.strip()])
        else:
            yield from _lines_together(paragraph.splitlines())


def _lines_together(lines: Iterable[str]) -> Iterator[str]:
    block = ""
    for line in (part for whole in lines for part in _short_lines(whole)):
        if block and len(block) + 1 + len(line) > LONGEST:
            yield block.strip()
            block = line
        else:
            block = f"{block}\n{line}" if block else line
    if block.strip():
        yield block.strip()


def _short_lines(line: str) -> list[str]:
    return [line[start : start + LONGEST] for start in range(0, len(line), LONGEST)] or [""]


def distinct(passages: Iterable[Passage]) -> Iterator[Passage]:
    """A name defined more than once, such as under if and else, is numbered from the second on."""
    seen: Counter[str] = Counter()
    for passage in passages:
        seen[passage.id] += 1
        times = seen[passage.id]
        yield passage if times == 1 else replace(passage, id=f"{passage.id}~{times}")
