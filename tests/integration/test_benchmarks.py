"""The benchmarks run and write what they promise; how fast anything was is not asked here."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks.figures import Figure, figure, percentile
from benchmarks.processors import Processors
from benchmarks.scale import Engine, Scale
from benchmarks.site import Site
from benchmarks.switch import Call, affected_seconds
from devstack.server import PROJECT

#: Each of them in the file under its own name.
NAMES = (
    "migrate_phase", "whole_migration", "limited_provider", "latency_provider",
    "growth", "orchestration", "api_latency", "switch",
)  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What one tiny run of all benchmarks has written."""
    out: Path = tmp_path_factory.mktemp("bench") / "bench.json"
    command = [sys.executable, "-m", "benchmarks", "--tiny", "--out", str(out)]
    ended = subprocess.run(
        command, cwd=PROJECT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert ended.returncode == 0, ended.stdout.decode()[-4000:]
    return list(orjson.loads(out.read_bytes()))


@pytest.mark.timeout(900)  # the first test waits for all benchmarks
@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_writes_a_figure_under_its_own_name(
    written: list[dict[str, Any]], name: str
) -> None:
    found = [entry for entry in written[:-1] if entry["name"] == name]
    assert 1 == len(found)
    assert found[0]["value"] > 0
    assert found[0]["ratio"] == pytest.approx(found[0]["value"] / found[0]["baseline"])


def test_every_entry_has_the_same_members_and_finite_numbers(
    written: list[dict[str, Any]],
) -> None:
    for entry in written[:-1]:
        assert {"name", "value", "unit", "baseline", "ratio"} == set(entry)
        assert entry["name"].split(".")[0] in NAMES
        assert math.isfinite(entry["value"])
        assert math.isfinite(entry["baseline"])


def test_the_last_entry_tells_of_the_machine_and_the_versions(
    written: list[dict[str, Any]],
) -> None:
    assert {"machine", "versions"} == set(written[-1])
    assert written[-1]["machine"]["cpus"] > 0
    assert {"python", "pymilvus", "celery"} <= set(written[-1]["versions"])


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is only one processor")
def test_milvus_and_the_batch_workers_have_processors_that_nothing_else_has(
    tmp_path: Path,
) -> None:
    usable = frozenset(os.sched_getaffinity(0))
    with Site(tmp_path, Engine.LITE, replace(Scale.tiny(), apart=True)) as site:
        ours = processors_of(os.getpid())
        busy = processors_of(site.milvus_server.pid, *site.worker_pids("batch"))
        others = processors_of(
            site.postgres.pid, site.redis_server.pid, *site.worker_pids("control")
        )
    assert (ours, {usable - next(iter(ours))}) == (others, busy)
    assert {usable} == processors_of(os.getpid()), "all are ours again afterwards"


def processors_of(*pids: int | None) -> set[frozenset[int]]:
    """Each set of processors that one of these processes may run on."""
    return {frozenset(os.sched_getaffinity(pid)) for pid in pids if pid is not None}


def test_a_single_processor_cannot_be_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    with pytest.raises(ValueError, match="only one processor"):
        Processors.divided()


def test_a_figure_is_of_the_medians_of_both_sides() -> None:
    assert Figure("rate", 20.0, "chunks/s", 5.0) == figure(
        "rate", [10, 90, 20], "chunks/s", [5, 1, 9]
    )
    assert 4.0 == Figure("rate", 20.0, "chunks/s", 5.0).ratio


def test_a_figure_without_a_baseline_has_no_ratio() -> None:
    assert Figure("reads", 0.0, "ms", 0.0).ratio is None


@pytest.mark.parametrize(("percent", "expected"), [(50, 2), (75, 3), (99, 4), (100, 4)])
def test_a_percentile_is_one_of_the_values(percent: int, expected: float) -> None:
    assert expected == percentile([4, 1, 3, 2], percent)


def test_calls_that_all_succeed_are_affected_for_no_time() -> None:
    assert 0.0 == affected_seconds([Call(0, 1, None), Call(2, 3, None)])


def test_a_failure_counts_from_the_last_good_call_to_the_next() -> None:
    calls = [Call(0, 1, None), Call(2, 3, "gone"), Call(4, 5, "gone"), Call(6, 7, None)]
    assert 6.0 == affected_seconds([*calls, Call(8, 9, None)])


def test_failures_to_the_very_end_count_as_well() -> None:
    assert 4.0 == affected_seconds([Call(0, 1, None), Call(2, 3, "gone"), Call(4, 5, "gone")])
