"""The ordered stream of what happened: numbered, replayable, also after a restart.

Events carry ids, not data, so that they coalesce and never go stale: who wants data asks for it.
Numbers begin at 1 and go on across restarts of xend, without a gap and without a repeat: with a
log, readers get an event only when it has been written, by a task that writes what has gathered
and that nobody waits for.  Only a crash of the whole host may cost what was written last; then an
event of kind `lost` (topic `host`, ids `from` and `to`) stands for the numbers that were skipped.

A reader that falls behind is cut off with an error that names the last number it got, and may
subscribe again from there while that is still kept; it is never silently skipped.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from xend.errors import OperationFailed, XendError

log = logging.getLogger("xend.events")

TOPICS: Final = frozenset({"domain", "device", "job", "host"})
LOST: Final = "lost"

_PAGE: Final = 512
"""Events that a replay reads from disk at once."""
_GATHER_SECONDS: Final = 0.05
"""Those of one operation are written together."""
_BURST: Final = 128
"""So many are delivered before the readers get a turn: a burst makes nobody slow."""
_RETRY_SECONDS: Final = 2.0


class EventsGone(OperationFailed):
    """That number is no longer kept, or was never given: the number is of another stream.

    Fields: `after` (what was asked for), `oldest` and `newest` (what is kept).
    """

    key = "events.gone"
    template = (
        "Events after {after} cannot be replayed: those from {oldest} to {newest} are kept. "
        "Look at everything again, and subscribe from there"
    )


class ReaderTooSlow(OperationFailed):
    """The reader was cut off.  Fields: `after` (the last number that it got), `backlog`."""

    key = "events.too-slow"
    template = (
        "The reader of events was too slow: more than {backlog} waited for it. "
        "Subscribe again after {after}"
    )


@dataclass(frozen=True, slots=True)
class Event:
    seq: int
    time: float
    """Seconds since the epoch; the clock may have been set back between two events."""
    kind: str
    """`created`, `destroyed`, `changed`, `shutdown`, `restarted` … of the topic."""
    topic: str
    """`domain`, `job`, `device` or `host`."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """e.g. uuid, name, domid, job."""

    def follows(self, seq: int) -> bool:
        """Whether nothing is missing between number `seq` and this one."""
        if self.kind == LOST and self.topic == "host":
            return int(self.ids["from"]) <= seq + 1 <= self.seq
        return self.seq == seq + 1


@dataclass(frozen=True, slots=True)
class Kept:
    """What a log has."""

    oldest: int
    """The number of its first event; `next` when it has none."""
    newest: int
    """0 when it has none."""
    next: int
    """The first number that nobody can have been given."""


class EventLog(Protocol):
    """Events on disk; those that are too old are dropped when others are added."""

    async def kept(self) -> Kept: ...

    async def append(self, events: Sequence[Event]) -> int:
        """All of them or, with an error, none; returns the number of the oldest that is kept.
        What came before is dropped when the first of them does not follow it."""

    async def read(self, after: int, limit: int) -> Sequence[Event]:
        """In order, those numbered above `after`, at most `limit`."""


class Subscription:
    """An asynchronous iterator of events; ends when it is closed."""

    def __init__(
        self, bus: EventBus, after: int, topics: Collection[str] | None, backlog: int
    ) -> None:
        self._bus = bus
        self._last = after
        self._passed = after
        """Up to here everything has been delivered, or is of another topic, or is queued."""
        self._topics = None if topics is None else frozenset(topics)
        self._backlog = backlog
        self._room = backlog
        self._queue: deque[Event] = deque()
        self._wakeup = asyncio.Event()
        self._live = False
        self._cut_off = False
        self._closed = False

    @property
    def last(self) -> int:
        """The number of the last event that was taken; where to subscribe again."""
        return self._last

    def offer(self, event: Event) -> None:
        """From the bus, once the replay has caught up."""
        if event.seq <= self._passed or self._cut_off:
            return
        self._passed = event.seq
        if not self._wants(event):
            return
        if len(self._queue) >= self._room:
            self._queue.clear()
            self._cut_off = True
        else:
            self._queue.append(event)
        self._wakeup.set()

    def _wants(self, event: Event) -> bool:
        # That numbers were lost concerns every reader.
        return self._topics is None or event.topic in self._topics or event.kind == LOST

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._queue:
            if self._cut_off:
                self.close()
                raise ReaderTooSlow(after=self._last, backlog=self._backlog)
            if self._closed:
                raise StopAsyncIteration
            if self._live:
                self._wakeup.clear()
                await self._wakeup.wait()
            else:
                await self._catch_up()
        return self._taken()

    def waiting(self, most: int) -> list[Event]:
        """Takes those that can be had at once, at most so many."""
        found: list[Event] = []
        while self._queue and len(found) < most:
            found.append(self._taken())
        return found

    def _taken(self) -> Event:
        event = self._queue.popleft()
        if self._room > self._backlog:
            self._room -= 1
        self._last = event.seq
        return event

    async def _catch_up(self) -> None:
        """A page from disk, or the rest from memory and then what comes."""
        recent = self._bus.recent(self._passed)
        if recent is None:
            page = await self._bus.page(self._passed)
            self._queue.extend(event for event in page if self._wants(event))
            self._passed = page[-1].seq
            return
        self.go_live(recent)

    def go_live(self, recent: Sequence[Event]) -> None:
        self._live = True
        self._room = self._backlog + len(recent) + self._bus.undelivered
        self._queue.extend(event for event in recent if self._wants(event))
        if recent:
            self._passed = recent[-1].seq
            self._wakeup.set()
        self._bus.join(self)

    def close(self) -> None:
        self._closed = True
        self._bus.drop(self)
        self._wakeup.set()


class EventBus:
    def __init__(
        self, now: Callable[[], float], log: EventLog | None = None, *, kept: int = 4096
    ) -> None:
        """`kept`: so many are in memory; without a `log` older ones are gone."""
        self._now = now
        self._log = log
        self._ring: deque[Event] = deque(maxlen=kept)
        self._next = 1
        self._oldest_written = 1
        self._readers: list[Subscription] = []
        self._unwritten: deque[Event] = deque()
        self._wakeup = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._failing = False
        self._closing = asyncio.Event()

    async def start(self) -> None:
        """Goes on where a former run ended.  What was published before is numbered after that."""
        if self._log is None:
            return
        kept = await self._log.kept()
        early, self._ring = [*self._ring], deque(maxlen=self._ring.maxlen)
        self._oldest_written = kept.oldest
        self._next = kept.next
        if kept.newest + 1 < kept.next:
            ids = {"from": str(kept.newest + 1), "to": str(kept.next - 1)}
            log.warning("the host crashed: events %(from)s to %(to)s may have been lost", ids)
            self._unwritten.append(Event(self._take_number(), self._now(), LOST, "host", ids))
        for event in early:
            self._unwritten.append(
                Event(self._take_number(), event.time, event.kind, event.topic, event.ids)
            )
        self._wakeup.set()
        self._writer = asyncio.create_task(self._write_behind(), name="xend-events-writer")

    @property
    def newest(self) -> int:
        """The number of the newest event; 0 before the first.  What is read now is at least as
        new, so that `subscribe(after=newest)` misses nothing."""
        return self._next - 1

    @property
    def oldest(self) -> int:
        """The number of the oldest that can be replayed."""
        if self._log is not None:
            return self._oldest_written
        return self._ring[0].seq if self._ring else self._next

    def publish(self, kind: str, topic: str, ids: Mapping[str, str]) -> Event:
        event = Event(self._take_number(), self._now(), kind, topic, dict(ids))
        if self._writer is None:
            self._deliver(event)
        else:
            self._unwritten.append(event)
            self._wakeup.set()
        return event

    def _take_number(self) -> int:
        self._next += 1
        return self._next - 1

    def _deliver(self, event: Event) -> None:
        self._ring.append(event)
        for reader in tuple(self._readers):
            reader.offer(event)

    # -- Readers -----------------------------------------------------------------------------------

    def subscribe(
        self,
        after: int | None = None,
        *,
        topics: Collection[str] | None = None,
        backlog: int = 1024,
    ) -> Subscription:
        """From the next event on, or replay those numbered above `after`; `topics` None: all.
        Raises EventsGone.  The subscription raises ReaderTooSlow when more than `backlog` events
        wait to be taken, and EventsGone when a replay is overtaken."""
        start = self.newest if after is None else after
        if start > self.newest or start + 1 < self.oldest:
            raise self.gone(start)
        reader = Subscription(self, start, topics, backlog)
        recent = self.recent(start)
        if recent is not None:
            reader.go_live(recent)
        return reader

    def gone(self, after: int) -> EventsGone:
        return EventsGone(after=after, oldest=self.oldest, newest=self.newest)

    def recent(self, after: int) -> Sequence[Event] | None:
        """Those above `after`, if memory has them all."""
        first = (self._ring or self._unwritten or (None,))[0]
        if first is None:
            if after + 1 < self._next:
                return None
        elif after + 1 < first.seq and not first.follows(after):
            return None
        return [event for event in self._ring if event.seq > after]

    @property
    def undelivered(self) -> int:
        """Events that have happened, but wait to be written."""
        return len(self._unwritten)

    async def page(self, after: int) -> Sequence[Event]:
        """From disk, at least one; raises EventsGone."""
        if self._log is None:
            raise self.gone(after)
        page = await self._log.read(after, _PAGE)
        if not page or not page[0].follows(after):
            raise self.gone(after)
        return page

    @property
    def readers(self) -> int:
        """How many are caught up and follow."""
        return len(self._readers)

    def join(self, reader: Subscription) -> None:
        self._readers.append(reader)

    def drop(self, reader: Subscription) -> None:
        with suppress(ValueError):
            self._readers.remove(reader)

    # -- The log -----------------------------------------------------------------------------------

    async def _write_behind(self) -> None:
        while not self._closing.is_set():
            await self._wakeup.wait()
            with suppress(TimeoutError):
                patience = _RETRY_SECONDS if self._failing else _GATHER_SECONDS
                await asyncio.wait_for(self._closing.wait(), patience)
            self._wakeup.clear()
            await self._write()
        await self._write()

    async def _write(self) -> None:
        """And then deliver: what a reader has seen is on disk."""
        batch = [*self._unwritten]
        if not batch or self._log is None:
            return
        try:
            self._oldest_written = await self._log.append(batch)
        except XendError as error:
            self._go_on_without(error)
            return
        if self._failing:
            log.info("events are written again")
        self._failing = False
        for number, event in enumerate(batch, 1):
            self._unwritten.popleft()
            self._deliver_once(event)
            if number % _BURST == 0:
                await asyncio.sleep(0)

    def _go_on_without(self, error: XendError) -> None:
        """A full disk: readers get their events all the same, and the disk later."""
        if not self._failing:
            log.error("events cannot be written, and are only in memory: %s", error)
        self._failing = True
        for event in self._unwritten:
            self._deliver_once(event)
        surplus = len(self._unwritten) - (self._ring.maxlen or 0)
        for _ in range(max(0, surplus)):
            # Replay of what is before the hole would skip silently.
            self._oldest_written = self._unwritten.popleft().seq + 1
        self._wakeup.set()

    def _deliver_once(self, event: Event) -> None:
        if not self._ring or self._ring[-1].seq < event.seq:
            self._deliver(event)

    async def close(self) -> None:
        if self._writer is not None:
            self._closing.set()
            self._wakeup.set()
            await self._writer
            self._writer = None
        for reader in tuple(self._readers):
            reader.close()
