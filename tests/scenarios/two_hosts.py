"""Two hosts share a migration; one of them is cut off for a while, and comes back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from tests.harness.ground import Ground
from tests.harness.hosts import WorkerHost, worker_host
from tests.harness.page import PlainPage
from tests.harness.world import LARGE, numbered_texts
from tests.scenarios.judging import BATCH

#: Each batch takes so long at the provider, so that there is something left to share.
LATENCY_SECONDS = 1.0
HOSTS = ("north", "south")


@dataclass(frozen=True)
class Told:
    """What was seen while one was away."""

    #: Connections to the provider, by host.
    connections: dict[str, int]
    #: Chunks, when both had begun and when the cut was over.
    done_before: int
    done_meanwhile: int
    #: How often the run was driven again, and one.
    epochs: int
    #: Texts whose vectors the lost host had been sent, at most what it had in work.
    paid_twice: int
    #: Seconds after which the page showed its workers as gone, and as there again.
    shown_gone_after: float
    shown_back_after: float


def share_a_migration(ground: Ground, chunks: int, cut_seconds: float) -> Told:
    """Raises AssertionError where anything is lost, or a host had no part in it."""
    bot = ground.seed_bot(numbered_texts(chunks))
    ground.provider.latency_seconds = LATENCY_SECONDS
    assert ground.asked == []
    with worker_host(ground, HOSTS[0]) as north, worker_host(ground, HOSTS[1]) as south:
        run = bot.start(LARGE, batch_size=BATCH)
        before = run.wait_for(lambda seen: _both_have_worked(north, south), 60)
        page = PlainPage(ground.url, ground.owner_token)
        _shown_after(page, "4 are alive", 60)
        south.cut_off()
        cut_at = time.monotonic()
        gone_after = _shown_after(page, "2 are alive", cut_seconds)
        while time.monotonic() < cut_at + cut_seconds and not run.progress()["finished"]:
            time.sleep(0.5)
        meanwhile = run.progress()
        south.connect()
        back_after = _shown_after(page, "4 are alive", 60)
        run.ends("completed", 600)
        ground.provider.latency_seconds = 0.0
        ground.assert_all_well(bot)
        row = ground.row(run)
    return Told(
        {host.name: host.wires["provider"].connections_made for host in (north, south)},
        _done(before),
        _done(meanwhile),
        row["epoch"],
        len(ground.paid_again(run, list(bot.history.certain().values()))),
        gone_after,
        back_after,
    )


def _shown_after(page: PlainPage, words: str, within_seconds: float) -> float:
    """Seconds until the page of the workers says so."""
    begun = time.monotonic()
    while words not in (shown := page.shows("workers")):
        assert time.monotonic() < begun + within_seconds, shown
        time.sleep(0.2)
    return round(time.monotonic() - begun, 1)


def _both_have_worked(*hosts: WorkerHost) -> bool:
    return all(host.wires["provider"].connections_made for host in hosts)


def _done(progress: dict[str, Any]) -> int:
    return int(progress["processed_chunks"])
