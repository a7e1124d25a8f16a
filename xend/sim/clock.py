"""A clock for tests: time passes when somebody says so, or when all that is left is waiting."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class VirtualClock:
    """`ports.Clock`.

    With `auto` a sleeper who is next in line is woken after `ROUNDS` rounds of the event loop, so
    that a test of hours takes milliseconds; without it, only `advance` moves the time.
    """

    ROUNDS = 10
    """Enough for what other tasks can do without waiting for a thread or a socket."""

    def __init__(self, start: float = 1_700_000_000.0, *, auto: bool = False) -> None:
        self._now = start
        self._set_by = 0.0
        self._auto = auto
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self._now + self._set_by

    def monotonic(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        """Someone sets the host's clock: the monotonic one and sleepers do not notice."""
        self._set_by += seconds

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        due = self._now + seconds
        heapq.heappush(self._sleepers, (due, next(self._order), woken))
        if self._auto:
            for _ in range(self.ROUNDS):
                await asyncio.sleep(0)
            while not woken.done():
                self._wake_next()
                await asyncio.sleep(0)
        await woken

    async def advance(self, seconds: float) -> None:
        """Wakes in order whoever sleeps no longer than that, and lets each run."""
        until = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= until:
            self._wake_next()
            for _ in range(self.ROUNDS):
                await asyncio.sleep(0)
        self._now = until
        for _ in range(self.ROUNDS):
            await asyncio.sleep(0)

    def _wake_next(self) -> None:
        due, _, woken = heapq.heappop(self._sleepers)
        self._now = max(self._now, due)
        if not woken.done():
            woken.set_result(None)
