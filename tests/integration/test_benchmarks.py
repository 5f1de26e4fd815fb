"""One benchmark at work; the others tell for themselves when they are broken (``make bench``)."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.__main__ import measured
from benchmarks.lab import Lab
from benchmarks.scale import Scale


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is only one processor")
def test_a_benchmark_measures_on_processors_that_nothing_else_has(tmp_path: Path) -> None:
    usable = frozenset(os.sched_getaffinity(0))
    with Lab(tmp_path, replace(Scale.tiny(), switch=(50, 100), apart=True)) as lab:
        site = lab.site()
        ours = processors_of(os.getpid())
        busy = processors_of(site.milvus_server.pid, *site.worker_pids("batch"))
        others = processors_of(
            site.postgres.pid, site.redis_server.pid, *site.worker_pids("control")
        )
        found, faults = measured("switch", lab)
    assert ("switch", []) == (found[0].name, faults)
    assert (ours, {usable - next(iter(ours))}) == (others, busy)
    assert {usable} == processors_of(os.getpid()), "all are ours again afterwards"


def processors_of(*pids: int | None) -> set[frozenset[int]]:
    """Each set of processors that one of these processes may run on."""
    return {frozenset(os.sched_getaffinity(pid)) for pid in pids if pid is not None}
