"""migrate_phase and whole_migration: against the script one would write instead.

Script and migration take turns on the same servers and the same source, each
from an empty target that is dropped afterwards, and neither begins before
Milvus is at rest. What is in each window:

* migrate_phase: our data_migration phase by its own times (cutting the keys,
  all batches, catching up until a pass is quiet), against the script's copying
  loop alone.
* whole_migration: from our request to start until the migration says that it
  has completed (validation, backup, target, data, verification of the
  loaded target, last catching up, switch, first sweep), against the script from the
  first line of its main, imports left out, until its flush has returned. The
  script compares nothing. At this size neither waits for its index (see
  ``REEMBED_UNINDEXED_ROWS``); a figure with that wait on both sides is shown beside.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.figures import Figure, figure
from benchmarks.lab import Lab
from benchmarks.runs import phase_seconds, seconds_between
from benchmarks.scale import Engine
from benchmarks.site import Site
from benchmarks.source import TIMEOUT_SECONDS, TO_MODEL, Source, count, wait_indexed

SCRIPT = Path(__file__).with_name("plain_script.py")
_SCRIPT_TARGET = "script_target"


@dataclass(frozen=True)
class Lap:
    """One time over the source, in seconds; ``indexed`` is the whole with a built index."""

    copying: float
    whole: float
    indexed: float


@dataclass(frozen=True)
class Race:
    """All laps on one engine: ours, and the script's by its number of threads."""

    engine: Engine
    chunks: int
    ours: Sequence[Lap]
    script: dict[int, Sequence[Lap]]


_races: dict[Engine, Race] = {}


def migrate_phase(lab: Lab) -> list[Figure]:
    found = [one for race in _all(lab) for one in _figures(race, "migrate_phase", "copying")]
    return [_headline("migrate_phase", lab, found), *found]


def whole_migration(lab: Lab) -> list[Figure]:
    found: list[Figure] = []
    for race in _all(lab):
        found += _figures(race, "whole_migration", "whole")
        found += _figures(race, "whole_migration", "indexed", "_until_indexed")
    return [_headline("whole_migration", lab, found), *found]


def _figures(race: Race, name: str, window: str, suffix: str = "") -> list[Figure]:
    """Chunks a second of ours against each script's."""

    def rates(laps: Sequence[Lap]) -> list[float]:
        return [race.chunks / getattr(lap, window) for lap in laps]

    return [
        figure(
            f"{name}.{race.engine}.{threads}_threads{suffix}",
            rates(race.ours),
            "chunks/s",
            rates(laps),
        )
        for threads, laps in race.script.items()
    ]


def _headline(name: str, lab: Lab, found: list[Figure]) -> Figure:
    """The one that is asked about first: the main engine, the script with the most threads."""
    full = f"{name}.{lab.scale.main_engine}.{max(lab.scale.script_threads)}_threads"
    return replace(next(one for one in found if one.name == full), name=name)


def _all(lab: Lab) -> list[Race]:
    """Run once, however many benchmarks read them."""
    for engine in lab.scale.engines:
        if engine not in _races:
            _races[engine] = _run(lab.site(engine), lab)
    return [_races[engine] for engine in lab.scale.engines]


def _run(site: Site, lab: Lab) -> Race:
    scale = lab.scale
    site.renew()
    source = site.source(scale.chunks, scale.from_dimension)
    ours: list[Lap] = []
    script: dict[int, list[Lap]] = {threads: [] for threads in scale.script_threads}
    for _ in range(scale.repeat):
        for threads, laps in script.items():
            laps.append(_script_lap(site, source, threads))
        ours.append(_our_lap(site, source))
    return Race(site.engine, scale.chunks, ours, dict(script))


def _script_lap(site: Site, source: Source, threads: int) -> Lap:
    site.clear()
    options = {
        "--milvus": site.milvus_server.url,
        "--model": TO_MODEL,
        "--dimension": str(site.scale.to_dimension),
        "--batch": str(site.scale.batch_size),
        "--threads": str(threads),
    }
    flags = [part for option in options.items() for part in option]
    command = [sys.executable, str(SCRIPT), source.name, _SCRIPT_TARGET, *flags]
    output = subprocess.run(
        command, env=site.script_environment(), check=True, stdout=subprocess.PIPE
    ).stdout
    ended = time.perf_counter()
    wait_indexed(site.milvus, _SCRIPT_TARGET)
    waited = time.perf_counter() - ended
    steps = json.loads(output)
    _tell_of_losses(site, f"script, {threads} threads", steps["rows"], source.chunks)
    whole = steps["flushed"]
    return Lap(steps["copied"] - steps["created"], whole, whole + waited)


def _tell_of_losses(site: Site, who: str, read: int, expected: int) -> None:
    stored = count(site.milvus, _SCRIPT_TARGET)
    if (read, stored) != (expected, expected):
        print(f"{site.engine}: {who} read {read} and stored {stored} of {expected} chunks.")


def _our_lap(site: Site, source: Source) -> Lap:
    site.clear()
    bot = site.bot(source)
    run = bot.start(site.scale.to_dimension, site.scale.batch_size)
    last = run.completed()
    assert last["processed_chunks"] == source.chunks, last
    whole = seconds_between(run.asked_at, last["finished_at"])
    ended = time.perf_counter()
    target = bot.live_collection()
    site.milvus.flush(target, timeout=TIMEOUT_SECONDS)
    wait_indexed(site.milvus, target)
    waited = time.perf_counter() - ended
    return Lap(phase_seconds(last, "data_migration"), whole, whole + waited)
