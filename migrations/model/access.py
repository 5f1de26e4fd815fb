"""Who may come in, and what they may take into care."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase

from migrations.model.bots import Role
from migrations.model.collection_names import apart
from migrations.model.errors import NameInvalid

#: Of an owner, of a token, of a collection's pattern.
LONGEST_NAME, LONGEST_PATTERN = 100, 255


class TokenState(StrEnum):
    #: Lets its holder in.
    ACTIVE = "active"
    #: Its time is over.
    EXPIRED = "expired"
    #: An admin has taken it back.
    REVOKED = "revoked"


@dataclass(frozen=True)
class Token:
    """What is known of a token. Its text is kept nowhere."""

    id: int
    name: str
    owner: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    #: When it was read, by the database's clock.
    state: TokenState
    #: Of the newest entry that the trail has of it; None where it has none, or was not asked.
    last_used_at: datetime | None = None


def token_state(
    expires_at: datetime | None, revoked_at: datetime | None, at: datetime
) -> TokenState:
    if revoked_at is not None:
        return TokenState.REVOKED
    over = expires_at is not None and expires_at <= at
    return TokenState.EXPIRED if over else TokenState.ACTIVE


@dataclass(frozen=True)
class Deed:
    """What somebody did with a token: a route, of which thing, how it was answered."""

    token_id: int
    #: Where the request came from, as far as proxies are trusted to say.
    address: str
    method: str
    #: As the description has it, e.g. ``/bots/<bot_id>``.
    route: str
    #: The bot, migration, token or grant; None where the route is about none.
    subject: str | None
    status: int


@dataclass(frozen=True)
class TrailEntry:
    """A deed as it was kept."""

    id: int
    at: datetime
    token_name: str
    owner: str
    deed: Deed


@dataclass(frozen=True)
class TrailSearch:
    """Which entries are asked for: the newest ``limit`` that all else fits."""

    limit: int
    #: Id of an entry that was read: only older ones.
    before: int | None = None
    token_id: int | None = None
    #: Of the token.
    owner: str | None = None
    subject: str | None = None


@dataclass(frozen=True)
class Grant:
    """An admin's leave for an owner to register collections of matching names.

    ``pattern`` is shell-style: ``*``, ``?`` and ``[…]``, and everything else means itself. One
    that names no database covers names that name none.
    """

    id: int
    owner: str
    pattern: str
    granted_by: str
    granted_at: datetime

    def covers(self, name: str) -> bool:
        (database, bare), (of_database, of_name) = apart(name), apart(self.pattern)
        return bool(database) == bool(of_database) and (
            fnmatchcase(database, of_database) and fnmatchcase(bare, of_name)
        )


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
