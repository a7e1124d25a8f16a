"""Reading single XenStore nodes, for what the daemon has no call for.

A command line may talk to a daemon of long ago, so the display of a domain is looked up where
that daemon's own client did.  Wire format: xen/include/public/io/xs_wire.h.
"""

from __future__ import annotations

import _socket
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_SOCKETS = ("/var/run/xenstored/socket", "/run/xenstored/socket")
_READ = 2
_ERROR = 16
_HEADER = 16
_MAX_PAYLOAD = 4096


class XenStoreReader:
    """One connection to xenstored; OSError when there is none.

    It is looked for where libxenstore does (xs_daemon_socket, xs_lib.c).
    """

    def __init__(self) -> None:
        path = os.environ.get("XENSTORED_PATH")
        self._sock = _connect([path] if path else _SOCKETS)

    def close(self) -> None:
        self._sock.close()

    def read(self, path: str) -> str | None:
        """A node's value; None when there is no such node."""
        payload = path.encode() + b"\0"
        head = b"".join(n.to_bytes(4, "little") for n in (_READ, 0, 0, len(payload)))
        self._sock.sendall(head + payload)
        answer = self._take(_HEADER)
        kind, size = int.from_bytes(answer[:4], "little"), int.from_bytes(answer[12:], "little")
        if size > _MAX_PAYLOAD:
            raise OSError(71, "xenstored: payload too long")
        value = self._take(size)
        return None if kind == _ERROR else value.decode("utf-8", "surrogateescape")

    def _take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._sock.recv(size - len(data))
            if not part:
                raise OSError(104, "xenstored: connection reset")
            data += part
        return data


def _connect(paths: Iterable[str]) -> _socket.socket:
    failure = OSError(2, "No such file or directory")
    for path in paths:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            sock.connect(path)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure
