"""Who may come in, and what they may take into care."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from migrations.model.errors import NameInvalid

#: Of an owner, of a token, of a collection's pattern.
LONGEST_NAME, LONGEST_PATTERN = 100, 255


@dataclass(frozen=True)
class Grant:
    """An admin's leave for an owner to register collections of matching names.

    ``pattern`` is shell-style: ``*``, ``?`` and ``[…]``, and everything else means itself.
    """

    id: int
    owner: str
    pattern: str
    granted_by: str
    granted_at: datetime

    def covers(self, name: str) -> bool:
        return fnmatchcase(name, self.pattern)


def check_name(of_what: str, name: str) -> None:
    """Of an owner or a token, as a person reads them. Raises NameInvalid."""
    if not name or len(name) > LONGEST_NAME or not name.isprintable() or name != name.strip():
        raise NameInvalid(
            f"The {of_what} must have 1 to {LONGEST_NAME} printable characters, "
            "and no space at either end."
        )


def check_pattern(pattern: str) -> None:
    """Raises NameInvalid."""
    visible = pattern.isascii() and pattern.isprintable() and " " not in pattern
    if not pattern or len(pattern) > LONGEST_PATTERN or not visible:
        raise NameInvalid(
            f"A pattern must have 1 to {LONGEST_PATTERN} visible ASCII characters and no spaces."
        )
