"""One domain's console: its ring, its readers, its writer."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from xend.console.ring import ConsoleRing
from xend.console.terminal import GuestTerminal
from xend.errors import (
    ConflictError,
    DomainNotFound,
    OperationCancelled,
    OperationTimeout,
    XendError,
)

log = logging.getLogger("xend.console")

CHUNK: Final = 64 * 1024
"""Bytes that a reader is given at once."""
PATIENCE: Final = 20.0
"""Seconds without a terminal (a reboot; between boot loader and kernel) until it ends."""
_RETRY: Final = 0.2

Find = Callable[[], Awaitable[tuple[int, str]]]
"""The domid and the terminal's path as they are now; DomainNotFound when it does not run."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a reader is told beside the bytes.

    `writer`: who types has changed; `value` is 1 for the one who may now.  `lost`: it was too slow
    for `value` bytes.  `opened`: the terminal of domain `value` was opened (after a reboot it is
    another).  `closed`: it went away, another may come.  `ended`: none will; nothing follows.
    """

    kind: Literal["writer", "lost", "opened", "closed", "ended"]
    value: int = 0


class Reader:
    """One who looks on, and may be the one who types.  Made by `Console.attach`."""

    def __init__(self, console: Console, position: int) -> None:
        self._console = console
        self._position = position
        self._notices: deque[Notice] = deque()

    async def next(self) -> bytes | Notice:
        """Waits for what comes next; at most CHUNK bytes."""
        console = self._console
        while True:
            news = console.news
            if self._notices:
                return self._notices.popleft()
            if self._position < console.ring.start:
                lost = console.ring.start - self._position
                self._position = console.ring.start
                return Notice("lost", lost)
            if self._position < console.ring.end:
                data = console.ring.read(self._position, CHUNK)
                self._position += len(data)
                return data
            if console.ended:
                return Notice("ended")
            await news.wait()

    def tell(self, notice: Notice) -> None:
        self._notices.append(notice)

    @property
    def is_writer(self) -> bool:
        return self._console.writer is self

    def claim(self, *, force: bool = False) -> bool:
        """Whether it is now the one who types; with `force` whoever was is not any more."""
        return self._console.claim(self, force=force)

    async def write(self, data: bytes) -> None:
        """Waits until the guest has taken it.  ConflictError when another one types."""
        if not self.is_writer:
            raise ConflictError(
                "another reader of this console is the one who types",
                what="console",
                value=self._console.name,
            )
        await self._console.write(data)

    def resize(self, rows: int, columns: int) -> None:
        if self.is_writer:
            self._console.resize(rows, columns)

    def close(self) -> None:
        """May be repeated."""
        self._console.detach(self)


class Console:
    def __init__(self, name: str, find: Find, limit: int, lock_folder: Path) -> None:
        """`limit` in bytes."""
        self.name = name
        self.ring = ConsoleRing(limit)
        self.writer: Reader | None = None
        self.news = asyncio.Event()
        """Set at the next change, and replaced by another then."""
        self.ended = False
        self._find = find
        self._lock_folder = lock_folder
        self._readers: set[Reader] = set()
        self._terminal: GuestTerminal | None = None
        self._gone = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None]
        self._beginning = asyncio.Lock()

    @property
    def idle(self) -> bool:
        return not self._readers and (self._task is None or self._task.done())

    @property
    def domid(self) -> int | None:
        """Whose terminal is open."""
        return self._terminal.domid if self._terminal else None

    async def attach(self, *, scrollback: bool = True) -> Reader:
        """Opens the terminal if nobody else has yet.  ConflictError when a program outside the
        daemon has it, DomainNotFound when the domain does not run."""
        reader = Reader(self, self.ring.start if scrollback else self.ring.end)
        self._readers.add(reader)
        try:
            async with self._beginning:
                if self._task is None or self._task.done() or self._task.cancelling():
                    await self._begin()
            await asyncio.shield(self._first)
        except BaseException:
            reader.close()
            raise
        return reader

    async def _begin(self) -> None:
        if self._task is not None:
            await asyncio.wait([self._task])
        self.ended = False
        first = self._first = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(first), name=f"xend-console-{self.name}")

    def detach(self, reader: Reader) -> None:
        self._readers.discard(reader)
        if self.writer is reader:
            self.writer = None
        if not self._readers and self._task is not None:
            self._task.cancel()  # its end closes the terminal and gives the lock back

    async def close(self) -> None:
        """Readers get what there is, and then the end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.ended = True
        self._notify()

    # -- For readers -----------------------------------------------------------------------------

    def claim(self, reader: Reader, *, force: bool) -> bool:
        before = self.writer
        if before is reader:
            return True
        if before is not None and not force:
            return False
        self.writer = reader
        if before is not None:
            before.tell(Notice("writer", 0))
        reader.tell(Notice("writer", 1))
        self._notify()
        return True

    async def write(self, data: bytes) -> None:
        """What is typed while there is no terminal is lost, as on a line that is unplugged."""
        if self._terminal is not None:
            await self._terminal.write(data)

    def resize(self, rows: int, columns: int) -> None:
        if self._terminal is not None:
            self._terminal.resize(rows, columns)

    # -- The terminal ----------------------------------------------------------------------------

    async def _run(self, first: asyncio.Future[None]) -> None:
        """Keeps a terminal open, over reboots, until the domain is gone or nobody reads."""
        try:
            while True:
                await self._open(fresh=not first.done())
                if not first.done():
                    first.set_result(None)
                await self._gone.wait()
                self._terminal = None
                self._tell(Notice("closed"))
        except XendError as error:
            log.info("the console of %s ends: %s", self.name, error)
            if not first.done():
                first.set_exception(error)
                first.exception()
        finally:
            if not first.done():
                first.set_exception(OperationCancelled(operation=f"console of {self.name}"))
                first.exception()  # somebody may have stopped waiting for it
            if self._terminal is not None:
                self._terminal.close()
                self._terminal = None
            self.ended = True
            self._notify()

    async def _open(self, *, fresh: bool) -> None:
        """The first time a conflict is final; later a terminal may change hands."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            self._gone.clear()
            try:
                domid, path = await self._find()
                if path and await self._opened(domid, path):
                    return
                reason = "it has no terminal yet"
            except DomainNotFound:
                raise
            except ConflictError as error:
                if fresh:
                    raise
                reason = str(error)
            except (OSError, XendError) as error:
                reason = str(error)
            if asyncio.get_running_loop().time() > deadline:
                raise OperationTimeout(
                    f"the console of {self.name} did not come within {PATIENCE:g} s: {reason}",
                    operation="console",
                    seconds=PATIENCE,
                )
            await asyncio.sleep(_RETRY)

    async def _opened(self, domid: int, path: str) -> bool:
        """False when the path had become another's between the question and the opening."""
        terminal = await GuestTerminal.open(
            path, domid, self._lock_folder, self._received, self._gone.set
        )
        try:
            still = await self._find()
        except BaseException:
            terminal.close()
            raise
        if still != (domid, path):
            terminal.close()
            return False
        self._terminal = terminal
        self._tell(Notice("opened", domid))
        terminal.start()
        return True

    def _received(self, data: bytes) -> None:
        self.ring.append(data)
        self._notify()

    def _tell(self, notice: Notice) -> None:
        for reader in self._readers:
            reader.tell(notice)
        self._notify()

    def _notify(self) -> None:
        self.news.set()
        self.news = asyncio.Event()
