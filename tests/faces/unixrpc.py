"""The standard library's XML-RPC client over a Unix socket: a client that we did not write."""

from __future__ import annotations

import asyncio
import http.client
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(str(self._path))


class UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> _Connection:
        known: Any = self._connection[1]
        connection = known if isinstance(known, _Connection) else _Connection(self._path)
        self._connection = host, connection
        return connection


class Xend:
    """`await xend("xend.domain", "prospero", 1)`; faults are raised as xmlrpc.client.Fault."""

    def __init__(self, path: Path) -> None:
        self._proxy = xmlrpc.client.ServerProxy(
            "http://localhost/RPC2", UnixTransport(path), allow_none=True
        )

    async def __call__(self, method: str, *params: Any) -> Any:
        return await asyncio.to_thread(getattr(self._proxy, method), *params)

    def close(self) -> None:
        self._proxy("close")()


def keys(sxp: list[Any]) -> list[str]:
    """Names of the children, in order."""
    return [child[0] for child in sxp[1:]]


def get(sxp: list[Any], name: str) -> Any:
    """What follows the name in the first child called so."""
    return next(child[1] for child in sxp[1:] if child[0] == name)
