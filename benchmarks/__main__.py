"""``python -m benchmarks``: measure, show a table, write a file."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.api_latency import api_latency
from benchmarks.back_at_once import back_at_once
from benchmarks.embeddings import embeddings
from benchmarks.figures import Figure, faults, machine, show, write
from benchmarks.growth import growth
from benchmarks.lab import Lab
from benchmarks.latency_provider import latency_provider
from benchmarks.limited_provider import limited_provider
from benchmarks.looking import looking
from benchmarks.orchestration import orchestration
from benchmarks.race import migrate_phase, whole_migration
from benchmarks.scale import Engine, Scale, positive_integers
from benchmarks.search import search
from benchmarks.slow_clients import slow_clients
from benchmarks.steering import steering
from benchmarks.switch import switch
from devstack.server import PROJECT

#: In the order they are shown.
BENCHMARKS: dict[str, Callable[[Lab], list[Figure]]] = {
    "migrate_phase": migrate_phase,
    "whole_migration": whole_migration,
    "limited_provider": limited_provider,
    "steering": steering,
    "latency_provider": latency_provider,
    "growth": growth,
    "orchestration": orchestration,
    "api_latency": api_latency,
    "looking": looking,
    "embeddings": embeddings,
    "slow_clients": slow_clients,
    "search": search,
    "switch": switch,
    "back_at_once": back_at_once,
}
BUILD = PROJECT / "build"


def main() -> int:
    options = _options()
    names = options.only or list(BENCHMARKS)
    signal.signal(signal.SIGTERM, _end)
    scale = _scale(options)
    about = machine(apart=scale.apart)
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as folder:
        figures, broken = _measure(names, Path(folder), scale)
    show(figures)
    write(options.out, figures, about)
    for name, reasons in broken.items():
        print(f"{name} is broken: {' '.join(reasons)}")
    return 1 if broken else 0


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(1)  # leaves the servers' contexts, which stop them


def _measure(
    names: Sequence[str], folder: Path, scale: Scale
) -> tuple[list[Figure], dict[str, list[str]]]:
    """The figures; and by benchmark, why it has none or wrong ones."""
    figures: list[Figure] = []
    broken: dict[str, list[str]] = {}
    with Lab(folder, scale) as lab:
        for name in names:
            began = time.monotonic()
            found, reasons = measured(name, lab)
            show(found)
            print(f"{name} took {time.monotonic() - began:.0f} s.", flush=True)
            figures += found
            if reasons:
                broken[name] = reasons
    return figures, broken


def measured(name: str, lab: Lab) -> tuple[list[Figure], list[str]]:
    """One benchmark's figures, and what is wrong with them; hours of others may follow."""
    try:
        found = BENCHMARKS[name](lab)
    except Exception as error:
        traceback.print_exc()
        return [], [f"{type(error).__name__}: {error}"]
    return found, faults(name, found)


# --- what is asked for ------------------------------------------------------------


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHMARKS, help="may be given again")
    parser.add_argument("--out", type=Path, default=BUILD / "bench.json")
    parser.add_argument("--tiny", action="store_true", help="every code path; no figure to keep")
    parser.add_argument(
        "--apart",
        action="store_true",
        default=None,
        help="Milvus and the batch workers on half of the processors, everything else on the rest",
    )
    parser.add_argument("--engine", action="append", type=Engine, choices=list(Engine))
    for field in fields(Scale):
        kind = _kind(field.name)
        if kind is not None:
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind)
    return parser.parse_args()


def _kind(name: str) -> Callable[[str], Any] | None:
    """How an option of :class:`Scale` is read; None for what has an option of its own."""
    default = getattr(Scale(), name)
    if name in {"engines", "fresh_workers", "apart"}:
        return None
    if isinstance(default, tuple):
        return positive_integers
    return int if default is None else type(default)


def _scale(options: argparse.Namespace) -> Scale:
    scale = Scale.tiny() if options.tiny else Scale()
    given = {
        field.name: value
        for field in fields(Scale)
        if (value := getattr(options, field.name, None)) is not None
    }
    if options.engine:
        given["engines"] = tuple(options.engine)
    return replace(scale, **given)


if __name__ == "__main__":
    sys.exit(main())
