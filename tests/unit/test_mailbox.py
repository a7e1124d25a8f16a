"""The queue between a source that must not wait and a slow consumer."""

from __future__ import annotations

import asyncio

import pytest

from xend.core.mailbox import Mailbox


async def test_a_key_waits_once_in_the_place_of_its_first_arrival() -> None:
    box = Mailbox("all")
    for key in ("a", "b", "a", "all", "c", "b"):
        box.put(key)
    assert [await anext(box) for _ in range(4)] == ["a", "b", "all", "c"]
    box.put("a")
    assert await anext(box) == "a"


async def test_too_many_become_one_that_means_everything() -> None:
    box = Mailbox("all", limit=3)
    for number in range(10):
        box.put(f"{number}")
    assert len(box) == 1
    assert await anext(box) == "all"
    box.put("later")
    assert await anext(box) == "later"


async def test_everything_may_be_asked_for() -> None:
    box = Mailbox("all")
    box.put("a")
    box.put_everything()
    box.put("b")
    assert await anext(box) == "all"
    assert len(box) == 0


async def test_close_ends_a_waiting_consumer() -> None:
    box = Mailbox("all")

    async def consume() -> list[str]:
        return [key async for key in box]

    task = asyncio.create_task(consume())
    box.put("a")
    await asyncio.sleep(0.01)
    box.close()
    assert await asyncio.wait_for(task, 1) == ["a"]
    box.put("b")
    box.put_everything()
    assert len(box) == 0


async def test_a_failure_comes_after_what_had_arrived() -> None:
    box = Mailbox("all")
    box.put("a")
    box.fail(LookupError("gone"))
    box.put("b")
    assert await anext(box) == "a"
    with pytest.raises(LookupError):
        await anext(box)


async def test_a_cancelled_consumer_loses_nothing() -> None:
    box = Mailbox("all")
    task = asyncio.ensure_future(anext(box))
    await asyncio.sleep(0)
    box.put("a")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await anext(box) == "a"
