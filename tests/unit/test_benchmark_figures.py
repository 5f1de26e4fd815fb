"""What the benchmarks make of what they have measured; how fast anything was is not asked here."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path
from typing import cast

import orjson
import pytest

from benchmarks import __main__ as bench
from benchmarks.back_at_once import longest_pause
from benchmarks.figures import Figure, faults, figure, machine, percentile, write
from benchmarks.lab import Lab
from benchmarks.processors import Processors, staying_on
from benchmarks.switch import PAUSE_SECONDS, Call, affected_seconds

RATE = Figure("rate", 20.0, "chunks/s", 5.0)


def test_a_figure_is_of_the_medians_of_both_sides() -> None:
    assert RATE == figure("rate", [10, 90, 20], "chunks/s", [5, 1, 9])
    assert 4.0 == RATE.ratio


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


def test_a_pause_is_between_good_answers_without_that_of_the_reader() -> None:
    calls = [Call(0, 1, None), Call(1, 2, "gone"), Call(2, 4, None), Call(4, 5, None)]
    assert 3.0 - PAUSE_SECONDS == longest_pause(calls)


def test_a_single_processor_cannot_be_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    with pytest.raises(ValueError, match="only one processor"):
        Processors.divided()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is only one processor")
def test_what_is_started_on_processors_of_its_own_stays_there_alone() -> None:
    usable, divided = os.sched_getaffinity(0), Processors.divided()
    assert not divided.busy & divided.others
    with staying_on(divided.busy):
        child = subprocess.Popen(["sleep", "60"])
    try:
        assert divided.busy == os.sched_getaffinity(child.pid)
        assert usable == os.sched_getaffinity(0), "all are ours again afterwards"
    finally:
        child.kill()
        child.wait()


def test_the_file_has_every_figure_and_last_the_machine_and_the_versions(tmp_path: Path) -> None:
    write(tmp_path / "new" / "bench.json", [RATE], machine(apart=False))
    entry, about = orjson.loads((tmp_path / "new" / "bench.json").read_bytes())
    expected = {"name": "rate", "value": 20.0, "unit": "chunks/s", "baseline": 5.0, "ratio": 4.0}
    assert expected == entry
    assert {"machine", "versions"} == set(about)
    assert about["machine"]["cpus"] > 0
    assert {"python", "pymilvus", "celery"} <= set(about["versions"])


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ([], "0 figures"),
        ([RATE, RATE], "2 figures"),
        ([RATE, Figure("rates.of_another", 1.0, "s", 1.0)], "another"),
        ([RATE, Figure("rate.lost", math.nan, "s", 1.0)], "nan"),
        ([Figure("rate", 1.0, "chunks/s", math.inf)], "inf"),
        ([Figure("rate", 0.0, "chunks/s", 5.0)], "0.0"),
    ],
)
def test_a_benchmark_that_measured_nothing_is_found_out(found: list[Figure], word: str) -> None:
    assert [] == faults("rate", [RATE, Figure("rate.slowest", 0.0, "s", 0.0)])
    (fault,) = faults("rate", found)
    assert word in fault


def test_a_benchmark_that_breaks_is_told_and_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Lab) -> list[Figure]:
        raise AssertionError("chunks are missing")

    monkeypatch.setattr(bench, "BENCHMARKS", {"rate": lambda _: [RATE], "broken": broken})
    lab = cast("Lab", None)
    assert ([], ["AssertionError: chunks are missing"]) == bench.measured("broken", lab)
    assert "in broken" in capsys.readouterr().err
    assert ([RATE], []) == bench.measured("rate", lab)


def test_a_run_with_a_broken_benchmark_fails_after_all_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = {"nothing": lambda _: [], "rate": lambda _: [RATE]}
    monkeypatch.setattr(bench, "BENCHMARKS", table)
    monkeypatch.setattr(bench, "BUILD", tmp_path)
    monkeypatch.setattr(bench.signal, "signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["benchmarks", "--out", str(tmp_path / "bench.json")])
    assert 1 == bench.main()
    assert "nothing is broken: 0 figures" in capsys.readouterr().out
    assert "rate" == orjson.loads((tmp_path / "bench.json").read_bytes())[0]["name"]
