"""``python -m tests.hosts``: two hosts of workers share a migration, and one is cut off.

Each has a network of its own and reaches the servers by wires of ours; nothing gets through
those of one host for ``--cut`` seconds. Exits with 1 where anything was lost.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from devstack import network_namespace
from devstack.stack import PROJECT
from tests.harness.ground import Ground, ground_on, own_stack
from tests.scenarios import two_hosts


def main(arguments: list[str] | None = None) -> int:
    wish = _parsed(arguments)
    if not network_namespace.may_enter():
        print("This kernel allows no network namespace: run it as root, or on another machine.")
        return 2
    base = PROJECT / "build" / "tmp"
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="hosts-", dir=base))
    nobody_here = {"batch": 0, "control": 0}
    settings = {"REEMBED_SECRET_KEY": "of whoever watches two hosts"}
    options = {"workers": nobody_here, "with_failpoints": False, "settings": settings}
    with (
        own_stack(folder / "servers", standalone=wish.standalone) as stack,
        ground_on(stack, folder / "world", Ground, **options) as ground,
    ):
        told = two_hosts.share_a_migration(ground, wish.chunks, wish.cut)
    print(told)
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.hosts", description=__doc__)
    parser.add_argument("--chunks", type=int, default=4000)
    parser.add_argument("--cut", type=float, default=60, help="seconds")
    parser.add_argument("--standalone", action="store_true", help="on the real Milvus")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
