"""Makes the niceness a worker was started with count beyond its own session."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

#: The group of processes among which Linux divides the processors, see sched(7).
AUTOGROUP = Path("/proc/self/autogroup")


def pass_to_session(autogroup: Path = AUTOGROUP) -> None:
    """Give the session that this process leads the niceness of the process.

    Linux may group processes by session and give each group the same share of
    the processors (``sched_autogroup_enabled``, sched(7)); niceness counts within
    a group only. Supervisors start each process in a session of its own, and
    ``nice`` in a Procfile would change nothing.

    A session led by another process, such as a terminal's shell, is left alone,
    and so is one that is not nice. Where the kernel does not group, or does not
    permit it, nothing happens: the worker runs as before.
    """
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    if niceness > 0 and os.getsid(0) == os.getpid():
        with suppress(OSError):
            autogroup.write_text(str(niceness))
