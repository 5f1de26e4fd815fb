"""Settings that are each allowed, and together mean what nobody wants."""

from __future__ import annotations

from migrations.model.findings import Finding, warning
from migrations.settings import Settings


def contradictions(settings: Settings) -> list[Finding]:
    found = []
    if settings.stalled_after_seconds < 3 * settings.heartbeat_seconds:
        found.append(
            warning(
                "settings-heartbeat",
                f"REEMBED_STALLED_AFTER_SECONDS is {settings.stalled_after_seconds:g} and "
                f"REEMBED_HEARTBEAT_SECONDS {settings.heartbeat_seconds:g}: one late heartbeat "
                "drives a migration again that is well.",
                "Have the silence at least three times the heartbeat.",
            )
        )
    if settings.default_timeout_seconds > settings.max_timeout_seconds:
        found.append(
            warning(
                "settings-timeout",
                "REEMBED_DEFAULT_TIMEOUT_SECONDS is larger than REEMBED_MAX_TIMEOUT_SECONDS: who "
                "asks for the default by number is refused.",
                "Raise the larger one's limit, or lower the default.",
            )
        )
    if settings.retention_hours == 0:
        found.append(
            warning(
                "settings-no-way-back",
                "REEMBED_RETENTION_HOURS is 0: a switch cannot be taken back.",
                "Set it to as long as somebody may need to notice; the default is 72.",
            )
        )
    if settings.milvus_timeout_seconds > settings.default_timeout_seconds:
        found.append(
            warning(
                "settings-milvus-timeout",
                "One call to Milvus may take longer than a migration has by default.",
                "Lower REEMBED_MILVUS_TIMEOUT_SECONDS.",
            )
        )
    return found
