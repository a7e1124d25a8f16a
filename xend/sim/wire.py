"""What the simulator sends to another host: an image and some memory, with their length before
them, so that not a byte more than that is read."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from xend.sim.image import Image, from_bytes, to_bytes

_LENGTH = struct.Struct("!Q")
_LIMIT = 1024 * 1024
_MEMORY = bytes(512 * 1024)
"""More than the buffers of a socket pair: who sends it notices that nobody reads."""


@contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    with socket.socket(fileno=os.dup(fd)) as sock:
        sock.setblocking(False)
        yield sock


async def write(fd: int, image: Image) -> None:
    """OSError when the other side has gone."""
    data = to_bytes(image)
    with _borrowed(fd) as sock:
        await asyncio.get_running_loop().sock_sendall(
            sock, _LENGTH.pack(len(data)) + data + _MEMORY
        )


async def read(fd: int) -> Image:
    with _borrowed(fd) as sock:
        length = _LENGTH.unpack(await _exactly(sock, _LENGTH.size))[0]
        if length > _LIMIT:
            raise OSError("it is no stream of the simulator")
        image = from_bytes(await _exactly(sock, length), "the stream")
        await _exactly(sock, len(_MEMORY))
        return image


async def _exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = await asyncio.get_running_loop().sock_recv(sock, size - len(data))
        if not more:
            raise OSError("it ended too early")
        data += more
    return bytes(data)
