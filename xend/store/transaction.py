"""One try of a transaction.  It belongs to its connection and ends with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from xend.core.ports import XenStoreWriter
from xend.errors import XenStoreConflict, XenStoreError
from xend.store import wire
from xend.store.connection import Connection
from xend.store.verbs import Verbs
from xend.store.wire import Op

T = TypeVar("T")

_COMMIT: Final = b"T\0"
_DISCARD: Final = b"F\0"


class Transaction(Verbs):
    """What the body of `transact` gets."""

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection = connection
        self._number = number
        self._ended = False

    @property
    def ended(self) -> bool:
        """Its end has been sent."""
        return self._ended

    async def transact(
        self, body: Callable[[XenStoreWriter], Awaitable[T]], *, tries: int = 20
    ) -> T:
        """XenStore knows no nesting: the body joins this transaction, and its commit decides."""
        return await body(self)

    async def commit(self) -> bool:
        """False: it lost against another change and is over; try again from the beginning."""
        if self._connection.lost.is_set():
            raise self._connection.loss()
        self._ended = True
        try:
            await self._connection.request(Op.TRANSACTION_END, _COMMIT, transaction=self._number)
        except XenStoreConflict:
            return False
        return True

    def discard(self) -> None:
        """Does not wait, so that it is safe while being cancelled.  Nothing when it is over."""
        if not self._ended:
            self._ended = True
            self._connection.post(Op.TRANSACTION_END, _DISCARD, transaction=self._number)

    async def _request(self, op: Op, payload: bytes, path: str) -> bytes:
        if self._ended:
            raise XenStoreError(
                f"XenStore {op.name.lower()} {path}: its transaction is over",
                operation=op.name.lower(),
                path=path,
                errno_name="EINVAL",
            )
        return await self._connection.request(op, payload, path=path, transaction=self._number)


async def begin(connection: Connection) -> Transaction:
    def end(answer: bytes) -> None:
        Transaction(connection, wire.transaction_id(answer)).discard()

    answer = await connection.request(Op.TRANSACTION_START, b"\0", orphan=end)
    return Transaction(connection, wire.transaction_id(answer))
