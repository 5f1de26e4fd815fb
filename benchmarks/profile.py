"""``python -m benchmarks.profile``: where the batch worker's time goes while data migrates.

py-spy looks at the worker a hundred times a second, from outside, holders of
the interpreter lock only, so that waiting is not counted as work. Written to
``build/profile.txt``: the functions by their own time and by the time of all
they call, and the folded stacks beside it for a flame graph.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import datetime
from pathlib import Path

from benchmarks.lab import Lab
from benchmarks.runs import Progress, Run
from benchmarks.scale import Engine, Scale
from benchmarks.site import Site
from devstack.server import PROJECT

BUILD = PROJECT / "build"
_SHOWN = 40
#: Samples by stack, outermost function first.
Stacks = Counter[tuple[str, ...]]


def main() -> int:
    options = _options()
    recorder = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or "py-spy"
    scale = Scale(chunks=options.chunks, batch_threads=options.batch_threads)
    BUILD.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as folder,
        Lab(Path(folder), scale) as lab,
    ):
        heading, stacks = _record(lab.site(options.engine), recorder, options.with_waiting)
    out = BUILD / "profile.txt"
    out.write_text("\n".join([heading, "", *_report(stacks), ""]))
    out.with_suffix(".folded").write_text(
        "\n".join(f"{';'.join(stack)} {samples}" for stack, samples in stacks.items())
    )
    print(out.read_text())
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--chunks", type=int, default=Scale.chunks)
    parser.add_argument("--batch-threads", type=int)
    parser.add_argument("--engine", type=Engine, choices=list(Engine), default=Engine.STANDALONE)
    parser.add_argument("--with-waiting", action="store_true", help="threads that wait, too")
    return parser.parse_args()


def _record(site: Site, recorder: str, with_waiting: bool) -> tuple[str, Stacks]:
    scale = site.scale
    bot = site.bot(site.source(scale.chunks, scale.from_dimension))
    site.rest()
    run = bot.start(scale.to_dimension, scale.batch_size)
    run.wait_for(lambda seen: seen["current_batch"] > 0)
    raw = site.folder / "stacks"
    pid = site.worker_pids("batch")[0]
    command = [recorder, "record", "--pid", str(pid), "--rate", "100", "--format", "raw"]
    command += ["--output", str(raw), "--idle" if with_waiting else "--gil", "--nonblocking"]
    recording = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    run.wait_for(lambda seen: seen["current_batch"] == seen["total_batches"])
    recording.send_signal(signal.SIGINT)
    _, errors = recording.communicate(timeout=60)
    if not raw.exists():
        raise RuntimeError(f"py-spy wrote nothing: {errors.decode()}")
    last = run.completed()
    heading = (
        f"{scale.chunks} chunks to {scale.to_dimension} dimensions on {site.engine}.\n"
        f"Phases: {_phases(last)}.\nSteps of data migration: {_steps(site, run, last)}."
    )
    return heading, _read(raw)


def _phases(last: Progress) -> str:
    return ", ".join(f"{item['phase']} {item['duration_seconds']:.2f} s" for item in last["phases"])


def _steps(site: Site, run: Run, last: Progress) -> str:
    """How long each took; a step ends where the next begins, the last one with its phase."""
    taken = [(step, at) for name, step, at in site.events(run.id) if name == "step_taken"]
    phase = next(item for item in last["phases"] if item["phase"] == "data_migration")
    ends = [*(at for _, at in taken[1:]), datetime.fromisoformat(phase["finished_at"])]
    return ", ".join(
        f"{step} {(end - at).total_seconds():.2f} s"
        for (step, at), end in zip(taken, ends, strict=True)
    )


def _read(raw: Path) -> Stacks:
    stacks: Stacks = Counter()
    for line in raw.read_text().splitlines():
        frames, _, samples = line.rpartition(" ")
        stacks[tuple(frames.split(";"))] += int(samples)
    return stacks


def _report(stacks: Stacks) -> list[str]:
    own: Counter[str] = Counter()
    all_of: Counter[str] = Counter()
    for stack, samples in stacks.items():
        own[stack[-1]] += samples
        for frame in set(stack):
            all_of[frame] += samples
    total = max(1, stacks.total())
    return [
        f"{total} samples.",
        "",
        "Own time, per cent",
        *_lines(own, total),
        "",
        "With all they call, per cent",
        *_lines(all_of, total),
    ]


def _lines(samples: Counter[str], total: int) -> list[str]:
    return [f"{100 * n / total:6.1f}  {frame}" for frame, n in samples.most_common(_SHOWN)]


if __name__ == "__main__":
    sys.exit(main())
