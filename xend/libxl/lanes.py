"""Threads that own libxl contexts: how the event loop gets an answer without blocking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from xend.trace import mark

if TYPE_CHECKING:
    from xend.libxl.ctx import Context

T = TypeVar("T")


class Lane:
    """As many threads as contexts; a call waits only for others of its lane.

    libxl holds a context's lock through a whole build, so what must stay quick never shares a
    context with what may be long.
    """

    def __init__(self, name: str, open_context: Callable[[], Context], contexts: int = 1) -> None:
        self._open = open_context
        self._name = name
        self._count = contexts
        self._idle: SimpleQueue[Context] = SimpleQueue()
        self._threads = ThreadPoolExecutor(contexts, thread_name_prefix=f"libxl-{name}")

    async def start(self) -> None:
        """Opens the contexts; raises XlError when libxl cannot."""
        loop = asyncio.get_running_loop()
        for _ in range(self._count):
            self._idle.put(await loop.run_in_executor(self._threads, self._open))

    async def run(self, call: Callable[[Context], T]) -> T:
        """`call` with a context, on a thread of this lane.  A caller that is cancelled leaves the
        call running to its end: a hypercall cannot be taken back."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, call)

    def _run(self, call: Callable[[Context], T]) -> T:
        context = self._idle.get()
        mark("lane begins", self._name)
        try:
            return call(context)
        finally:
            mark("lane ends", self._name)
            self._idle.put(context)

    async def close(self) -> None:
        """Waits for what runs, then frees the contexts on a thread of the lane."""
        loop = asyncio.get_running_loop()
        while not self._idle.empty():
            await loop.run_in_executor(self._threads, self._close_one)
        self._threads.shutdown(wait=False)

    def _close_one(self) -> None:
        self._idle.get().close()
