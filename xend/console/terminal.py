"""The guest's end of a pseudo-terminal, on the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
import tty
from collections.abc import Callable
from pathlib import Path

from xend.console.lock import ConsoleLock

_CHUNK = 64 * 1024


class GuestTerminal:
    """One open terminal.  `received` gets what the guest writes; `closed` is called once, when its
    other side went away (the guest is gone, or its boot loader has ended)."""

    def __init__(
        self,
        domid: int,
        fd: int,
        lock: ConsoleLock,
        received: Callable[[bytes], None],
        closed: Callable[[], None],
    ) -> None:
        self.domid = domid
        self._fd = fd
        self._lock = lock
        self._received = received
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._writable: asyncio.Future[None] | None = None
        self._writing = asyncio.Lock()
        self._open = True

    @classmethod
    async def open(
        cls,
        path: str,
        domid: int,
        folder: Path,
        received: Callable[[bytes], None],
        closed: Callable[[], None],
    ) -> GuestTerminal:
        """Raises ConflictError (somebody else has it) or OSError."""
        lock = await asyncio.to_thread(ConsoleLock, domid, folder)
        try:
            fd = await asyncio.to_thread(_open, path)
        except BaseException:
            lock.release()
            raise
        return cls(domid, fd, lock, received, closed)

    def start(self) -> None:
        """From now on it is read."""
        self._loop.add_reader(self._fd, self._readable)

    async def write(self, data: bytes) -> None:
        """Waits as long as the guest does not take it; what is left when the terminal goes away
        is lost."""
        async with self._writing:
            while data and self._open:
                try:
                    data = data[os.write(self._fd, data) :]
                except BlockingIOError:
                    await self._until_writable()
                except OSError:
                    self._ended()

    async def _until_writable(self) -> None:
        self._writable = self._loop.create_future()
        self._loop.add_writer(self._fd, self._wake)
        try:
            await self._writable
        finally:
            if self._open:
                self._loop.remove_writer(self._fd)
            self._writable = None

    def _wake(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def resize(self, rows: int, columns: int) -> None:
        """As TIOCSWINSZ has it.  A PV console has no way to tell its guest."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._wake()
        os.close(self._fd)
        self._lock.release()

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: the other side was closed
            data = b""
        if data:
            self._received(data)
        else:
            self._ended()

    def _ended(self) -> None:
        if self._open:
            self.close()
            self._closed()


def _open(path: str) -> int:
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # xenconsoled or a boot loader may have left it cooked; what waits in it must stay.
        tty.setraw(fd, termios.TCSANOW)
    except BaseException:
        os.close(fd)
        raise
    return fd
