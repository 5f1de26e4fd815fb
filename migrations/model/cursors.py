"""Where a list goes on, as a text that nobody has to understand."""

from __future__ import annotations

import base64
import binascii

from migrations.model.errors import CursorInvalid


def cursor_of(*parts: str) -> str:
    """None of them has a space in it."""
    return base64.urlsafe_b64encode(" ".join(parts).encode()).decode().rstrip("=")


def parts_of(cursor: str, count: int) -> list[str]:
    """Raises CursorInvalid unless :func:`cursor_of` has made it of so many."""
    try:
        padded = cursor.encode() + b"=" * (-len(cursor) % 4)
        parts = base64.b64decode(padded, b"-_", validate=True).decode().split(" ")
    except (ValueError, binascii.Error) as error:
        raise CursorInvalid from error
    if len(parts) != count or cursor_of(*parts) != cursor:
        raise CursorInvalid
    return parts
