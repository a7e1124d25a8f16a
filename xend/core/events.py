"""The ordered stream of what happened.

Events carry ids, not data, so that they coalesce and never go stale: who wants data asks for it.
Numbers begin at 1 and have no gaps.  A reader that falls behind is cut off with an error that
names the last number it got, and may subscribe again from there while that is still kept; it is
never silently skipped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from xend.errors import OperationFailed


class EventsLost(OperationFailed):
    """The reader was too slow, or asked for what is no longer kept.  Fields: `after`, `oldest`."""

    key = "events.lost"
    template = "Events after {after} are no longer kept (the oldest is {oldest})"


@dataclass(frozen=True, slots=True)
class Event:
    seq: int
    time: float
    """Seconds since the epoch."""
    kind: str
    """`created`, `destroyed`, `changed`, `shutdown`, `restarted` … of the topic."""
    topic: str
    """`domain`, `job`, `device` or `host`."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """e.g. uuid, name, domid, job."""


class Subscription:
    """An asynchronous iterator of events; ends when it is closed."""

    def __init__(self, bus: EventBus, after: int, backlog: int) -> None:
        self._bus = bus
        self._last = after
        self._backlog = backlog
        self._queue: deque[Event] = deque()
        self._wakeup = asyncio.Event()
        self._lost = False
        self._closed = False

    def offer(self, event: Event) -> None:
        if len(self._queue) >= self._backlog:
            self._queue.clear()
            self._lost = True
        elif not self._lost:
            self._queue.append(event)
        self._wakeup.set()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._queue:
            if self._lost:
                self.close()
                raise EventsLost(after=self._last, oldest=self._bus.oldest)
            if self._closed:
                raise StopAsyncIteration
            self._wakeup.clear()
            await self._wakeup.wait()
        event = self._queue.popleft()
        self._last = event.seq
        return event

    def close(self) -> None:
        self._closed = True
        self._bus.drop(self)
        self._wakeup.set()


class EventBus:
    def __init__(self, now: Callable[[], float], *, kept: int = 4096, first: int = 1) -> None:
        self._now = now
        self._kept: deque[Event] = deque(maxlen=kept)
        self._next = first
        self._readers: list[Subscription] = []

    @property
    def last(self) -> int:
        """The number of the newest event; 0 before the first."""
        return self._next - 1

    @property
    def oldest(self) -> int:
        """The number of the oldest that can be replayed."""
        return self._kept[0].seq if self._kept else self._next

    def publish(self, kind: str, topic: str, ids: Mapping[str, str]) -> Event:
        event = Event(self._next, self._now(), kind, topic, dict(ids))
        self._next += 1
        self._kept.append(event)
        for reader in tuple(self._readers):
            reader.offer(event)
        return event

    def subscribe(self, after: int | None = None, *, backlog: int = 1024) -> Subscription:
        """From the next event on, or replay those numbered above `after`; raises EventsLost."""
        start = self.last if after is None else after
        if start + 1 < self.oldest:
            raise EventsLost(after=start, oldest=self.oldest)
        replayed = [event for event in self._kept if event.seq > start]
        reader = Subscription(self, start, backlog + len(replayed))
        for event in replayed:
            reader.offer(event)
        self._readers.append(reader)
        return reader

    def drop(self, reader: Subscription) -> None:
        with suppress(ValueError):
            self._readers.remove(reader)

    def close(self) -> None:
        for reader in tuple(self._readers):
            reader.close()
