"""A queue between a source that must not wait and a consumer that may be slow."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Mailbox(Generic[K]):
    """Distinct keys in the order of their first arrival; a key that already waits is not added.

    Holds at most `limit` keys.  One more empties it and leaves `everything` alone in it, the key
    that means "look at everything again": the consumer loses detail, never a change.

    One consumer iterates over it, until `close` (the loop ends) or `fail` (what had arrived is
    delivered, then the error is raised).
    """

    def __init__(self, everything: K, limit: int = 1024) -> None:
        self._everything = everything
        self._limit = limit
        self._keys: OrderedDict[K, None] = OrderedDict()
        self._overflowed = False
        self._changed = asyncio.Event()
        self._closed = False
        self._error: Exception | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, key: K) -> None:
        if self._closed or self._error is not None or self._overflowed:
            return
        self._keys[key] = None
        if len(self._keys) > self._limit:
            self.put_everything()
        self._changed.set()

    def put_everything(self) -> None:
        """Events may have been lost, so forget the rest and look at everything again."""
        if self._closed or self._error is not None:
            return
        self._keys.clear()
        self._keys[self._everything] = None
        self._overflowed = True
        self._changed.set()

    def close(self) -> None:
        self._closed = True
        self._keys.clear()
        self._changed.set()

    def fail(self, error: Exception) -> None:
        self._error = error
        self._changed.set()

    def __aiter__(self) -> Mailbox[K]:
        return self

    async def __anext__(self) -> K:
        while not self._keys:
            if self._closed:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            self._changed.clear()
            await self._changed.wait()
        key, _ = self._keys.popitem(last=False)
        self._overflowed = False
        return key
