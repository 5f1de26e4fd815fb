"""What the pages are written in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

#: Follows the heading of every page.
WRITTEN = "Written from the code by `make reference`; a test keeps it current."


def heading(title: str) -> str:
    return f"# {title}\n\n{WRITTEN}\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Nothing where there are no rows."""
    lines = [_line(cells) for cells in rows]
    if not lines:
        return ""
    return "\n".join([_line(headings), _line(["---"] * len(headings)), *lines]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell(text) for text in cells) + " |"


def cell(text: str) -> str:
    """On one line, and within its column."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: object) -> str:
    return f"`{text}`"


def anchor(title: str) -> str:
    """As a heading is linked to."""
    kept = "".join(c for c in title.lower() if c.isalnum() or c in "-_ ")
    return kept.replace(" ", "-")
