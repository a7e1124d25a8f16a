"""What Xen and XenStore have, asked without xend and without a process for each question.

Starting `xl` costs an eighth of a second under emulation, and a test of a hundred kills asks
thousands of times.  Our binding of libxl is used, never the daemon; and XenStore's socket itself.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from xend.libxl.ctx import Context
from xend.libxl.observed import domain as observed

_DIRECTORY, _READ, _ERROR = 1, 2, 16
"""xsd_sockmsg_type of xen/include/public/io/xs_wire.h."""
_HEAD = struct.Struct("<IIII")
FREE_NOISE = 512
"""KiB by which free memory breathes though nothing changes: Xen's own heaps."""


@dataclass(frozen=True)
class Guest:
    name: str
    """`(null)` while it has none, as `xl list` shows it."""
    domid: int
    state: str
    """The flags that `xl list` shows: r b p s c d."""
    cpu_time: int
    """Nanoseconds."""

    @property
    def running(self) -> bool:
        return not set(self.state) & set("pscd")


class XenStoreSocket:
    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(30)
        self._sock.connect("/run/xenstored/socket")

    def _ask(self, kind: int, path: str) -> bytes | None:
        payload = path.encode() + b"\0"
        self._sock.sendall(_HEAD.pack(kind, 0, 0, len(payload)) + payload)
        answered, _, _, size = _HEAD.unpack(self._exactly(_HEAD.size))
        data = self._exactly(size)
        return None if answered == _ERROR else data

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._sock.recv(size - len(data))
            assert part, "xenstored hung up"
            data += part
        return data

    def read(self, path: str) -> str | None:
        found = self._ask(_READ, path)
        return None if found is None else found.decode()

    def children(self, path: str) -> list[str]:
        """Empty also when there is no such node."""
        found = self._ask(_DIRECTORY, path) or b""
        return [name.decode() for name in found.split(b"\0") if name]

    def count(self, path: str = "/") -> int:
        """Of the nodes from there down."""
        below = self.children(path)
        return 1 + sum(self.count(f"{path.rstrip('/')}/{name}") for name in below)

    def close(self) -> None:
        self._sock.close()


class Look:
    def __init__(self) -> None:
        self._context = Context()
        self.store = XenStoreSocket()

    def guests(self) -> list[Guest]:
        """By domid; all but Domain-0."""
        found = []
        for record in self._context.list_domains():
            info = observed(record)
            if info.domid != 0:
                name = self.store.read(f"/local/domain/{info.domid}/name") or "(null)"
                found.append(Guest(name, info.domid, info.flags, info.cpu_time))
        return found

    def free(self) -> int:
        """KiB, what is still being scrubbed included."""
        info = self._context.physinfo()
        return int(info["free_pages"] + info["scrub_pages"]) * 4

    def close(self) -> None:
        self.store.close()
        self._context.close()
