"""Why PostgreSQL cannot be reached, in a sentence that says what to put right.

libpq has no codes for what goes wrong while connecting, so its words are looked at; where they
are unknown, or in another language, the general sentence remains. None repeats a value.
"""

from __future__ import annotations

import re

_URL = "REEMBED_DATABASE_URL"
#: PostgreSQL's words and PgBouncer's.
_SENTENCES = {
    r"password authentication failed|no password supplied|SASL authentication failed": (
        f"PostgreSQL refuses the user or the password in {_URL}."
    ),
    r'role "[^"]*" (does not exist|is not permitted)|no such user': (
        f"PostgreSQL does not let the user in {_URL} in."
    ),
    r'database "[^"]*" does not exist|no such database': (
        f"PostgreSQL does not have the database in {_URL}."
    ),
    r"no pg_hba\.conf entry|pg_hba\.conf rejects": (
        f"PostgreSQL does not let the user in {_URL} in from this machine, or not without TLS."
    ),
    r"does not support SSL|(SSL|TLS) required|invalid sslmode": (
        f"The sslmode in {_URL} is not one that PostgreSQL offers."
    ),
    r"certificate": f"PostgreSQL's certificate is not one that the sslmode in {_URL} accepts.",
    r"could not translate host name": f"The host in {_URL} is not known.",
    r"Connection refused|timeout expired|No route to host|unreachable": (
        f"Nothing answers at the host and port in {_URL}."
    ),
    r"remaining connection slots|too many (clients|connections)|no more connections": (
        "PostgreSQL has no connection left for us."
    ),
}


def refusal_of(words: str) -> str | None:
    """The sentence for what the driver says; None for the general one."""
    found = (text for pattern, text in _SENTENCES.items() if re.search(pattern, words))
    return next(found, None)
