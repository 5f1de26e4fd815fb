"""Every problem: its code, status and sentence."""

from __future__ import annotations

from api.problems import HTTP_TABLE, TABLE
from migrations.model import errors as domain
from reference.markdown import code, heading, table

_INTRODUCTION = """
A refusal over HTTP is a problem document (RFC 9457, `application/problem+json`): `type` is
`/problems/<code>`, `detail` says what is wrong here and what to do, and further members say more.
The same codes stand in the errors of a migration and in the logs.
The sentence below is what is said where nothing more precise is known.
"""
_KINDS: tuple[tuple[str, type[domain.ReembedError], str], ...] = (
    ("The request", domain.RequestError, "Change the request and send it again."),
    ("The state", domain.TransitionRefused, "Not now: the state does not allow it."),
    (
        "It passes",
        domain.TransientError,
        "The system tries again; you may, after `Retry-After`.",
    ),
    ("It stays", domain.PermanentError, "Another try would not help; a migration is rolled back."),
)
_HEADINGS = ("code", "status", "title", "sentence")


def page() -> str:
    parts = [heading("Errors"), _INTRODUCTION]
    left = dict(TABLE)
    for title, base, meaning in _KINDS:
        found = [error for error in left if issubclass(error, base)]
        parts.append(f"\n## {title}\n\n{meaning}\n\n{_table(found)}")
        for error in found:
            del left[error]
    parts.append(f"\n## Others\n\n{_table(list(left))}")
    rows = [
        (code(kind.code), str(status), kind.title, kind.detail)
        for status, kind in HTTP_TABLE.items()
    ]
    parts.append(f"\n## Before a route is reached\n\n{table(_HEADINGS, rows)}")
    return "".join(parts)


def _table(found: list[type[domain.ReembedError]]) -> str:
    rows = {
        error.code: (
            code(error.code),
            str(TABLE[error].status),
            TABLE[error].title,
            domain.first_sentence(error),
        )
        for error in found
    }
    return table(_HEADINGS, [rows[name] for name in sorted(rows)])
