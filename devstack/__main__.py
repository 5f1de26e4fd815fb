"""``python -m devstack up|down|status|clean``: the whole of reembed on servers of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from devstack.server import PROJECT
from devstack.session import clean, down, status, up
from devstack.stack import DEFAULT_DATA

COMMANDS = {"down": down, "status": status, "clean": clean}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    parser.add_argument("command", choices=["up", *COMMANDS])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the data")
    parser.add_argument("--procfile", type=Path, default=PROJECT / "Procfile")
    arguments = parser.parse_args()
    if arguments.command == "up":
        return up(arguments.data.resolve(), arguments.procfile.resolve())
    return COMMANDS[arguments.command](arguments.data.resolve())


if __name__ == "__main__":
    sys.exit(main())
