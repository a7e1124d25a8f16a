"""The probe that every test of a face runs under must itself work."""

from __future__ import annotations

import asyncio
import time

from tests.faces.loopprobe import LoopProbe


def work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def test_the_probe_notices_work_and_sleep() -> None:
    with LoopProbe() as probe:
        asyncio.get_running_loop().call_soon(time.sleep, 0.6)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert probe.slept > 0.5
    assert "sleep" in probe.culprit


async def test_the_probe_notices_work() -> None:
    with LoopProbe() as probe:
        asyncio.get_running_loop().call_soon(work, 0.25)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert "work" in probe.culprit


async def test_waiting_as_one_should_is_fine() -> None:
    with LoopProbe() as probe:
        await asyncio.sleep(0.6)
    assert probe.culprit == ""
