"""Several processes that test at the same time."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling


class FolderScheduling(LoadScopeScheduling):
    """One process has all tests of a layer, so that the layer's servers start once.

    The groups of ``--dist loadgroup`` would say the same, but pytest 9.2 has no room for
    them in a test's id any more (pytest-xdist 3.8.0), and then says nothing of it.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.split("/")[1]
