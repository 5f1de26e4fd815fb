"""``python -m tests.readers``: applications that know an alias alone, through many switches.

OpenAI's client and LangChain, each as it comes, ask for known chunks while the bot's model
changes again and again. Counted are failures and wrong answers; exits with 1 on any.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from devstack.stack import PROJECT
from tests.harness.alias_readers import as_applications_are
from tests.harness.ground import Ground, ground_on, own_stack
from tests.scenarios import alias_readers


def main(arguments: list[str] | None = None) -> int:
    wish = _parsed(arguments)
    base = (wish.folder or PROJECT / "build" / "tmp").resolve()
    base.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="readers-", dir=base))
    settings = {} if wish.drain is None else {"REEMBED_ALIAS_DRAIN_SECONDS": str(wish.drain)}
    with (
        as_applications_are(),
        own_stack(folder / "servers", standalone=wish.standalone) as stack,
        ground_on(stack, folder / "world", Ground, settings=settings) as ground,
    ):
        told, readers = alias_readers.never_notice(
            ground, wish.switches, wish.rollbacks, max_retries=wish.retries
        )
        ground.settle()
    print(told, flush=True)
    for sentence in [*readers.wrong[:5], *readers.failed[:5]]:
        print(sentence, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    return 1 if readers.wrong or readers.failed else 0


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.readers", description=__doc__)
    parser.add_argument("--switches", type=int, default=20)
    parser.add_argument("--rollbacks", type=int, default=5, help="of these, evenly spread")
    parser.add_argument("--retries", type=int, default=2, help="of the clients; 2 is their own")
    parser.add_argument("--drain", type=float, default=None, help="REEMBED_ALIAS_DRAIN_SECONDS")
    parser.add_argument("--standalone", action="store_true", help="on the real Milvus")
    parser.add_argument("--folder", type=Path, default=None, help="where data and logs are kept")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
