"""Who is at the other end of a Unix socket."""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass

_UCRED = struct.Struct("3i")
"""struct ucred of unix(7): pid, uid, gid."""
_SO_PEERGROUPS = 59
"""asm-generic/socket.h, Linux 4.13: the supplementary groups; Python has no name for it."""
_MAX_GROUPS = 65536
"""NGROUPS_MAX of linux/limits.h."""


@dataclass(frozen=True, slots=True)
class Peer:
    """As the kernel saw it at connect(); a process that is gone keeps its numbers."""

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    """The supplementary ones."""

    def __str__(self) -> str:
        return f"uid {self.uid} (pid {self.pid})"


def peer_of(sock: socket.socket) -> Peer | None:
    """None when the socket is not a Unix socket."""
    if sock.family != socket.AF_UNIX:
        return None
    found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(found)
    return Peer(pid, uid, gid, _groups(sock))


def _groups(sock: socket.socket) -> tuple[int, ...]:
    try:
        found = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 256 * 4)
    except OSError as error:
        if error.errno != errno.ERANGE:  # more groups than that
            return ()
        found = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MAX_GROUPS * 4)
    return struct.unpack(f"{len(found) // 4}I", found)
