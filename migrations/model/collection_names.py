"""A collection's name, which may say in which Milvus database it is: ``sales.docs``.

Milvus takes no '.' in a name, so one '.' tells the two apart. A name without it is in the
database of the deployment. A bot's names are all qualified alike, and travel as they are; only
the adapter of Milvus takes them apart, and what is told to readers.
"""

from __future__ import annotations

import re

#: What Milvus takes for the name of a database, a collection or an alias; milvus-lite takes more.
_MILVUS_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,254}")


def apart(name: str) -> tuple[str, str]:
    """Its database, "" where it names none, and what it is called there."""
    database, dot, bare = name.partition(".")
    return (database, bare) if dot else ("", name)


def database_of(name: str) -> str:
    return apart(name)[0]


def located(name: str, default_database: str) -> tuple[str, str]:
    """As :func:`apart`, with the deployment's database where it names none."""
    database, bare = apart(name)
    return database or default_database, bare


def qualified(name: str, database: str) -> str:
    """``name`` as it is called in ``database``, "" being the deployment's."""
    return f"{database}.{name}" if database else name


def shortened(name: str, characters: int) -> str:
    """With so many at the most for what it is called in its database."""
    database, bare = apart(name)
    return qualified(bare[:characters], database)


def can_be_made(name: str) -> bool:
    """Whether Milvus takes it for a collection or an alias that is not there yet."""
    return _MILVUS_NAME.fullmatch(apart(name)[1]) is not None
