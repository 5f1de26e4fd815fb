"""What is due after a run has ended: sweeps, retiring and dropping, found and enqueued.

The watchdog only enqueues: a sweep reads a whole collection, and stalled migrations
must not wait for it. Each claim and its message are one transaction, so two watchdogs
enqueue once; what dies with its worker is due again after a while.
"""

from __future__ import annotations

from migrations.process import outbox
from migrations.process.services import Services

#: When retiring or dropping is tried again after it was refused or its worker died.
AGAIN_SECONDS = 300.0


def enqueue_due(services: Services) -> int:
    """Claim everything that is due and send its messages; the number of messages."""
    store, settings = services.store, services.settings
    claimed = store.claim_sweeps(
        settings.sweep_first_seconds, settings.sweep_second_seconds, settings.sweep_every_seconds
    )
    claimed += store.claim_retirements(AGAIN_SECONDS)
    claimed += store.claim_drops(AGAIN_SECONDS)
    for migration_id in dict.fromkeys(claimed):
        outbox.send_of(services, migration_id)
    return len(claimed)
