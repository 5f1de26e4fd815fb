"""How many tokens a text has, without any model's vocabulary.

tiktoken fetches its vocabulary over the network at first use, so it may fail
exactly where it is needed. An estimate serves: it plans requests and prices,
and what is billed comes from the provider's ``usage``.

The estimate counts what byte-pair vocabularies have in common: a short word
with the space before it is one token, a long or unusual word is cut into
pieces, digits go in threes, punctuation in small runs, and outside ASCII
tokens follow the UTF-8 bytes.

Measured on the 6,600 passages of ``devstack.corpus`` against the Llama 2
tokenizer that wordllama carries: 0.94 of its total, 0.77 to 1.08 for the middle
nine tenths of passages, 0.81 on Python code. Its 32,000 words cut finer than
the 100,000 of OpenAI's, so lying below it is right; against OpenAI's own
vocabulary it has not been measured. 34 µs for a passage of 320 characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_PIECES = re.compile(
    r"(?P<word>[A-Za-z]+)|(?P<digits>[0-9]+)|(?P<space>\s+)|(?P<other>[^\x00-\x7f]+)|(?P<mark>[!-~])"
)

#: Longest word counted as one token, and letters per token beyond it.
_WORD = 7
_LETTERS = 4
_DIGITS = 3
#: Most texts hold punctuation in pairs such as "()", "):" or "``" that are one token.
_MARKS_PER_TOKEN = 1.6
#: Three-byte scripts come out at 1.2 tokens a character, two-byte ones at 0.8.
_BYTES_PER_TOKEN = 2.5


def estimate_tokens(text: str) -> int:
    """Estimated tokens of a text, at least 1 for a text that is not empty."""
    if not text:
        return 0
    return max(1, round(sum(_weigh(piece) for piece in _PIECES.finditer(text))))


def _weigh(piece: re.Match[str]) -> float:
    length = piece.end() - piece.start()
    match piece.lastgroup:
        case "word":
            return 1 if length <= _WORD else 1 + -(-(length - _WORD) // _LETTERS)
        case "digits":
            return -(-length // _DIGITS)
        case "space":
            return 0 if length == 1 and piece.group() == " " else 1
        case "other":
            return len(piece.group().encode("utf-8", "replace")) / _BYTES_PER_TOKEN
    return 1 / _MARKS_PER_TOKEN


def at_most_tokens(text: str) -> int:
    """A bound no byte-level vocabulary exceeds: one token for each UTF-8 byte."""
    return 4 * len(text) if not text.isascii() else len(text)


def pack(texts: Sequence[str], max_inputs: int, max_tokens: int) -> Iterator[slice]:
    """Cut texts into requests, in order, none above either limit by our estimate.

    A single text above ``max_tokens`` gets a request of its own; whether it is
    refused is the provider's say.
    """
    if len(texts) <= max_inputs and sum(map(at_most_tokens, texts)) <= max_tokens:
        yield slice(0, len(texts))
        return
    start, tokens = 0, 0
    for position, text in enumerate(texts):
        size = estimate_tokens(text)
        if position > start and (position - start == max_inputs or tokens + size > max_tokens):
            yield slice(start, position)
            start, tokens = position, 0
        tokens += size
    yield slice(start, len(texts))
