"""The records of jobs on their way to disk.

What a job is doing is written behind its back, as much at once as has gathered.  How it has ended
is written before anybody is told: an answer that was given is then in the history also when xend
is killed in the next moment.  That costs a commit that waits for no disk (`store.history`).  A disk
that is full or does not answer holds up nobody for longer than `PATIENCE`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from xend.core.ports import JobLog
from xend.errors import XendError

if TYPE_CHECKING:
    from xend.core.jobs import Job

log = logging.getLogger("xend.jobs")

GATHER_SECONDS: Final = 1.0
"""What a job is doing is written at most so often: of one that is quick only its end."""
PATIENCE: Final = 2.0
"""Seconds that the end of a job may wait for its record."""

Told = Callable[["Job"], None]


class JobRecords:
    def __init__(self, log: JobLog | None, *, kept: int, patience: float = PATIENCE) -> None:
        """Without a `log` nothing is written; of what cannot be written the last `kept` are
        kept for later."""
        self._log = log
        self._kept = kept
        self._patience = patience
        self._dirty: dict[str, Job] = {}
        self._ended: list[tuple[Job, Told]] = []
        """Their records are among the dirty."""
        self._wakeup = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._failing = False
        self._stuck = False
        self._writer: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._log is not None:
            self._writer = asyncio.create_task(self._write_behind(), name="xend-jobs-writer")
            self._wakeup.set()

    def keep(self, job: Job) -> None:
        """Some time soon."""
        if self._log is not None:
            self._dirty[job.id] = job
            if self._timer is None:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(GATHER_SECONDS, self._wakeup.set)

    def keep_end(self, job: Job, told: Told) -> None:
        """And call `told` when it is written, or cannot be."""
        self.keep(job)
        if self._writer is None or self._stuck:
            told(job)
        else:
            self._ended.append((job, told))
            self._wakeup.set()

    async def put(self, job: Job) -> None:
        """At once."""
        if self._log is not None:
            await self._log.put_jobs([job.record()])

    async def close(self) -> None:
        """When no job is under way any more."""
        self._closing = True
        self._wakeup.set()
        if self._writer is not None:
            await asyncio.wait([self._writer])
            self._writer = None

    async def _write_behind(self) -> None:
        while not self._closing:
            await self._wakeup.wait()
            self._wakeup.clear()
            while self._dirty and await self._write():
                pass
        await self._write()

    async def _write(self) -> bool:
        """Whether it could be written."""
        assert self._log is not None, "there is no writer without a log"
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._dirty = self._dirty, {}
        waiting, self._ended = self._ended, []
        written = asyncio.create_task(
            self._log.put_jobs([job.record() for job in batch.values()]), name="xend-jobs-put"
        )
        await asyncio.wait([written], timeout=self._patience)
        if not written.done():
            log.error("the records of jobs are not written within %.0f s", self._patience)
            self._stuck = True
            self._tell(waiting)
            waiting, self._ended = self._ended, []
            self._tell(waiting)
            await asyncio.wait([written])
            self._stuck = False
        try:
            written.result()
        except XendError as error:
            # A full disk must not stop the operations themselves: those have intents.
            if not self._failing:
                log.error("the records of jobs cannot be written: %s", error)
            self._failing = True
            again = batch | self._dirty
            self._dirty = dict([*again.items()][-self._kept :])  # With the next one.
            return False
        else:
            self._failing = False
            return True
        finally:
            self._tell(waiting)

    @staticmethod
    def _tell(ended: list[tuple[Job, Told]]) -> None:
        for job, told in ended:
            told(job)
