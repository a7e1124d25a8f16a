"""What the simulator sends to another host: an image, with its length before it, so that not a byte
more than that is read."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from xend.sim.image import Image, from_bytes, to_bytes

_LENGTH = struct.Struct("!Q")


@contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    with socket.socket(fileno=os.dup(fd)) as sock:
        sock.setblocking(False)
        yield sock


async def write(fd: int, image: Image) -> None:
    """OSError when the other side has gone."""
    data = to_bytes(image)
    with _borrowed(fd) as sock:
        await asyncio.get_running_loop().sock_sendall(sock, _LENGTH.pack(len(data)) + data)


async def read(fd: int) -> Image:
    with _borrowed(fd) as sock:
        length = _LENGTH.unpack(await _exactly(sock, _LENGTH.size))[0]
        return from_bytes(await _exactly(sock, length), "the stream")


async def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = await asyncio.get_running_loop().sock_recv(sock, size - len(data))
        if not more:
            raise OSError("it ended too early")
        data += more
    return data
