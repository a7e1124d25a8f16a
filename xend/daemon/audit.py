"""A line in the audit for the end of every operation, whichever face it came from."""

from __future__ import annotations

import asyncio
import logging

from xend.core.access import AuditError, AuditLine, AuditLog
from xend.core.domains import DomainService
from xend.core.events import Event, ReaderTooSlow
from xend.core.jobs import FINISHED, Job
from xend.core.operationcounts import OperationCounts
from xend.errors import InvalidArgument

log = logging.getLogger("xend.audit")


class OperationAudit:
    """Follows the events; its task is ended by `close`.  Counts them too."""

    def __init__(self, service: DomainService, audit: AuditLog, counts: OperationCounts) -> None:
        self._service = service
        self._audit = audit
        self._counts = counts
        self._events = service.events.subscribe(topics={"job"})
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._follow(), name="xend-audit")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        self._events.close()

    async def _follow(self) -> None:
        while True:
            try:
                async for event in self._events:
                    await self._note(event)
            except ReaderTooSlow as error:
                log.error("operations are missing in the audit: %s", error)
                self._events = self._service.events.subscribe(topics={"job"})
            else:
                return  # the service has been closed

    async def _note(self, event: Event) -> None:
        if event.kind not in FINISHED:
            return
        try:
            job = self._service.jobs.get(event.ids["job"])
        except InvalidArgument:
            return  # so long ago that it has been forgotten
        self._counts.add(job)
        try:
            await self._audit.append([_line(job)])
        except AuditError as error:
            log.error("%s of %s is missing in the audit: %s", job.kind, job.name, error)


def _line(job: Job) -> AuditLine:
    caller = job.caller
    failure = f": {job.error.key}" if job.error is not None else ""
    return AuditLine(
        time=job.finished or job.created,
        who=caller.label or (f"uid {caller.uid}" if caller.uid is not None else caller.face),
        origin="",
        face=caller.face,
        action=job.kind,
        target=job.uuid or job.name,
        result=f"{job.status.value}{failure}",
        operation=job.id,
    )
