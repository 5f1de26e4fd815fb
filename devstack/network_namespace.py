"""A network of a process's own, with nothing in it but a loopback device.

Milvus standalone listens on every interface with most of its ports, and no
setting changes that. In a namespace of its own, every interface is one that
nobody else can reach.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 0x1


def may_enter() -> bool:
    """Whether :func:`enter` would succeed; tried in a child, for there is no way back."""
    pid = os.fork()
    if pid == 0:
        try:
            enter()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def enter() -> None:
    """Move this process, which has one thread, to a new network and bring its loopback up.

    Sockets opened before stay in the old network. Without root this also needs
    a user namespace, in which we are mapped to root.

    Raises:
        OSError: the kernel or its policy does not allow it.
    """
    uid, gid = os.geteuid(), os.getegid()
    _unshare(CLONE_NEWNET if uid == 0 else CLONE_NEWUSER | CLONE_NEWNET)
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    _bring_up("lo")


def _unshare(flags: int) -> None:  # os.unshare came with Python 3.12
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _bring_up(device: str) -> None:
    # struct ifreq: a name of 16 bytes, then the flags; see netdevice(7).
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", device.encode(), 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", device.encode(), flags | IFF_UP))
