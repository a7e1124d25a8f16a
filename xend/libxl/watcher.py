"""Events of domains: a thread in libxl, an asynchronous iterator outside.

The thread owns one context in which nothing else is ever run.  When that context fails (xenstored
gone, libxl out of its depth) it is replaced, and consumers are told to look at everything again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from xend.core.ports import HypervisorEvent, HypervisorEventKind
from xend.libxl import observed
from xend.model.status import ShutdownReason
from xend.model.units import DOM0, Domid
from xend.trace import mark

if TYPE_CHECKING:
    from xend.libxl.ctx import Context, DominfoTuple
    from xend.libxl.poller import Poller

log = logging.getLogger(__name__)

_MOST_QUEUED = 10_000
_RETRY_SECONDS = 1.0


class EventQueue:
    """From the event thread to one consumer on the loop.  Overflow becomes a RESYNC: nothing is
    lost silently, and memory has a bound."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._events: deque[HypervisorEvent] = deque()
        self._arrived = asyncio.Event()

    def put(self, event: HypervisorEvent) -> None:
        """From any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._put, event)

    def _put(self, event: HypervisorEvent) -> None:
        if event.kind is HypervisorEventKind.RESYNC or len(self._events) >= _MOST_QUEUED:
            self._events.clear()
            event = resync()
        self._events.append(event)
        self._arrived.set()

    async def read(self) -> AsyncIterator[HypervisorEvent]:
        while True:
            while self._events:
                yield self._events.popleft()
            self._arrived.clear()
            await self._arrived.wait()


def resync() -> HypervisorEvent:
    return HypervisorEvent(HypervisorEventKind.RESYNC, DOM0)


class Watcher:
    """The event thread."""

    def __init__(self) -> None:
        self._queue: EventQueue | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._wake_fd = -1
        self._uuids: dict[int, str] = {}
        self._ended: set[int] = set()
        """Domains whose shutdown has been reported."""

    async def start(self) -> None:
        """Returns once events flow (or are being retried)."""
        self._queue = EventQueue(asyncio.get_running_loop())
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="libxl-events", daemon=True)
        self._thread.start()
        await asyncio.to_thread(self._ready.wait)

    async def close(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            os.eventfd_write(self._wake_fd, 1)
            await asyncio.to_thread(self._thread.join)
            os.close(self._wake_fd)
            self._thread = None

    def events(self) -> AsyncIterator[HypervisorEvent]:
        if self._queue is None:
            raise RuntimeError("events before start")
        return self._queue.read()

    def _run(self) -> None:
        from xend.libxl.ctx import Context

        while not self._stopping.is_set():
            try:
                with Context() as context:
                    self._watch(context)
            except Exception:  # the event thread must not die of anything
                log.exception("libxl's events failed; starting again")
            self._ready.set()
            self._stopping.wait(_RETRY_SECONDS)

    def _watch(self, context: Context) -> None:
        from xend.libxl.poller import Poller

        poller = Poller(context, self._wake_fd)
        try:
            self._uuids.clear()
            self._ended.clear()
            for record in poller.new_domains():
                self._uuids[record[0]] = observed.uuid_text(record[-1])
            self._post(HypervisorEventKind.RESYNC, DOM0)
            self._ready.set()
            while not self._stopping.is_set():
                if poller.wait():
                    for record in poller.new_domains():
                        self._appeared(context, record)
                for died, domid, reason in list(poller.events()):
                    self._happened(poller, died, domid, reason)
        finally:
            poller.close()

    def _appeared(self, context: Context, record: DominfoTuple) -> None:
        """Its end may have come before it was watched: then libxl reports it only when some other
        domain ends."""
        domid = record[0]
        self._uuids[domid] = observed.uuid_text(record[-1])
        self._post(HypervisorEventKind.CREATED, domid)
        now = context.info(domid)
        if now is not None:
            info = observed.domain(now)
            if info.shutdown:
                self._shut_down(domid, info.shutdown_reason)

    def _happened(self, poller: Poller, died: bool, domid: int, reason: int) -> None:
        if not died:
            self._shut_down(domid, observed.reason(reason))
            return
        self._post(HypervisorEventKind.DEATH, domid)
        poller.forget(domid)
        self._uuids.pop(domid, None)
        self._ended.discard(domid)

    def _shut_down(self, domid: int, reason: ShutdownReason) -> None:
        if domid not in self._ended:
            self._ended.add(domid)
            self._post(HypervisorEventKind.SHUTDOWN, domid, reason)

    def _post(
        self,
        kind: HypervisorEventKind,
        domid: int,
        reason: ShutdownReason = ShutdownReason.UNKNOWN,
    ) -> None:
        mark("event", kind.name)
        event = HypervisorEvent(kind, Domid(domid), self._uuids.get(domid, ""), reason)
        if self._queue is not None:
            self._queue.put(event)
