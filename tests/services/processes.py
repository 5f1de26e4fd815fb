"""Several processes that test at the same time."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

#: What starts something that takes long to start, and therefore stays in one process: a
#: running system, or the real Milvus. The longest first, so that the small ones fill up the end.
TOGETHER = {
    "e2e": ("tests/e2e/",),
    "recovery": ("tests/recovery/",),
    "milvus-standalone": (
        "tests/contract/test_vector_store.py",
        "tests/contract/test_vector_store_engines.py",
        "tests/e2e/test_standalone.py",
        "tests/applications/",
    ),
}
#: What is longest of the rest, in its order; every file of these goes by itself.
LAYERS = ("integration", "devstack", "schema", "contract", "unit")


class LongestFirst(LoadScopeScheduling):
    """A process takes what belongs together, or a file, and the next when it is done.

    The groups of ``--dist loadgroup`` would say the same, but pytest 9.2 has no room for
    them in a test's id any more (pytest-xdist 3.8.0), and then says nothing of it.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        # The longest beginning: one file of a layer may belong elsewhere.
        found = [
            (len(start), name)
            for name, starts in TOGETHER.items()
            for start in starts
            if file.startswith(start)
        ]
        return max(found)[1] if found else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        self.workqueue.move_to_end(min(self.workqueue, key=_turn), last=False)
        super()._assign_work_unit(node)


def _turn(scope: str) -> int:
    """The lower, the sooner; what is not named comes before what is known to be small."""
    if scope in TOGETHER:
        return list(TOGETHER).index(scope)
    layer = scope.split("/")[1]
    return len(TOGETHER) + (LAYERS.index(layer) if layer in LAYERS else 0)
