"""Phase 7: temporary keys go; the previous collection stays for the retention window."""

from __future__ import annotations

from typing import Any

from migrations.aliases import reconcile
from migrations.run import Run


def run(run: Run) -> dict[str, Any]:
    """Look at the alias once more and forget the checkpoints."""
    run.patiently(lambda: reconcile(run.services, run.migration.bot_id))
    run.services.checkpoints.forget(run.migration.id)
    return {}


def undo(run: Run) -> None:
    """Comes after the switch; there is nothing to undo."""
