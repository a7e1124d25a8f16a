"""Threads for what may wait for a disk, so that the event loop never does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DiskThreads:
    """One thread keeps its calls in order; several do not wait for each other's dead NFS mount."""

    def __init__(self, name: str, threads: int = 1) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A call that has begun goes on to its end although its caller is cancelled."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: call(*args, **kwargs))

    def begin(self, call: Callable[[], None]) -> None:
        """One that nobody waits for, and that tells of its own failures."""
        self._pool.submit(call)

    async def close(self) -> None:
        """After what was queued has run."""
        done = [self._pool.submit(lambda: None)]
        await asyncio.gather(*map(asyncio.wrap_future, done))
        self._pool.shutdown(wait=True, cancel_futures=True)
