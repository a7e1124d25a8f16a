"""The way of events from the event thread to their consumer."""

from __future__ import annotations

import asyncio
import threading

import pytest

from xend.core.ports import HypervisorEvent, HypervisorEventKind
from xend.libxl import watcher
from xend.libxl.watcher import EventQueue
from xend.model.units import Domid


def event(domid: int) -> HypervisorEvent:
    return HypervisorEvent(HypervisorEventKind.CREATED, Domid(domid))


async def test_events_of_another_thread_arrive_in_order() -> None:
    queue = EventQueue(asyncio.get_running_loop())

    def put_all() -> None:
        for number in range(100):
            queue.put(event(number))

    thread = threading.Thread(target=put_all)
    thread.start()
    seen = []
    async for each in queue.read():
        seen.append(each.domid)
        if len(seen) == 100:
            break
    thread.join()
    assert seen == list(range(100))


async def test_too_many_become_a_resync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "_MOST_QUEUED", 10)
    queue = EventQueue(asyncio.get_running_loop())
    for number in range(12):
        queue.put(event(number))
    await asyncio.sleep(0)
    kinds = []
    async for each in queue.read():
        kinds.append((each.kind, each.domid))
        if len(kinds) == 2:
            break
    assert kinds == [(HypervisorEventKind.RESYNC, 0), (HypervisorEventKind.CREATED, 11)]
