"""A xenstored that says what the test tells it to: for what the real one does not do on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from xend.store import wire
from xend.store.wire import Op

SOON = 5.0


@dataclass
class Request:
    """As it came over the wire."""

    op: Op
    number: int
    transaction: int
    payload: bytes
    _writer: asyncio.StreamWriter

    def answer(self, payload: bytes = b"OK\0", *, op: Op | None = None) -> None:
        self.raw(op or self.op, self.number, payload)

    def fail(self, errno_name: str) -> None:
        self.answer(errno_name.encode() + b"\0", op=Op.ERROR)

    def raw(self, op: int, number: int, payload: bytes) -> None:
        header = wire.HEADER.pack(op, number, self.transaction, len(payload))
        self._writer.write(header + payload)

    def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)

    def hang_up(self) -> None:
        self._writer.transport.abort()


class ScriptedXenstored:
    """Answers the client's first request (a read of /) itself; all others wait for the test."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.connections = 0
        self._requests: asyncio.Queue[Request] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.socket))

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)

    async def next(self, op: Op | None = None) -> Request:
        """The next request, which must be an `op`."""
        async with asyncio.timeout(SOON):
            request = await self._requests.get()
        assert op is None or request.op is op, request
        return request

    @property
    def idle(self) -> bool:
        return self._requests.empty()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while True:
                head = wire.HEADER.unpack(await reader.readexactly(wire.HEADER.size))
                op, number, transaction, length = head
                payload = await reader.readexactly(length)
                request = Request(Op(op), number, transaction, payload, writer)
                if op == Op.READ and payload == b"/\0":
                    request.answer(b"")
                else:
                    self._requests.put_nowait(request)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def scripted(folder: Path) -> AsyncIterator[ScriptedXenstored]:
    server = ScriptedXenstored(folder / "socket")
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
