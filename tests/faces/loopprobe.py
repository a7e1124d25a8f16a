"""Notices when the event loop is held up."""

from __future__ import annotations

import asyncio
import resource
import time

LONGEST_WORK = 0.2
"""Seconds of CPU time in one turn of the loop that are too much."""
LONGEST_WAIT = 0.5
"""Seconds that the loop's thread may sleep in a call.  More than of work, because waiting for
Python's lock looks the same, and takes long when other programs use the processors."""


class LoopProbe:
    """Measures each callback of the running loop.

    A thread that was only preempted, by whatever else this machine does, has neither worked nor
    slept: the loop is not to blame for that.
    """

    def __init__(self) -> None:
        self.worked = 0.0
        self.slept = 0.0
        self.culprit = ""
        self._original = asyncio.events.Handle._run

    def __enter__(self) -> LoopProbe:
        original, probe = self._original, self

        def timed(handle: asyncio.events.Handle) -> object:
            wall, cpu, sleeps = time.monotonic(), time.thread_time(), _sleeps()
            try:
                return original(handle)
            finally:
                wall, cpu = time.monotonic() - wall, time.thread_time() - cpu
                probe.note(handle, cpu, wall - cpu if _sleeps() > sleeps else 0.0)

        asyncio.events.Handle._run = timed  # type: ignore[method-assign, assignment]
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.events.Handle._run = self._original  # type: ignore[method-assign]

    def note(self, handle: object, worked: float, slept: float) -> None:
        if (worked > LONGEST_WORK or slept > LONGEST_WAIT) and not self.culprit:
            self.culprit = f"{handle!r}: worked {worked:.3f} s, slept {slept:.3f} s"
        self.worked = max(self.worked, worked)
        self.slept = max(self.slept, slept)


def _sleeps() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
