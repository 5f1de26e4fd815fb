"""What a worker does for a message about a run that has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from migrations.model import task_names as names
from migrations.process.services import Services
from migrations.way_back.kept import drop_kept, retire
from migrations.way_back.late_writes import sweep_when_due


def chore(services: Services, message: Mapping[str, Any]) -> tuple[str, Callable[[], object]]:
    """The task's name and what it calls."""
    migration_id = UUID(message["migration_id"])
    match message["kind"]:
        case "sweep":
            return names.SWEEP, lambda: sweep_when_due(
                services, services.store.migration(migration_id)
            )
        case "retire":
            return names.RETIRE, lambda: retire(services, migration_id)
        case "drop_held":
            return names.DROP_KEPT, lambda: drop_kept(services, message["collection"])
    raise AssertionError(message)
