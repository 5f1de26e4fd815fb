"""What a chunk is asked for by, where nobody has asked for it yet."""

from __future__ import annotations

#: Shorter texts have no part that says what they say.
SHORTEST_TEXT = 40
#: Characters of a part at the most: a question is no page.
LONGEST_PART = 300


def part_of(text: str) -> str | None:
    """The half in the middle, at borders of words where it has some; None of a short text."""
    text = text.strip()
    if len(text) < SHORTEST_TEXT:
        return None
    begin = len(text) // 4
    end = min(begin + LONGEST_PART, len(text) - begin)
    part = text[begin:end]
    words = part.split()
    return " ".join(words[1:-1]) if len(words) > 2 else part.strip() or None
