"""Operations that could be neither finished nor taken back.

Their intents stay open, and the next start would settle them.  Here they are tried before that, by
the same rules and in the turn of their domain, a few times at growing distances: what was in the
way (a full disk, a domain that would not go) has mostly gone by then.  After the last try the
intent is the next start's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from xend.core.context import Context
from xend.core.jobs import Job, JobRunner
from xend.core.ports import Intent
from xend.core.views import XEND_ITSELF
from xend.errors import XendError

log = logging.getLogger("xend.unsettled")

PAUSES: Final = (10.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds before each try."""
LOOK_SECONDS: Final = 5.0


@dataclass(slots=True)
class _Waiting:
    due: float
    """By the time of the loop."""
    told: bool
    """That it failed: it is not to be finished any more."""
    tries: int = 0


class Unsettled:
    def __init__(
        self, context: Context, jobs: JobRunner, settle: Callable[[Intent], Awaitable[None]]
    ) -> None:
        """`settle` ends the intent, or hands it to a job that does; else it raises a XendError."""
        self._context = context
        self._jobs = jobs
        self._settle = settle
        self._waiting: dict[int, _Waiting] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._work(), name="xend-unsettled")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.try_again()
            except XendError as error:
                log.error("what is unsettled cannot be looked at: %s", error)

    async def try_again(self) -> None:
        """Those whose time has come, each in a job of its domain; returns when they have ended."""
        now = asyncio.get_running_loop().time()
        for number, told in self._context.left_open.items():
            self._waiting.setdefault(number, _Waiting(now + PAUSES[0], told))
        self._context.left_open.clear()
        due = {number for number, waiting in self._waiting.items() if waiting.due <= now}
        if not due:
            return
        intents = {intent.id: intent for intent in await self._context.journal.open_intents()}
        for number in due - intents.keys():
            del self._waiting[number]
        jobs = [self._submit(intents[number]) for number in sorted(due & intents.keys())]
        for job in jobs:
            try:
                await job.wait()
            except XendError as error:
                log.warning("%s of %s: %s", job.kind, job.name, error)

    def _submit(self, intent: Intent) -> Job:
        async def body(job: Job) -> None:
            waiting = self._waiting[intent.id]
            waiting.tries += 1
            # It may have changed while this waited for its turn.
            open_now = {each.id: each for each in await self._context.journal.open_intents()}
            if intent.id in open_now:
                found = open_now[intent.id]
                if waiting.told:  # In the journal, too, unless the disk was full.
                    found = replace(found, data={**found.data, "undo": True})
                try:
                    await self._settle(found)
                except XendError:
                    self._postpone(intent.id, waiting)
                    raise
            self._waiting.pop(intent.id, None)

        name = str(intent.data.get("name") or intent.uuid)
        return self._jobs.submit(
            f"settle-{intent.kind}", body, uuid=intent.uuid, name=name, caller=XEND_ITSELF
        )

    def _postpone(self, number: int, waiting: _Waiting) -> None:
        if waiting.tries < len(PAUSES):
            waiting.due = asyncio.get_running_loop().time() + PAUSES[waiting.tries]
        else:
            log.error("an operation is left to the next start of xend")
            del self._waiting[number]
