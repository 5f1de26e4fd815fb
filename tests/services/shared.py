"""What all tests of a folder share, closed when the next test is of another one.

A fixture of the session would stand to the end of it: a system with workers and servers of its
own costs a fifth of a processor while it has nothing to do, and all later tests would pay.
A folder's tests run one after the other, in one process as in several.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

_open: list[tuple[Path, Callable[[], None]]] = []


def closed_after(folder: Path, close: Callable[[], None]) -> None:
    """``close`` must do nothing when it is called once more, at the end of the session."""
    _open.append((folder, close))


def close_what_is_left(next_path: Path | None) -> None:
    """The next test is in this file; None after the last one."""
    left = [one for one in _open if next_path is None or one[0] not in next_path.parents]
    for one in left:
        _open.remove(one)
        one[1]()
