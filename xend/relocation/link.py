"""`core.relocation.Link` over a TCP socket, plain or with TLS.

Plain, the socket itself is lent to the process that writes or reads libxl's stream.  With TLS that
process gets one end of a socket pair, and the loop carries the bytes.
"""

from __future__ import annotations

import asyncio
import json
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final

from xend.errors import MigrationFailed

LINE_LIMIT: Final = 1024 * 1024
"""Bytes: more than any configuration."""
_CHUNK: Final = 256 * 1024
_LEAVE_SECONDS: Final = 2.0
_KEEP_ALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)
"""A host that has lost its power is noticed after about a minute."""


def tune(sock: socket.socket) -> None:
    for level, option, value in _KEEP_ALIVE:
        sock.setsockopt(level, option, value)


class BaseLink(ABC):
    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._early: Mapping[str, Any] | None = None

    @property
    def peer(self) -> str:
        return self._peer

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """OSError when the other side is gone."""

    @abstractmethod
    async def line(self) -> bytes:
        """Up to and with the newline; less at the end.  OSError; ValueError: too long."""

    async def tell(self, **message: Any) -> None:
        try:
            await self.write(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise self._lost(error.strerror or str(error)) from error

    async def hear(self, seconds: float, expected: str) -> Mapping[str, Any]:
        message, self._early = self._early, None
        if message is None:
            try:
                async with asyncio.timeout(seconds):
                    message = await self._message()
            except TimeoutError:
                raise self._lost(f"no answer within {seconds:.0f} s") from None
        if "error" in message:
            text = f"{message['error']} (from {self._peer})"
            raise MigrationFailed(text, host=self._peer, stage="remote")
        if expected not in message:
            raise self._lost(f"expected '{expected}', but it says {str(message)[:80]}")
        return message

    async def trouble(self) -> MigrationFailed:
        try:
            self._early = message = await self._message_of_lent()
        except MigrationFailed as error:
            return error
        if "error" in message:
            text = f"{message['error']} (from {self._peer})"
            return MigrationFailed(text, host=self._peer, stage="remote")
        await asyncio.Event().wait()  # It is ready already: until cancelled.
        raise AssertionError

    @abstractmethod
    async def _message_of_lent(self) -> Mapping[str, Any]: ...

    @abstractmethod
    def stream(self, *, writing: bool) -> AbstractAsyncContextManager[int]:
        """Of `core.relocation.Link`, as what follows."""

    @abstractmethod
    def abort(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    async def _message(self) -> Mapping[str, Any]:
        try:
            return self._decoded(await self.line())
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise self._lost(reason) from error

    def _decoded(self, line: bytes) -> Mapping[str, Any]:
        if not line.endswith(b"\n"):
            raise self._lost("it closed the connection")
        message = json.loads(line)
        if not isinstance(message, dict):
            raise self._lost(f"it says {line[:80]!r}")
        return message

    def _lost(self, why: str) -> MigrationFailed:
        return MigrationFailed(
            f"the connection to {self._peer} was lost: {why}", host=self._peer, stage="connection"
        )


class PlainLink(BaseLink):
    def __init__(self, sock: socket.socket, peer: str) -> None:
        super().__init__(peer)
        self._sock = sock
        self._buffer = bytearray()

    async def write(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._sock, data)

    async def line(self) -> bytes:
        while (line := self._take_line()) is None:
            more = await asyncio.get_running_loop().sock_recv(self._sock, _CHUNK)
            if not more:
                rest = bytes(self._buffer)
                self._buffer.clear()
                return rest
            self._buffer += more
        return line

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\n") + 1
        if not end and len(self._buffer) > LINE_LIMIT:
            raise ValueError("it says too much")
        if not end:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[:end]
        return line

    @asynccontextmanager
    async def stream(self, *, writing: bool) -> AsyncIterator[int]:
        if self._buffer:
            raise self._lost("it said too much")
        try:
            yield self._sock.fileno()
        finally:
            # libxl makes the socket block, for all who share it, and may have died before it made
            # that undone (libxl__fd_flags_modify_save of libxl.c).
            if self._sock.fileno() >= 0:
                self._sock.setblocking(False)

    async def _message_of_lent(self) -> Mapping[str, Any]:
        """The socket may be blocking meanwhile."""
        while (line := self._take_line()) is None:
            await self._readable()
            try:
                more = self._sock.recv(_CHUNK, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._lost(error.strerror or str(error)) from error
            if not more:
                raise self._lost("it closed the connection")
            self._buffer += more
        return self._decoded(line)

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_reader(self._sock, tell)
        try:
            await ready
        finally:
            loop.remove_reader(self._sock)

    def abort(self) -> None:
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        self._sock.close()


class TlsLink(BaseLink):
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str
    ) -> None:
        """`reader` has a limit of `LINE_LIMIT`."""
        super().__init__(peer)
        self._reader = reader
        self._writer = writer

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def line(self) -> bytes:
        return await self._reader.readline()

    @asynccontextmanager
    async def stream(self, *, writing: bool) -> AsyncIterator[int]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        carry = self._carry_out(ours) if writing else self._carry_in(ours)
        carrying = asyncio.create_task(carry, name="xend-relocation-tls")
        try:
            yield theirs.fileno()
            theirs.close()
            if writing:
                await carrying  # All that was written has been sent.
        except OSError as error:
            raise self._lost(error.strerror or str(error)) from error
        finally:
            theirs.close()
            carrying.cancel()
            await asyncio.gather(carrying, return_exceptions=True)
            ours.close()

    async def _carry_out(self, sock: socket.socket) -> None:
        while data := await asyncio.get_running_loop().sock_recv(sock, _CHUNK):
            await self.write(data)

    async def _carry_in(self, sock: socket.socket) -> None:
        with suppress(OSError):  # Who reads it has what it wants, or sees the end.
            while data := await self._reader.read(_CHUNK):
                await asyncio.get_running_loop().sock_sendall(sock, data)
        sock.shutdown(socket.SHUT_WR)

    async def _message_of_lent(self) -> Mapping[str, Any]:
        return await self._message()

    def abort(self) -> None:
        self._writer.transport.abort()

    async def close(self) -> None:
        """A peer that does not take leave is not waited for.

        One that left first has closed our side too, and closing that again makes Python 3.11.2 (of
        Debian 12) forget what abort() needs.
        """
        if not self._writer.transport.is_closing():
            self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._writer.wait_closed()
        self._writer.transport.abort()
