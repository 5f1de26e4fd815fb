"""latency_provider: a provider that takes 400 ms; chunks/s against what concurrency allows.

Allowed are concurrency x batch size / latency: as if reading, storing and
keeping the checkpoints took no time at all.
"""

from __future__ import annotations

from benchmarks.figures import Figure, figure
from benchmarks.lab import Lab
from benchmarks.scale import Scale
from benchmarks.site import Site
from benchmarks.steady import watch
from migrations.settings import Settings


def latency_provider(lab: Lab) -> list[Figure]:
    scale, site = lab.scale, lab.site()
    rates = [_once(site) for _ in range(scale.repeat)]
    allowed = concurrency(scale) * scale.batch_size / scale.latency_seconds
    return [figure("latency_provider", rates, "chunks/s", [allowed])]


def concurrency(scale: Scale) -> int:
    """Calls under way at the same time, as shipped unless asked for fewer threads."""
    calls = int(Settings.model_fields["provider_concurrency"].default)
    return min(calls, scale.batch_threads or calls) * scale.batch_workers


def _once(site: Site) -> float:
    scale = site.scale
    site.renew()
    # Enough for the window at the rate allowed, and never less than the race's.
    allowed = concurrency(scale) * scale.batch_size / scale.latency_seconds
    needed = round(allowed * 1.5 * (scale.latency_window_seconds + 4))
    source = site.source(max(scale.chunks, needed), scale.from_dimension)
    site.provider.control(latency_seconds=scale.latency_seconds)
    bot = site.bot(source)
    run = bot.start(scale.to_dimension, scale.batch_size)
    window = watch(site.provider, [run], 2.0, scale.latency_window_seconds)
    site.provider.reset()
    bot.cancel(run)
    return window.rates[0]
