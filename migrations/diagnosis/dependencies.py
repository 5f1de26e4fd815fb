"""How the services are that answer, and what it means that one does not."""

from __future__ import annotations

from migrations.model.errors import ReembedError, VectorStoreLoginRefused, VectorStoreRefused
from migrations.model.findings import Finding, warning
from migrations.ports.checkpoints import Condition, evicting
from migrations.ports.watch_store import SchemaRevision

#: Of its maxmemory: from here on it is a matter of time.
MEMORY_IS_SHORT = 0.9


def silent(service: str, error: ReembedError) -> Finding:
    """It has not answered, or has refused to."""
    match service:
        case "postgresql":
            return Finding(
                "postgresql-away",
                f"PostgreSQL cannot be asked: {error.message}",
                "Bring it back. Nothing changes its state without it; work goes on by itself.",
            )
        case "redis":
            return Finding(
                "redis-away",
                f"Redis cannot be asked: {error.message}",
                "Bring it back. Migrations wait for it and go on by themselves; bots go on "
                "answering.",
            )
        case _:
            return _milvus(error)


def _milvus(error: ReembedError) -> Finding:
    if isinstance(error, VectorStoreLoginRefused):
        return Finding(
            "milvus-login",
            f"Milvus refuses the login: {error.message}",
            "Set REEMBED_MILVUS_TOKEN to a token, or user:password, that Milvus knows, and restart "
            "the API and the workers.",
        )
    if isinstance(error, VectorStoreRefused):
        return Finding(
            "milvus-refuses", f"Milvus refuses to answer: {error.message}", "See Milvus' log."
        )
    return Finding(
        "milvus-away",
        f"Milvus cannot be asked: {error.message}",
        "Bring it back, or free it from load. Migrations wait for it and go on by themselves; "
        "searches fail meanwhile.",
    )


def wrong_with_schema(revision: SchemaRevision) -> list[Finding]:
    if revision.is_behind:
        return [
            Finding(
                "schema-behind",
                f"The database has schema revision {revision.at}, and this version needs "
                f"{revision.newest}.",
                "Run: celery -A worker reembed upgrade-schema",
            )
        ]
    if not revision.is_known:
        return [
            warning(
                "schema-ahead",
                f"The database has schema revision {revision.at}, which this version "
                f"(up to {revision.newest}) does not know.",
                "Finish the upgrade: restart this process with the newer version.",
            )
        ]
    return []


def wrong_with_redis(condition: Condition) -> list[Finding]:
    found = []
    if condition.refusal is not None:
        found.append(
            Finding(
                "redis-refuses-writes",
                f"Redis answers and takes no writes: {condition.refusal}",
                _remedy_for(condition.refusal),
            )
        )
    if told := evicting(condition.evicts_by):
        found.append(
            warning(
                "redis-evicts", told, "Set maxmemory-policy noeviction, in its configuration too."
            )
        )
    if condition.refusal is None and condition.memory_share > MEMORY_IS_SHORT:
        found.append(
            warning(
                "redis-memory-short",
                f"Redis has used {condition.memory_share:.0%} of its maxmemory.",
                "Raise maxmemory, or find what fills it: redis-cli --bigkeys.",
            )
        )
    return found


def _remedy_for(refusal: str) -> str:
    if refusal.startswith("OOM"):
        return "Raise its maxmemory, or find what fills it: redis-cli --bigkeys."
    if refusal.startswith("MISCONF"):
        return "Free the disk that it saves to; its log says why saving fails."
    if refusal.startswith("READONLY"):
        return "Point REEMBED_REDIS_URL to the primary; this is a replica."
    return "See Redis' log, and what the user in REEMBED_REDIS_URL may do."
