"""``python -m tests.upgrade``: runs begun by an older version go on after an upgrade.

The older code is laid out from this repository's history; it and this code take turns,
as real processes on the same servers. Exits with 1 when a case failed, and tells which,
with the end of every log of both versions.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from devstack.milvus_standalone import MilvusStandaloneServer
from devstack.server import PROJECT
from devstack.stack import EmbeddedStack
from tests.upgrade.cases import CASES, SETTINGS, Case
from tests.upgrade.stands import nothing_left
from tests.upgrade.versions import lay_out, this_code
from tests.upgrade.world import UpgradedWorld, Versions, WorldMaker, worlds

#: The last one before the code was given another layout.
FROM = "0a3e690"


def main(arguments: list[str] | None = None) -> int:
    wish = _parsed(arguments)
    base = (wish.folder or PROJECT / "build" / "tmp").resolve()
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="upgrade-", dir=base))
    versions = Versions(lay_out(wish.revision, folder / "old-code"), this_code())
    stack = EmbeddedStack(folder / "servers")
    if wish.standalone:
        stack.milvus = MilvusStandaloneServer(folder / "milvus-standalone")  # type: ignore[assignment]
    with stack, worlds(stack, versions) as maker:
        failed = [case.id for case in _wanted(wish.only) if not _passed(maker, folder, case)]
    if failed:
        _say(f"FAILED from {wish.revision}: {', '.join(failed)}; the logs are in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    _say(f"all that was under way in {wish.revision} went on")
    return 0


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.upgrade", description=__doc__)
    parser.add_argument("--from", dest="revision", default=FROM, help="the older code")
    parser.add_argument("--only", default="", help="these cases: " + ",".join(c.id for c in CASES))
    parser.add_argument("--standalone", action="store_true", help="on the real Milvus")
    parser.add_argument("--folder", type=Path, default=None, help="where data and logs are kept")
    return parser.parse_args(arguments)


def _wanted(only: str) -> list[Case]:
    names = {name for name in only.split(",") if name}
    unknown = names - {case.id for case in CASES}
    if unknown:
        raise SystemExit(f"there are no cases {sorted(unknown)}")
    return [case for case in CASES if not names or case.id in names]


def _passed(maker: WorldMaker, folder: Path, case: Case) -> bool:
    begun = time.monotonic()
    settings = {**SETTINGS, **case.settings}
    try:
        with maker.world(folder / case.id, settings, case.workers) as world:
            detail = _run(world, case)
    except Exception:
        _say(f"FAILED  {case.id}: {case.what}\n{traceback.format_exc()}")
        return False
    _say(f"passed  {case.id:16} {time.monotonic() - begun:5.0f} s  {detail}")
    return True


def _run(world: UpgradedWorld, case: Case) -> str:
    try:
        detail = case.run(world)
        nothing_left(world)
        complaints = world.new.complaints()
        assert not complaints, "\n".join(["the new code complains:", *complaints[:10]])
    except Exception:
        _say("\n".join([*world.old.tails(), *world.new.tails()]))
        raise
    return detail


def _say(sentence: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
