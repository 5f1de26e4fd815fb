"""``python -m tests.chaos``: the fault matrix, then random kills; one table, one file.

Exits with 1 when a row failed, a chunk was lost, doubled or wrongly embedded, more
was paid twice than a batch for each slot killed, or going on took too long.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from devstack.stack import PROJECT, EmbeddedStack
from tests.chaos import given_keys, kills
from tests.chaos.report import Result, Totals, show, write
from tests.chaos.rows import LEFT_OUT, Row, matrix
from tests.harness.ground import Ground, ground_on, own_stack

#: Few slots, so that a kill costs little and the machine is not busy with threads.
SETTINGS = {
    "REEMBED_BATCH_CONCURRENCY": "3",
    "REEMBED_CONTROL_CONCURRENCY": "4",
    "REEMBED_PROVIDER_TIMEOUT_SECONDS": "5",
    "REEMBED_MILVUS_TIMEOUT_SECONDS": "10",
    "REEMBED_SWEEP_FIRST_SECONDS": "2",
    "FLOWER_UNAUTHENTICATED_API": "true",
}
#: Of all kills so many are of whole workers with default settings, each timed.
TIMED_SHARE = 0.24
RESUME_P50_SECONDS, RESUME_MAX_SECONDS = 20.0, 60.0


def main(arguments: list[str] | None = None) -> int:
    wish = _parsed(arguments)
    results, totals = [], Totals()
    rows = _wanted(wish.rows)
    real = [row for row in rows if row.real]
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=wish.folder))
    begun = time.monotonic()
    try:
        with own_stack(folder / "servers", standalone=wish.standalone) as stack:
            results += _rows(stack, folder / "matrix", [row for row in rows if not row.real])
            results += _timed_kills(stack, folder, wish, totals)
        # On the real Milvus: milvus-lite forgets rows it has acknowledged when it is killed.
        if real or wish.kills > _timed(wish):
            with own_stack(folder / "real-servers", standalone=True) as stack:
                results += _rows(stack, folder / "real-matrix", real)
                results += _kills_of_anything(stack, folder, wish, totals)
        if wish.given_keys:
            with own_stack(folder / "keyless-servers", standalone=True) as stack:
                results += _kills_where_keys_are_given(stack, folder, wish, totals)
    finally:
        results += [Result(out.id, "left out", out.reason) for out in LEFT_OUT]
        file = write(PROJECT / "build", results, totals, wish.seed)
        show(results, totals, wish.seed)
        _say(f"{file} after {time.monotonic() - begun:.0f} s; replay with SEED={wish.seed}")
    bad = _failed(results, totals)
    if bad and wish.keep:
        _say(f"the logs are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    for sentence in bad:
        _say(sentence)
    return 1 if bad else 0


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="random kills after the matrix")
    parser.add_argument(
        "--given-keys", type=int, default=20, help="kills where Milvus gives the keys, after them"
    )
    parser.add_argument("--chunks", type=int, default=3_000, help="chunks there")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--rows", default="all", help="F01,F14: only these; none: no rows")
    parser.add_argument("--standalone", action="store_true", help="on the real Milvus")
    parser.add_argument("--folder", type=Path, default=None, help="where servers keep their data")
    parser.add_argument("--keep", action="store_true", help="keep the logs when something failed")
    return parser.parse_args(arguments)


def _failed(results: list[Result], totals: Totals) -> list[str]:
    """Sentences; none when all is well."""
    bad = [f"{r.id} failed: {r.detail}" for r in results if r.outcome == "failed"]
    counts = {name: getattr(totals, name) for name in ("missing", "duplicated", "wrong_model")}
    bad += [f"{name}: {count}" for name, count in counts.items() if count]
    if totals.embedded_twice > totals.embedded_twice_allowed:
        bad.append(f"{totals.embedded_twice} texts embedded twice")
    summary = totals.summary
    if summary["resume_seconds_p50"] > RESUME_P50_SECONDS:
        bad.append(f"going on took {summary['resume_seconds_p50']} s at the median")
    if summary["resume_seconds_max"] > RESUME_MAX_SECONDS:
        bad.append(f"going on took up to {summary['resume_seconds_max']} s")
    return bad


# --- the matrix ---------------------------------------------------------------------


def _wanted(rows: str) -> list[Row]:
    names = [] if rows == "none" else [name.strip() for name in rows.split(",") if name.strip()]
    if rows == "all":
        return list(matrix())
    return [r for r in matrix() if any(r.id == n or r.id.startswith(f"{n}-") for n in names)]


def _rows(stack: EmbeddedStack, folder: Path, rows: list[Row]) -> Iterator[Result]:
    for number, (settings, some) in enumerate(groupby(rows, lambda row: row.settings)):
        own = {"settings": {**SETTINGS, **settings}}
        with _ground(stack, folder / str(number), wired=True, **own) as ground:
            for row in some:
                yield _tried(row.id, row.what, lambda row=row: row.run(ground))
                _whole_again(ground)
                if row.real:
                    ground.drop_collections()


def _whole_again(ground: Ground) -> None:
    """Whatever a failed row has left behind must not fail the next one."""
    with suppress(Exception):
        ground.driver.clear()
        ground.revive()
        ground.settle(90)
    for name in ("redis", "postgres", "milvus"):
        ground.server(name).start()


# --- the kills ------------------------------------------------------------------------


Part = tuple[str, str, int, dict[str, Any], Callable[[Ground, int], list[str]]]


def _timed_kills(
    stack: EmbeddedStack, folder: Path, wish: argparse.Namespace, totals: Totals
) -> Iterator[Result]:
    timed = _timed(wish)
    alone, paired = timed - timed // 2, timed // 2
    parts: list[Part] = [
        (
            "kills-alone",
            "whole workers, default settings, restarted at once",
            alone,
            {"quick": False, "settings": {}, "workers": {"batch": 1, "control": 1}},
            lambda g, n: kills.whole_workers(g, wish.seed, n, totals, _say, restarting=True),
        ),
        (
            "kills-paired",
            "whole workers, default settings, another alive",
            paired,
            {"quick": False, "settings": {}},
            lambda g, n: kills.whole_workers(g, wish.seed, n, totals, _say, restarting=False),
        ),
    ]
    yield from _run(stack, folder, parts)


def _kills_of_anything(
    stack: EmbeddedStack, folder: Path, wish: argparse.Namespace, totals: Totals
) -> Iterator[Result]:
    def anything(ground: Ground, count: int) -> list[str]:
        return kills.anything(ground, wish.seed, count, totals, _say)

    left = wish.kills - _timed(wish)
    waiting, loaded = left // 2, left - left // 2
    parts: list[Part] = [
        (
            "kills-anything",
            "workers, Redis, PostgreSQL and the real Milvus",
            loaded,
            {},
            anything,
        ),
        (
            "kills-unloaded",
            "the same, with targets that are loaded when their index is built",
            waiting,
            {"settings": SETTINGS | {"REEMBED_UNINDEXED_ROWS": str(kills.MORE_CHUNKS // 2)}},
            anything,
        ),
    ]
    yield from _run(stack, folder, parts)


def _kills_where_keys_are_given(
    stack: EmbeddedStack, folder: Path, wish: argparse.Namespace, totals: Totals
) -> Iterator[Result]:
    def there_and_back(ground: Ground, count: int) -> list[str]:
        return given_keys.there_and_back(ground, wish.seed, count, totals, _say, chunks=wish.chunks)

    what = f"workers, Redis and PostgreSQL, {wish.chunks} chunks without keys of their own"
    yield from _run(
        stack, folder, [("kills-given-keys", what, wish.given_keys, {}, there_and_back)]
    )


def _timed(wish: argparse.Namespace) -> int:
    return round(wish.kills * TIMED_SHARE)


def _run(stack: EmbeddedStack, folder: Path, parts: list[Part]) -> Iterator[Result]:
    for name, what, count, options, run in parts:
        if count:
            with _ground(stack, folder / name, with_failpoints=False, **options) as ground:
                yield _tried(name, what, partial(_without_findings, run, ground, count))


def _without_findings(run: Callable[[Ground, int], list[str]], ground: Ground, count: int) -> str:
    found = run(ground, count)
    assert not found, "; ".join(found)
    return f"{count} kills"


# --- both -----------------------------------------------------------------------------


@contextmanager
def _ground(stack: EmbeddedStack, folder: Path, **options: Any) -> Iterator[Ground]:
    with ground_on(stack, folder, **{"settings": SETTINGS, **options}) as ground:
        yield ground


def _tried(name: str, what: str, run: Callable[[], str]) -> Result:
    begun = time.monotonic()
    try:
        detail, outcome = run(), "passed"
    except Exception as error:
        traceback.print_exc()
        detail, outcome = f"{type(error).__name__}: {error}"[:2000], "failed"
    seconds = time.monotonic() - begun
    _say(f"{outcome:7} {name:28} {seconds:5.0f} s  {detail[:300]}")
    return Result(name, outcome, detail, what, round(seconds, 1))


def _say(sentence: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
