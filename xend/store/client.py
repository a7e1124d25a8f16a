"""The asyncio client of xenstored (`ports.XenStore`).

Requests of all callers share one connection.  When it breaks, it is made anew with growing
pauses, watches are registered again, and then xenstored reports each watched path once, as it
does for every new watch.  What happens to a request whose connection broke:

* reads, and changes that were not sent yet, wait for the new connection and are repeated;
* a change that was sent fails with XenStoreUnavailable, since nobody can tell whether it was made;
* a transaction starts again from its beginning, unless its commit had been sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from xend.core.mailbox import Mailbox
from xend.core.ports import XenStoreWriter
from xend.errors import XenStoreConflict, XenStoreError, XenStoreMissing, XenStoreUnavailable
from xend.store import wire
from xend.store.connection import Connection, ConnectionLost, connect
from xend.store.transaction import begin
from xend.store.verbs import Verbs
from xend.store.wire import Op

T = TypeVar("T")
_log = logging.getLogger(__name__)

_SOCKETS: Final = ("/var/run/xenstored/socket", "/run/xenstored/socket")
_READS: Final = frozenset(
    {
        Op.READ,
        Op.DIRECTORY,
        Op.DIRECTORY_PART,
        Op.GET_PERMS,
        Op.GET_DOMAIN_PATH,
        Op.IS_DOMAIN_INTRODUCED,
    }
)
_REPEATS: Final = 3
"""How many broken connections one request survives."""


def socket_paths() -> tuple[str, ...]:
    """Where xenstored may listen, as libxenstore looks for it (xs_daemon_socket, xs_lib.c)."""
    if path := os.environ.get("XENSTORED_PATH"):
        return (path,)
    if folder := os.environ.get("XENSTORED_RUNDIR"):
        return (f"{folder}/socket",)
    return _SOCKETS


class ClientWatch:
    """`ports.XenStoreWatch`, for one consumer."""

    def __init__(self, client: XenStoreClient, path: str, token: str, limit: int) -> None:
        self.path = path
        self.token = token
        self.inbox = Mailbox(path, limit)
        self.registered = False
        self._client = client

    def __aiter__(self) -> AsyncIterator[str]:
        return self.inbox

    async def close(self) -> None:
        """Ends the iteration; also while it waits."""
        await self._client.unwatch(self)


class XenStoreClient(Verbs):
    """`socket`: where xenstored listens, by default where libxenstore looks for it.  `timeout`:
    seconds without an answer until xenstored counts as hung.  `outage`: seconds that a request
    waits for a lost connection to come back.  `watch_limit`: how many paths may wait in a watch."""

    def __init__(
        self,
        socket: str | Path | None = None,
        *,
        timeout: float = 30.0,
        outage: float = 5.0,
        watch_limit: int = 1024,
    ) -> None:
        self._sockets = socket_paths() if socket is None else (str(socket),)
        self._timeout = timeout
        self._outage = outage
        self._watch_limit = watch_limit
        self._tokens = itertools.count(1)
        self._watches: dict[str, ClientWatch] = {}
        self._connection: Connection | None = None
        self._usable = asyncio.Event()
        self._reason = "this client is not started"
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    # -- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Raises XenStoreUnavailable at once when nobody answers."""
        connection = await self._connect()
        self._keeper = asyncio.create_task(self._keep(connection), name="xenstore connection")

    async def close(self) -> None:
        """Ends the iteration of every watch; requests under way get XenStoreUnavailable."""
        self._closed = True
        self._reason = "this client is closed"
        for watch in self._watches.values():
            watch.inbox.close()
        self._watches.clear()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        if (connection := self._connection) is not None:
            connection.abort(self._reason)
            await connection.lost.wait()
        # Wakes those who wait for a connection; they see that it is closed.
        self._usable.set()

    async def _keep(self, connection: Connection) -> None:
        while True:
            await connection.lost.wait()
            _log.warning("xenstored on %s: %s; reconnecting", connection.socket, connection.reason)
            connection = await self._reconnect()
            _log.info("xenstored on %s answers again", connection.socket)

    async def _reconnect(self) -> Connection:
        pause = 0.02
        while True:
            try:
                return await self._connect()
            except XenStoreUnavailable as error:
                self._reason = error.fields["reason"]
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 2.0)

    async def _connect(self) -> Connection:
        connection = await self._open()
        try:
            await self._introduce(connection)
            if connection.lost.is_set():
                raise connection.loss()
            self._connection = connection
            self._usable.set()
        finally:
            if self._connection is not connection:
                connection.abort("given up")
                await connection.lost.wait()
        return connection

    async def _open(self) -> Connection:
        reasons = []
        for socket in self._sockets:
            try:
                return await connect(socket, self._on_event, self._on_lost, self._timeout)
            except ConnectionLost as error:
                reasons.append(error.fields["reason"])
        # The same reason twice means the same socket under two names.
        raise XenStoreUnavailable(
            path=self._sockets[0],
            reason=f"{' / '.join(dict.fromkeys(reasons))}. Does this host run Xen, is xenstored "
            "started, and are you root?",
        )

    async def _introduce(self, connection: Connection) -> None:
        """Registers the watches again, and finds out whether xenstored answers at all."""
        watches = [watch for watch in self._watches.values() if watch.registered]
        outcomes = await asyncio.gather(
            *(self._register(connection, watch) for watch in watches),
            connection.request(Op.READ, wire.strings("/"), path="/"),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and (
                isinstance(outcome, ConnectionLost) or not isinstance(outcome, XenStoreError)
            ):
                raise outcome
        for watch, outcome in zip(watches, outcomes, strict=False):
            if isinstance(outcome, XenStoreError):
                self._watches.pop(watch.token, None)
                watch.inbox.fail(outcome)
            elif watch.token not in self._watches:  # closed meanwhile
                connection.post(Op.UNWATCH, wire.strings(watch.path, watch.token))

    def _on_lost(self, connection: Connection) -> None:
        if connection is self._connection:
            self._connection = None
            self._usable.clear()
            self._reason = connection.reason

    # -- requests ------------------------------------------------------------------------------

    async def get_domain_path(self, domid: int) -> str:
        """Of any number, whether or not there is such a domain."""
        answer = await self._request(Op.GET_DOMAIN_PATH, wire.strings(str(domid)), str(domid))
        return wire.decode_text(answer.rstrip(b"\0"))

    async def is_domain_introduced(self, domid: int) -> bool:
        answer = await self._request(Op.IS_DOMAIN_INTRODUCED, wire.strings(str(domid)), str(domid))
        return answer.startswith(b"T")

    async def _request(self, op: Op, payload: bytes, path: str) -> bytes:
        return await self._over(
            lambda connection: connection.request(op, payload, path=path), repeat=op in _READS
        )

    async def _over(self, action: Callable[[Connection], Awaitable[T]], *, repeat: bool) -> T:
        """Runs `action` over the connection, and again over the next one when it breaks;
        `repeat`: also when the request had been sent."""
        repeats = _REPEATS
        while True:
            connection = self._connection or await self._next_connection()
            try:
                return await action(connection)
            except ConnectionLost as error:
                repeats -= 1
                if self._closed or repeats == 0 or (error.sent and not repeat):
                    raise
            await connection.lost.wait()

    async def _next_connection(self) -> Connection:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0 if self._keeper is None else self._outage):
                while self._connection is None and not self._closed:
                    await self._usable.wait()
        if self._connection is None:
            raise XenStoreUnavailable(path=self._sockets[0], reason=self._reason)
        return self._connection

    # -- transactions --------------------------------------------------------------------------

    async def transact(
        self, body: Callable[[XenStoreWriter], Awaitable[T]], *, tries: int = 20
    ) -> T:
        """As the port says.  `body` may run several times; what it was given is a transaction
        of its own each time, and of no use afterwards."""
        for attempt in range(1, tries + 1):
            transaction = await self._over(begin, repeat=True)
            try:
                result = await body(transaction)
                if await transaction.commit():
                    return result
            except ConnectionLost:
                if transaction.ended or self._closed or attempt == tries:
                    raise
            finally:
                transaction.discard()
            # Of those who lost the same race, each waits another while.
            await asyncio.sleep(random.uniform(0, min(0.001 * 2**attempt, 0.1)))
        raise XenStoreConflict(
            f"XenStore transaction: it lost against other changes {tries} times",
            operation="transaction_end",
            path="",
            errno_name="EAGAIN",
            tries=tries,
        )

    async def _changing_directory(self, path: str) -> list[str]:
        """Inside a transaction a node stays as it was when it was first read."""

        async def snapshot(connection: Connection) -> list[str]:
            transaction = await begin(connection)
            try:
                return await transaction.directory(path)
            finally:
                transaction.discard()

        return await self._over(snapshot, repeat=True)

    # -- watches -------------------------------------------------------------------------------

    async def watch(self, path: str) -> ClientWatch:
        """The path itself is reported at once, since xenstored does so for every new watch.

        A slow consumer gets each path once, however often it changed meanwhile; when more than
        `watch_limit` paths wait, `path` takes their place: look at everything under it.
        """
        watch = ClientWatch(self, path, f"xend-{next(self._tokens)}", self._watch_limit)
        self._watches[watch.token] = watch
        try:
            await self._over(lambda connection: self._register(connection, watch), repeat=True)
        finally:
            if not watch.registered:
                self._watches.pop(watch.token, None)
        return watch

    @asynccontextmanager
    async def watching(self, path: str) -> AsyncIterator[ClientWatch]:
        watch = await self.watch(path)
        try:
            yield watch
        finally:
            await watch.close()

    async def unwatch(self, watch: ClientWatch) -> None:
        watch.inbox.close()
        known = self._watches.pop(watch.token, None)
        connection = self._connection
        if known is None or connection is None:
            return
        payload = wire.strings(watch.path, watch.token)
        with contextlib.suppress(XenStoreUnavailable, XenStoreMissing):
            await connection.request(Op.UNWATCH, payload, path=watch.path)

    async def _register(self, connection: Connection, watch: ClientWatch) -> None:
        payload = wire.strings(watch.path, watch.token)
        await connection.request(
            Op.WATCH,
            payload,
            path=watch.path,
            orphan=lambda _: connection.post(Op.UNWATCH, payload),
        )
        # Before a new connection can ask for the registered ones: making it takes longer.
        watch.registered = True

    def _on_event(self, path: str, token: str) -> None:
        watch = self._watches.get(token)
        if watch is not None:
            watch.inbox.put(path)
