"""A run that is steered on its way, over HTTP, on real processes."""

from __future__ import annotations

from typing import Any

from devstack.provider import tokens_of
from tests.harness.bots import Run, expect
from tests.harness.world import LARGE, World

CHUNKS, BATCH = 200, 5


def steer(run: Run, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Sent twice: the second time is answered like the first."""
    path = f"/embeddings/migration/{run.id}/{what}"
    first, second = (expect(202, run.api.post(path, body)) for _ in range(2))
    assert (first["message"], run.id) == (second["message"], second["migration"]["migration_id"])
    return dict(first["migration"])


def moved(run: Run) -> int:
    return int(run.progress()["processed_chunks"])


def test_a_run_is_paused_slowed_down_given_time_and_switched_by_hand(world: World) -> None:
    bot, another = world.seed_bot(CHUNKS), world.seed_bot(60)
    run = bot.start(LARGE, batch_size=BATCH, postpone=True, timeout_seconds=600)
    slow = steer(run, "throttle", {"requests_per_minute": 60})
    assert 60 == slow["pace"]["requests_per_minute"]
    run.wait_for(lambda seen: seen["processed_chunks"] >= 2 * BATCH)

    assert "paused" == steer(run, "pause", {"reason": "To see what happens."})["status"]
    there = another.migrate(LARGE, batch_size=BATCH)  # by then everybody has heard of the pause
    when_paused = moved(run)
    there.roll_back().ends("completed")
    assert when_paused == moved(run) < CHUNKS
    assert "To see what happens." == run.progress()["paused"]["reason"]

    steer(run, "throttle", {"requests_per_minute": 0.001})
    steer(run, "resume")
    another.migrate(LARGE, batch_size=BATCH)
    assert when_paused <= moved(run) <= when_paused + BATCH
    steer(run, "extend", {"timeout_seconds": 3600})
    assert 3600 == run.progress()["timeout_seconds"]

    expect(202, run.api.delete(f"/embeddings/migration/{run.id}/throttle"))
    waits = run.ends("waiting")
    assert (CHUNKS, 0) == (waits["processed_chunks"], waits["failed_chunks"])
    expect(202, run.api.post(waits["links"]["switch"]))
    run.ends("completed")
    report = expect(200, run.api.get(f"/embeddings/migration/{run.id}/report"))
    texts = bot.history.initial.values()
    assert sum(map(tokens_of, texts)) == report["tokens"]["data_migration"]
    world.assert_all_well(bot)
