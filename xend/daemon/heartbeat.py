"""Whether the event loop turns: measured, logged, and told to systemd.

A loop that is stuck for good cannot say so itself; Python's fault handler then writes the stack
of every thread to standard error, from a thread that needs nothing of the interpreter.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import time
from collections.abc import Callable

log = logging.getLogger("xend.heartbeat")

BEAT_SECONDS = 5.0
WORTH_A_LINE = 0.5
"""Seconds that the loop was late."""
STUCK_SECONDS = 60


class Heartbeat:
    def __init__(self, alive: Callable[[], None], seconds: float | None) -> None:
        """`alive` is called at every beat; `seconds` between two, at most BEAT_SECONDS."""
        self._alive = alive
        self._seconds = min(seconds or BEAT_SECONDS, BEAT_SECONDS)
        self._task: asyncio.Task[None] | None = None
        self.longest = 0.0
        """Seconds that the loop was ever late."""
        self.lag = 0.0
        """Seconds that it was late at the last beat."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._beat(), name="xend-heartbeat")

    async def close(self) -> None:
        faulthandler.cancel_dump_traceback_later()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _beat(self) -> None:
        while True:
            self._alive()
            faulthandler.dump_traceback_later(STUCK_SECONDS, exit=False)
            before = time.monotonic()
            await asyncio.sleep(self._seconds)
            late = time.monotonic() - before - self._seconds
            self.lag = max(late, 0.0)
            self.longest = max(self.longest, late)
            if late > WORTH_A_LINE:
                log.warning("the event loop was held up for %.1f s", late)
