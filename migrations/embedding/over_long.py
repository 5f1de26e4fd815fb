"""Texts longer than the model takes: refused, cut short, or embedded in pieces.

Where the model's own tokenizer is not at hand, tokens are estimated; what is
cut is therefore cut to :data:`CUT_TO` of the limit. Where a model refuses a text for
its length that should be short enough, it is cut again to :data:`SHORTER` of that, and
so from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from migrations.model.config import EmbeddingRef, OverLong
from migrations.model.errors import InvalidVectors, TextTooLong
from migrations.model.roles import TextRole
from migrations.model.texts import Recipe
from migrations.ports.embedders import Embedders

CountTokens = Callable[[str], int]

#: An estimate may lie this far below the real count; 0.77 was the worst twentieth of a corpus.
CUT_TO = 0.8
#: The next limit, as a share of the tokens of what was refused; and the least that is tried.
SHORTER = 0.75
LEAST_LIMIT = 16
#: Pieces end at white space where there is some in their last part.
_LOOK_BACK_SHARE = 0.1


def room_for_text(embedders: Embedders, ref: EmbeddingRef, role: TextRole) -> int | None:
    """Tokens that a text may have beside the words of its role; None where no limit is known."""
    info = embedders.known(ref.provider, ref.model)
    if info is None or not role.words:
        return info.max_input_tokens if info else None
    words = embedders.count_tokens(ref.provider, ref.model, role.words)
    return max(1, info.max_input_tokens - words)


def is_over_long(text: str, limit: int | None, count_tokens: CountTokens) -> bool:
    """Whether ``text`` has more than ``limit`` tokens; no byte-level token is below one byte."""
    if limit is None or len(text) * (1 if text.isascii() else 4) <= limit:
        return False
    return count_tokens(text) > limit


@dataclass(frozen=True)
class Parts:
    """What is sent for one text, and how much each part counts in its vector."""

    texts: tuple[str, ...]
    weights: tuple[int, ...] = (1,)


@dataclass(frozen=True)
class Policy:
    """What becomes of over-long texts in one migration. ``limit`` is in tokens, None for none."""

    over_long: OverLong
    limit: int | None
    count_tokens: CountTokens

    def is_over_long(self, text: str) -> bool:
        return is_over_long(text, self.limit, self.count_tokens)

    def parts(self, text: str) -> Parts:
        """Raises TextTooLong for an over-long text when those are refused."""
        if self.limit is None or not self.is_over_long(text):
            return Parts((text,))
        if self.over_long is OverLong.REFUSE:
            raise TextTooLong(
                f"The text is longer than the {self.limit} tokens the model takes; "
                "shorten it, or start with over_long 'truncate' or 'split'."
            )
        pieces = cut(text, max(1, int(self.limit * CUT_TO)), self.count_tokens)
        if self.over_long is OverLong.TRUNCATE:
            pieces = pieces[:1]
        return Parts(tuple(pieces), tuple(max(1, self.count_tokens(piece)) for piece in pieces))


def parts_as_before(recipe: Recipe, text: str, count_tokens: CountTokens) -> Parts:
    """What an application has sent for a text: cut or split wherever its tokens ended."""
    tokens = recipe.first_tokens or recipe.split_tokens
    if tokens is None or not is_over_long(text, tokens, count_tokens):
        return Parts((text,))
    if recipe.first_tokens is not None:
        return Parts((text[: _longest_start(text, tokens, count_tokens)],))
    pieces = cut(text, tokens, count_tokens, within_words=True)
    return Parts(tuple(pieces), tuple(max(1, count_tokens(piece)) for piece in pieces))


def cut(
    text: str, limit: int, count_tokens: CountTokens, *, within_words: bool = False
) -> list[str]:
    """Pieces of at most ``limit`` tokens (one character where even that has more), in order.

    Together they are the text, but for pieces of white space alone, which have no meaning to embed.
    """
    pieces = []
    while text:
        length = _longest_start(text, limit, count_tokens)
        if length < len(text) and not within_words:
            length = _before_a_word(text, length)
        pieces.append(text[:length])
        text = text[length:]
    return [piece for piece in pieces if piece.strip()] or pieces[:1]


def _longest_start(text: str, limit: int, count_tokens: CountTokens) -> int:
    fits, too_long = 1, limit
    while too_long < len(text) and (tokens := count_tokens(text[:too_long])) <= limit:
        # By as many characters as its tokens have had so far, and a tenth more.
        fits, too_long = too_long, int(1.1 * too_long * limit / max(1, tokens)) + 1
    too_long = min(too_long, len(text) + 1)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if count_tokens(text[:middle]) <= limit:
            fits = middle
        else:
            too_long = middle
    return fits


def _before_a_word(text: str, length: int) -> int:
    for end in range(length, length - int(length * _LOOK_BACK_SHARE), -1):
        if text[end].isspace():
            return end
    return length


def combined(
    parts: Parts, vectors: Mapping[str, npt.NDArray[np.float32]]
) -> npt.NDArray[np.float32]:
    """The one vector of a text: of its pieces the mean weighted by tokens, of length 1.

    Raises:
        InvalidVectors: the pieces cancel each other out.
    """
    if len(parts.texts) == 1:
        return vectors[parts.texts[0]]
    found: Sequence[npt.NDArray[np.float32]] = [vectors[piece] for piece in parts.texts]
    mean = np.average(found, axis=0, weights=parts.weights)
    length = float(np.linalg.norm(mean))
    if length == 0:
        raise InvalidVectors("The vectors of the text's pieces cancel each other out.")
    joined: npt.NDArray[np.float32] = (mean / length).astype(np.float32)
    return joined
