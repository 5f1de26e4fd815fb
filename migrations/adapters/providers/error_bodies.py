"""What the body of a provider's refusal says: its words for people, its codes for us.

Every gateway has a form of its own: objects within objects, lists, pages of HTML, plain text.
The words may repeat the request, so they are for reading alone: nothing is decided by them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import orjson

from migrations.adapters.providers.keys import NO_KEY, redact

#: Of what is looked at, and of what is shown.
_LONGEST_BODY = 20_000
_LONGEST_WORDS = 1_000
_DEEPEST = 8
LONGEST_QUOTE = 200

#: Where the sentence stands, the likeliest first; any other text comes after them.
_SENTENCES = (
    *("message", "msg", "error_description", "error_msg", "error_message", "errormessage"),
    *("errormsg", "status_msg", "faultstring", "detail", "details", "description", "reason"),
    *("title", "error", "errors", "fault"),
)
_CODES = ("code", "type", "status", "error", "error_code", "errorcode", "errortype", "__type")
#: Each of these has its place, or none because it repeats the request.
_NAMED = frozenset({*_SENTENCES, *_CODES, "param", "loc", "input"})
_PAGE = re.compile(r"<(?:!doctype|html|head|body|\?xml)\b", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_UNSEEN = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)
#: Escapes that are left where a provider quotes JSON or a Python value within its sentence.
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([nrt])|([\"'/\\]))")

_OF_INPUT = "[text]"
#: Shorter pieces of a text are words that anybody uses.
_PIECE = 8
_SHORTEST_PIECE = 14
#: Of texts that are looked for wherever they stand by themselves; shorter ones only in quotes.
_SHORTEST_WORD = 4


@dataclass(frozen=True)
class Said:
    """``codes`` are in lower case; ``status`` is the one that a body gives itself."""

    words: str = ""
    codes: frozenset[str] = field(default_factory=frozenset)
    param: str | None = None
    status: int | None = None


def read(body: bytes) -> Said:
    """Whatever the body is; nothing where it is empty."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Said(_of_page(body[:_LONGEST_BODY].decode("utf-8", "replace")))
    objects = list(_objects(found))
    codes = [(name, o[name]) for o in objects for name in o if name.lower() in _CODES]
    params = (o["param"] for o in objects if isinstance(o.get("param"), str))
    return Said(
        _sentence(found) or "",
        frozenset(c.lower() for _, c in codes if isinstance(c, str) and not set(c) & set(" \n")),
        next(params, None),
        next((s for s in map(_as_status, (code for _, code in codes)) if s), None),
    )


def quote(words: str, texts: Sequence[str], key: str) -> str:
    """Short and clean: one line, no control characters, no key, nothing of the texts."""
    line = _one_line(redact(words, key))[:_LONGEST_WORDS]
    line = _without(line, [_one_line(text) for text in texts])
    if key != NO_KEY:
        line = _without_pieces(line, key, _PIECE, "[key]")
    return line if len(line) <= LONGEST_QUOTE else line[: LONGEST_QUOTE - 1].rstrip() + "…"


# --- reading -------------------------------------------------------------------


def _objects(found: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """All objects, the outer first."""
    if isinstance(found, dict):
        yield found
        found = list(found.values())
    if isinstance(found, list) and depth < _DEEPEST:
        yield from chain.from_iterable(_objects(one, depth + 1) for one in found[:20])


def _sentence(found: Any, depth: int = 0) -> str | None:
    if isinstance(found, str):
        return _of_page(found[:_LONGEST_BODY]).strip() or None
    if depth > _DEEPEST:
        return None
    if isinstance(found, dict):
        by_name = {name.lower(): value for name, value in found.items()}
        others = [value for name, value in by_name.items() if name not in _NAMED]
        named = [by_name[name] for name in _SENTENCES if name in by_name]
        last = [by_name[name] for name in _CODES if name in by_name]
        found = [*named, *others, *last]
    if isinstance(found, list):
        return next(filter(None, (_sentence(one, depth + 1) for one in found[:20])), None)
    return None


def _as_status(code: Any) -> int | None:
    number = int(code) if isinstance(code, str) and code.isdecimal() and len(code) == 3 else code
    return number if type(number) is int and 400 <= number < 600 else None


def _of_page(text: str) -> str:
    """The title of a page of HTML, else all that it shows; other text as it is."""
    if not _PAGE.search(text[:1000]):
        return text
    title = _TITLE.search(text)
    return html.unescape(title.group(1) if title else _UNSEEN.sub(" ", text))


# --- cleaning ------------------------------------------------------------------


def _one_line(text: str) -> str:
    text = " ".join(_ESCAPED.sub(_unescaped, text).split())
    if text.isprintable():
        return text
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _unescaped(escape: re.Match[str]) -> str:
    code, _, mark = escape.groups()
    return chr(int(code, 16)) if code else mark or " "


def _without(line: str, texts: Sequence[str]) -> str:
    for text in sorted(filter(None, texts), key=len, reverse=True):
        if len(text) < _SHORTEST_PIECE and text in line:
            edge = r"\w" if len(text) >= _SHORTEST_WORD else r"[^\"'`]"
            line = re.sub(rf"(?<!{edge}){re.escape(text)}(?!{edge})", _OF_INPUT, line)
    return _without_pieces(line, "\n".join(texts), _SHORTEST_PIECE, _OF_INPUT)


def _without_pieces(line: str, secret: str, shortest: int, instead: str) -> str:
    """Replace whatever both hold of at least ``shortest`` characters.

    Such a piece holds one of the line's aligned pieces of half that length whole.
    """
    step, done, at = shortest // 2, 0, 0
    kept: list[str] = []
    while at + step <= len(line):
        start, end = _widest(line, at, at + step, done, secret)
        if end - start >= shortest:
            kept += [line[done:start], instead]
            at = done = end
        else:
            at += step
    return "".join([*kept, line[done:]])


def _widest(line: str, start: int, end: int, least: int, secret: str) -> tuple[int, int]:
    """The longest piece of the line around this one that the secret holds; none is (0, 0)."""
    if line[start:end] not in secret:
        return 0, 0
    left, right = start, end
    while left > least and line[left - 1 : end] in secret:
        left -= 1
    while right < len(line) and line[start : right + 1] in secret:
        right += 1
    if line[left:right] in secret:
        return left, right
    return (left, end) if start - left > right - end else (start, right)
