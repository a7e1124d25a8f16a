"""`ports.XenStore` over the simulated xenstored, with faults on demand.

Every operation lets other tasks run once, as a request to the real one does, so that races which
can happen there can happen here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from xend.core.mailbox import Mailbox
from xend.core.ports import XenStoreWriter
from xend.errors import (
    InvalidArgument,
    XenStoreConflict,
    XenStoreError,
    XenStoreMissing,
    XenStoreUnavailable,
)
from xend.sim.xenstored import SimXenstored, Transaction, Watcher, check_size, failure

T = TypeVar("T")

FaultHook = Callable[[str, str], Awaitable[None]]
"""Awaited with (operation, path) before each operation; what it raises the caller gets.
Operations: read directory get_perms write mkdir rm set_perms watch transaction_start
transaction_end get_domain_path is_domain_introduced."""


class _TransactionLost(XenStoreUnavailable):
    """The connection went away under a transaction."""


class _Verbs:
    """In a transaction or not."""

    def __init__(self, store: SimXenStore, transaction: Transaction | None, epoch: int) -> None:
        self._store = store
        self._transaction = transaction
        self._epoch = epoch
        self.ended = False

    async def read(self, path: str) -> str:
        await self._enter("read", path)
        return self._store.daemon.read(path, self._transaction)

    async def read_or(self, path: str, default: str | None = None) -> str | None:
        try:
            return await self.read(path)
        except XenStoreMissing:
            return default

    async def exists(self, path: str) -> bool:
        return await self.read_or(path) is not None

    async def directory(self, path: str) -> list[str]:
        await self._enter("directory", path)
        return self._store.daemon.directory(path, self._transaction)

    async def write(self, path: str, value: str) -> None:
        await self._enter("write", path)
        self._store.daemon.write(path, value, self._transaction)

    async def mkdir(self, path: str) -> None:
        await self._enter("mkdir", path)
        self._store.daemon.mkdir(path, self._transaction)

    async def remove(self, path: str) -> None:
        await self._enter("rm", path)
        self._store.daemon.remove(path, self._transaction)

    async def get_permissions(self, path: str) -> list[str]:
        await self._enter("get_perms", path)
        return self._store.daemon.get_permissions(path, self._transaction)

    async def set_permissions(self, path: str, permissions: Sequence[str]) -> None:
        await self._enter("set_perms", path)
        check_size("set_perms", path, sum(len(one) + 1 for one in (path, *permissions)))
        self._store.daemon.set_permissions(path, permissions, self._transaction)

    async def _enter(self, operation: str, path: str) -> None:
        if "\0" in path:
            raise InvalidArgument(
                f"A XenStore path cannot hold a NUL: {path!r}", argument="path", value=path
            )
        if self.ended:
            raise XenStoreError(
                f"XenStore {operation} {path}: its transaction is over",
                operation=operation,
                path=path,
                errno_name="EINVAL",
            )
        await self._store.enter(operation, path)
        if self._transaction is not None and self._epoch != self._store.epoch:
            raise _TransactionLost(path="the simulator", reason="the connection broke")


class SimTransaction(_Verbs):
    """What the body of `transact` gets."""

    async def transact(
        self, body: Callable[[XenStoreWriter], Awaitable[T]], *, tries: int = 20
    ) -> T:
        return await body(self)

    async def commit(self) -> bool:
        assert self._transaction is not None
        await self._enter("transaction_end", "")
        self.ended = True
        return self._store.daemon.commit(self._transaction)


class SimWatch:
    """`ports.XenStoreWatch`."""

    def __init__(self, store: SimXenStore, path: str, limit: int) -> None:
        self.path = path
        self.inbox = Mailbox(path, limit)
        self._store = store
        self._watcher: Watcher | None = store.daemon.watch(path, self.inbox.put)

    def __aiter__(self) -> AsyncIterator[str]:
        return self.inbox

    async def close(self) -> None:
        self.drop()

    def drop(self) -> None:
        self.inbox.close()
        if self._watcher is not None:
            self._store.daemon.unwatch(self._watcher)
            self._watcher = None
            self._store.watches.discard(self)


class SimXenStore(_Verbs):
    """One client.  Several may share a `daemon`; each is a connection of its own."""

    def __init__(
        self,
        daemon: SimXenstored | None = None,
        *,
        faults: FaultHook | None = None,
        watch_limit: int = 1024,
    ) -> None:
        self.daemon = daemon or SimXenstored()
        self.faults = faults
        self.epoch = 0
        self.watches: set[SimWatch] = set()
        self._watch_limit = watch_limit
        self._open = 0
        self._down: str | None = "this client is not started"
        super().__init__(self, None, 0)

    async def start(self) -> None:
        self._down = None

    async def close(self) -> None:
        self._down = "this client is closed"
        for watch in list(self.watches):
            watch.drop()

    # -- faults --------------------------------------------------------------------------------

    def lose_connection(self, reason: str = "the connection broke") -> None:
        """xenstored is away: every operation raises XenStoreUnavailable, open transactions are
        lost."""
        self.epoch += 1
        self._down = reason

    def regain_connection(self) -> None:
        """xenstored is back (with all it held): each watch reports its own path once."""
        self._down = None
        for watch in self.watches:
            watch.inbox.put(watch.path)

    async def enter(self, operation: str, path: str) -> None:
        await asyncio.sleep(0)
        if self.faults is not None:
            await self.faults(operation, path)
        if self._down is not None:
            raise XenStoreUnavailable(path="the simulator", reason=self._down)

    # -- the rest of the port --------------------------------------------------------------------

    async def get_domain_path(self, domid: int) -> str:
        await self.enter("get_domain_path", str(domid))
        return f"/local/domain/{domid}"

    async def is_domain_introduced(self, domid: int) -> bool:
        await self.enter("is_domain_introduced", str(domid))
        return self.daemon.is_introduced(domid)

    async def transact(
        self, body: Callable[[XenStoreWriter], Awaitable[T]], *, tries: int = 20
    ) -> T:
        for attempt in range(1, tries + 1):
            transaction = await self._begin()
            try:
                result = await body(transaction)
                if await transaction.commit():
                    return result
            except _TransactionLost:
                if attempt == tries:
                    raise
            finally:
                transaction.ended = True
                self._open -= 1
            await asyncio.sleep(random.uniform(0, min(0.001 * 2**attempt, 0.1)))
        raise XenStoreConflict(
            f"XenStore transaction: it lost against other changes {tries} times",
            operation="transaction_end",
            path="",
            errno_name="EAGAIN",
            tries=tries,
        )

    async def _begin(self) -> SimTransaction:
        await self.enter("transaction_start", "")
        most = self.daemon.quota.transactions
        if most is not None and self._open >= most:
            raise failure("transaction_start", "", "ENOSPC")
        self._open += 1
        return SimTransaction(self, Transaction(), self.epoch)

    async def watch(self, path: str) -> SimWatch:
        await self._enter("watch", path)
        watch = SimWatch(self, path, self._watch_limit)
        self.watches.add(watch)
        return watch

    @asynccontextmanager
    async def watching(self, path: str) -> AsyncIterator[SimWatch]:
        watch = await self.watch(path)
        try:
            yield watch
        finally:
            await watch.close()
