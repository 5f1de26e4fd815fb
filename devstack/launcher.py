"""Becomes the command it is given, after the settings a child can only make itself.

Run as a script by :mod:`devstack.child`, with the standard library alone::

    launcher.py PARENT_PID DEATH_SIGNAL UID COMMAND...

It asks the kernel for ``DEATH_SIGNAL`` when the parent dies, however it dies,
and, where ``UID`` is not ``-``, gives up root for that user. Doing this in a
program of its own avoids ``preexec_fn``, which runs Python between fork and
exec of a process that may have threads of gRPC.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def main() -> None:
    parent, death_signal, user = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if user != "-":
        become(int(user))
    # Started in the background, we may have inherited an ignored SIGINT.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # After the change of user: the kernel forgets the death signal there.
    die_with_parent(death_signal, parent)
    os.execv(sys.argv[4], sys.argv[4:])  # noqa: S606  # a fixed command of our own


def die_with_parent(death_signal: int, parent: int) -> None:
    """Only Linux can do this; elsewhere a killed parent leaves its children."""
    if not sys.platform.startswith("linux"):
        return
    _prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # it died before we asked
        sys.exit(1)


def become(uid: int) -> None:
    """Give up root, but not the right to reach files below folders closed to others.

    PostgreSQL refuses to run as root, yet its program and its data may lie in a
    home or a temporary folder of root's. Opening those folders to everybody is
    not ours to do; keeping this one capability changes nothing on the machine.
    """
    if sys.platform.startswith("linux"):
        _prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    if sys.platform.startswith("linux"):
        _keep_only(1 << CAP_DAC_OVERRIDE)
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)


def _keep_only(capabilities: int) -> None:
    # struct __user_cap_header_struct and two __user_cap_data_struct, see capset(2).
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(capabilities, capabilities, capabilities, 0, 0, 0)
    _checked(ctypes.CDLL(None, use_errno=True).capset(header, data), "capset")


def _prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    _checked(ctypes.CDLL(None, use_errno=True).prctl(option, *padded), "prctl")


def _checked(result: int, call: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{call}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
