"""Which roles may call which route: the one place that says so.

A route without a line here is for users and admins, so that a new one is open to no chatbot and
to nobody who only watches until somebody has said that it is. Whose bots they are is asked
afterwards, by the use case.
"""

from __future__ import annotations

from collections.abc import Mapping

from migrations.model.bots import Role

_USERS = frozenset({Role.USER})
#: Those who look, and those who may change what they see.
_WATCHERS = _USERS | {Role.READ}
#: Those who ask a bot, as a chatbot does for each question.
_ASKERS = _USERS | {Role.QUERY}
_ANYBODY = _WATCHERS | _ASKERS
_ADMINS: frozenset[Role] = frozenset()

#: Method and rule, as Flask has it, to the roles beside admin's.
ROUTES: Mapping[str, frozenset[Role]] = {
    "GET /bots": _WATCHERS,
    "GET /bots/<bot_id>": _WATCHERS,
    "GET /bots/<bot_id>/golden-queries": _WATCHERS,
    "GET /bots/<bot_id>/chunks/journal": _WATCHERS,
    "GET /bots/<bot_id>/embeddings/live": _ANYBODY,
    "GET /bots/<bot_id>/embeddings/migration-status": _WATCHERS,
    "GET /bots/<bot_id>/embeddings/dimension-info": _WATCHERS,
    "GET /embeddings/migration/<migration_id>/progress": _WATCHERS,
    "GET /embeddings/migration/<migration_id>/events": _WATCHERS,
    "GET /embeddings/migration/<migration_id>/keys": _WATCHERS,
    "GET /embeddings/migration/<migration_id>/report": _WATCHERS,
    "GET /embeddings/migrations": _WATCHERS,
    "GET /embeddings/migrations/active": _ADMINS,
    "GET /embeddings/migration/<migration_id>/spend": _WATCHERS,
    "GET /bots/<bot_id>/spend": _WATCHERS,
    "GET /bots/<bot_id>/conflicts": _WATCHERS,
    "GET /kept-collections": _WATCHERS,
    "GET /spend": _WATCHERS,
    "GET /workers": _WATCHERS,
    "POST /bots/<bot_id>/search": _ASKERS,
    "POST /v1/embeddings": _ASKERS,
    "GET /v1/models": _ANYBODY,
    "GET /v1/models/<model>": _ANYBODY,
}


def roles_of(method: str, rule: str) -> frozenset[Role]:
    """Those that may beside admins; HEAD is what GET is."""
    asked = "GET" if method == "HEAD" else method
    return ROUTES.get(f"{asked} {rule}", _USERS)
