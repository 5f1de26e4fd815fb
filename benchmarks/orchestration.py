"""orchestration: seconds for 1,000 batches that have nothing to embed.

Against as many of Celery's own no-op tasks (``celery.accumulate``) on the same
workers, in chords of the same size, as many of them in flight: what any design
of this shape would cost.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from celery import Celery, chord, group
from celery.canvas import Signature

from benchmarks.figures import Figure, figure
from benchmarks.lab import Lab
from benchmarks.site import Site
from migrations.model.task_names import BATCH_QUEUES
from migrations.settings import Settings

_WAVE = int(Settings.model_fields["wave_size"].default)
_LANES = int(Settings.model_fields["waves_in_flight"].default)
_NO_OP = "celery.accumulate"
_LONGEST_SECONDS = 300


def orchestration(lab: Lab) -> list[Figure]:
    site = lab.site()
    batches, ours, bare = lab.scale.empty_batches, [], []
    for _ in range(lab.scale.repeat):
        site.renew("benchmarks.empty_batches")
        bare.append(_no_ops(site, batches) * 1000 / batches)
        ours.append(_empty_batches(site, batches) * 1000 / batches)
    site.renew()
    return [figure("orchestration", ours, "s/1000 batches", bare)]


def _empty_batches(site: Site, batches: int) -> float:
    """From the first wave's opening until every batch is marked."""
    source = site.source(batches, site.scale.small_from)
    bot = site.bot(source)
    run = bot.start(site.scale.small_to, 1)
    run.wait_for(lambda seen: seen["current_batch"] == seen["total_batches"] == batches, 0.01)
    ended = time.time()
    opened = next(at for _, what, at in site.events(run.id) if what == "backfilling")
    bot.cancel(run)
    return ended - opened.timestamp()


def _no_ops(site: Site, tasks: int) -> float:
    with Celery("bench", broker=site.redis_server.url, backend=site.redis_server.url) as app:
        app.conf.update(
            task_create_missing_queues=True,
            result_expires=60,
            task_serializer="json",
            task_default_exchange="migrations",
            task_default_exchange_type="direct",
        )
        counts = [_WAVE] * (tasks // _WAVE) + ([tasks % _WAVE] if tasks % _WAVE else [])
        began = time.monotonic()
        with ThreadPoolExecutor(_LANES) as lanes:
            list(lanes.map(lambda size: _wave(app, size), counts))
        return time.monotonic() - began


def _wave(app: Celery, size: int) -> None:
    def no_op() -> Signature:
        return app.signature(_NO_OP, args=[1]).set(queue=BATCH_QUEUES[0])

    chord(group(no_op() for _ in range(size)), no_op(), app=app).apply_async().get(
        timeout=_LONGEST_SECONDS, interval=0.005
    )
