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
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE, CAP_SETGID, CAP_SETUID, CAP_SETPCAP = 1, 6, 7, 8
CAPABILITY_VERSION_3 = 0x20080522

ADVICE = (
    "PostgreSQL does not run as root: run reembed as another user, or as a root with the "
    "capabilities CHOWN, DAC_OVERRIDE, KILL, SETGID, SETPCAP and SETUID, which it has in an "
    "ordinary container."
)


def main() -> None:
    parent, death_signal, user = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    command = sys.argv[4:]
    if user != "-":
        become(int(user), command[0])
    # Started in the background, we may have inherited an ignored SIGINT.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # After the change of user: the kernel forgets the death signal there.
    die_with_parent(death_signal, parent)
    os.execv(command[0], command)  # noqa: S606  # a fixed command of our own


def die_with_parent(death_signal: int, parent: int) -> None:
    """Only Linux can do this; elsewhere a killed parent leaves its children."""
    if not sys.platform.startswith("linux"):
        return
    _prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # it died before we asked
        sys.exit(1)


def become(uid: int, program: str) -> None:
    """Give up root, but not the right to reach files below folders closed to others.

    PostgreSQL refuses to run as root, yet its program and its data may lie in a
    home or a temporary folder of root's. Opening those folders to everybody is
    not ours to do; keeping this one capability changes nothing on the machine.
    A root that may not hand it on can still run a program that everybody reaches.

    Exits with a sentence where the user cannot be changed or does not reach ``program``.
    """
    obstacle = _keep_reaching_all_files()
    if obstacle:
        print(f"WARNING: user {uid} enters no folder closed to others ({obstacle}).", flush=True)
    try:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    except OSError as refusal:
        sys.exit(f"{refusal}: root may not become user {uid} here. {ADVICE}")
    if not os.access(program, os.X_OK):
        sys.exit(f"User {uid} cannot reach {program}. {ADVICE}")


def _keep_reaching_all_files() -> str | None:
    """Take CAP_DAC_OVERRIDE through the change of user and the exec; what forbids it, if so."""
    if not sys.platform.startswith("linux"):
        return "only Linux can do that"
    try:
        # Only what is ambient survives the exec; the others are for the way there.
        _set_capabilities(
            [CAP_DAC_OVERRIDE, CAP_SETGID, CAP_SETUID, CAP_SETPCAP], inheritable=[CAP_DAC_OVERRIDE]
        )
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)
        # Two things at once: the change of user leaves capabilities alone, and access(2),
        # with which PostgreSQL looks for its own program, no longer forgets them. Last, so
        # that the change of user takes all of them if anything above is refused.
        _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    except OSError as refusal:
        return str(refusal)
    return None


def _set_capabilities(permitted: list[int], inheritable: list[int]) -> None:
    # struct __user_cap_header_struct and two __user_cap_data_struct (effective, permitted,
    # inheritable), see capset(2).
    mask, inherited = (sum(1 << number for number in kept) for kept in (permitted, inheritable))
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(mask, mask, inherited, 0, 0, 0)
    _checked(ctypes.CDLL(None, use_errno=True).capset(header, data), "capset")


def _prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    _checked(ctypes.CDLL(None, use_errno=True).prctl(option, *padded), f"prctl {option}")


def _checked(result: int, call: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{call}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
