"""growth: what changes when the collection grows; nothing should, per chunk.

Vectors are small, so that the largest collection fits the machine. Every
migration has new workers, so that their peak of memory is its own. A
collection above ``once_above`` chunks is measured once, and one that takes
longer than ``longest_seconds`` is cancelled and judged by what it has done.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.figures import Figure, figure
from benchmarks.lab import Lab
from benchmarks.runs import Bot, Progress, Run, phase_seconds, seconds_between
from benchmarks.site import Site

#: What Redis may hold for each chunk, in bytes.
REDIS_BYTES_PER_CHUNK = 4.0


@dataclass
class _Seen:
    """One migration; times in seconds, sizes in bytes."""

    chunks: int
    #: Of the data migration phase, and of the whole; per chunk.
    copying: float = 0.0
    whole: float = 0.0
    planning: float = 0.0
    #: Of the phases that only look at every row.
    backup: float = 0.0
    verification: float = 0.0
    batch_memory: int = 0
    control_memory: int = 0
    #: The migration's own keys half-way, and what all of Redis has grown by at most.
    redis_keys: int = 0
    redis_all: int = 0
    redis_before: int = field(default=0, repr=False)


def growth(lab: Lab) -> list[Figure]:
    site, scale = lab.site(), lab.scale
    by_size = {
        chunks: [_once(site, chunks) for _ in range(scale.repeats_of(chunks))]
        for chunks in scale.growth
    }
    smallest, *larger = by_size
    found = [
        one
        for chunks in larger
        for one in _figures(f"growth.{chunks}", by_size[chunks], by_size[smallest])
    ]
    largest = next(one for one in found if one.name == f"growth.{max(by_size)}.time")
    return [replace(largest, name="growth"), *found]


def _figures(name: str, seen: list[_Seen], small: list[_Seen]) -> list[Figure]:
    """A size against the smallest one."""

    def against(what: str, unit: str, attribute: str, times: float, per_chunk: bool) -> Figure:
        def values(of: list[_Seen]) -> list[float]:
            return [times * getattr(s, attribute) / (s.chunks if per_chunk else 1) for s in of]

        return figure(f"{name}.{what}", values(seen), unit, values(small))

    return [
        against("time", "us/chunk", "copying", 1e6, True),
        against("whole_time", "us/chunk", "whole", 1e6, True),
        against("planning", "us/chunk", "planning", 1e6, True),
        against("backup", "us/chunk", "backup", 1e6, True),
        against("verification", "us/chunk", "verification", 1e6, True),
        against("batch_worker_memory", "MiB", "batch_memory", 2**-20, False),
        against("control_worker_memory", "MiB", "control_memory", 2**-20, False),
        _redis(f"{name}.redis", seen, "redis_keys"),
        _redis(f"{name}.redis_with_broker", seen, "redis_all"),
    ]


def _redis(name: str, seen: list[_Seen], attribute: str) -> Figure:
    values = [getattr(one, attribute) / one.chunks for one in seen]
    return figure(name, values, "bytes/chunk", [REDIS_BYTES_PER_CHUNK])


def _once(site: Site, chunks: int) -> _Seen:
    site.renew()
    source = site.source(chunks, site.scale.small_from)
    site.rest()
    seen = _Seen(chunks, redis_before=_used_by_redis(site))
    bot = site.bot(source)
    run = bot.start(site.scale.small_to, site.scale.batch_size)
    last = _watch(site, bot, run, seen)
    _read_times(site, run, last, seen)
    seen.batch_memory = sum(map(peak_memory_bytes, site.worker_pids("batch")))
    seen.control_memory = sum(map(peak_memory_bytes, site.worker_pids("control")))
    print(f"growth: {seen}")
    return seen


def _watch(site: Site, bot: Bot, run: Run, seen: _Seen) -> Progress:
    began = time.monotonic()
    for progress in run.watch(0.5, 10 * site.scale.longest_seconds):
        seen.redis_all = max(seen.redis_all, _used_by_redis(site) - seen.redis_before)
        if progress["phase"] == "data_migration" and progress["percent"] < 100:
            # The last look before the end: what is noted only grows.
            seen.redis_keys = max(seen.redis_keys, _size_of_keys(site, run))
        if time.monotonic() - began > site.scale.longest_seconds and not progress["finished"]:
            print(f"growth: {seen.chunks} chunks take too long; judged at {progress['percent']} %")
            bot.cancel(run)
            return progress
    assert progress["status"] == "completed", progress
    return progress


def _read_times(site: Site, run: Run, last: Progress, seen: _Seen) -> None:
    steps = {step: at for name, step, at in site.events(run.id) if name == "step_taken"}
    if "backfilling" in steps:
        seen.planning = seconds_between(steps["planning"], steps["backfilling"])
    if last["finished"]:
        seen.copying = phase_seconds(last, "data_migration")
        seen.whole = seconds_between(run.asked_at, last["finished_at"])
        seen.backup = phase_seconds(last, "backup_creation")
        seen.verification = phase_seconds(last, "verification")
    else:
        # At the pace it had: the time for all of it, were it to go on so.
        share = max(last["processed_chunks"], 1) / seen.chunks
        so_far = seconds_between(steps["backfilling"], last["updated_at"])
        seen.copying = seen.whole = so_far / share


def peak_memory_bytes(pid: int) -> int:
    """The most a process has held at any time (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def _size_of_keys(site: Site, run: Run) -> int:
    keys = site.redis.scan_iter(match=f"reembed:{{{run.id}}}:*")
    # SAMPLES 0: every element is counted, not a few of them scaled up.
    return sum(site.redis.memory_usage(key, samples=0) or 0 for key in keys)


def _used_by_redis(site: Site) -> int:
    """All it holds, looked at while it does not rewrite its log.

    For every 64 MB of log Redis 6 does, for a second or so, and keeps what is written
    meanwhile in blocks of 10 MB each, however little that is.
    """
    while (seen := site.redis.info())["aof_rewrite_in_progress"]:
        time.sleep(0.1)
    return int(seen["used_memory"])
