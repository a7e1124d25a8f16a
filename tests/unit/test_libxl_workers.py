"""The pool of worker processes, with a stand-in that speaks the protocol instead of libxl."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from xend.errors import HypervisorError, HypervisorUnavailable, JournalError, WorkerCrashed
from xend.libxl import workers
from xend.libxl.workers import Pool

STAND_IN = """
import json, os, signal, sys, time
def say(message):
    print(json.dumps(message), flush=True)
say({"ready": os.getpid()})
for line in sys.stdin:
    request = json.loads(line)
    what = request["op"]
    if what == "pid":
        say({"result": os.getpid()})
    elif what == "progress":
        for percent in (0, 50, 100):
            say({"progress": "x", "domid": 7, "percent": percent, "done": 1, "total": 2})
        say({"result": 7})
    elif what == "fail":
        print("libxl: error: its own log", file=sys.stderr)
        print("a script's word", file=sys.stderr, flush=True)
        error = {"operation": "fail", "rc": -3, "rc_name": "ERROR_FAIL", "log": ["f.c:1:f: no"]}
        say({"error": error})
    elif what == "crash":
        say({"progress": "domain", "domid": 9, "percent": -1, "done": 0, "total": 0})
        print("last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == "sleep":
        say({"progress": "asleep", "domid": 0, "percent": -1, "done": 0, "total": 0})
        time.sleep(request["seconds"])
        say({"result": None})
    elif what == "hold":
        say({"progress": "holds", "domid": 0, "percent": -1, "done": 0, "total": 0})
        say({"result": sys.stdin.readline().strip()})
    elif what == "grow":
        say({"result": os.getpid(), "rss": 10**9})
"""


@asynccontextmanager
async def pool(limit: int = 2, script: str = STAND_IN) -> AsyncIterator[Pool]:
    made = Pool(limit, [sys.executable, "-I", "-S", "-c", script])
    made.start()
    try:
        yield made
    finally:
        await made.close()


def ignore(message: Any) -> None:
    pass


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_worker_that_did_well_is_used_again() -> None:
    async with pool() as made:
        first = await made.run({"op": "pid"}, ignore)
        assert await made.run({"op": "pid"}, ignore) == first
        assert alive(first)
    assert not alive(first), "close ends the workers"


async def test_progress_comes_in_order() -> None:
    seen: list[int] = []
    async with pool() as made:
        assert await made.run({"op": "progress"}, lambda m: seen.append(m["percent"])) == 7
    assert seen == [0, 50, 100]


async def test_an_operation_begins_when_all_is_ready() -> None:
    order: list[str] = []

    async def ready() -> None:
        await asyncio.sleep(0.05)
        order.append("ready")

    async with pool() as made:
        assert await made.run({"op": "hold"}, ignore, ready=ready) == "go"
        assert order == ["ready"]


async def test_an_operation_whose_beginning_fails_never_begins() -> None:
    async def fails() -> None:
        raise JournalError(path="xend.db", reason="disk is full")

    async with pool() as made:
        first = await made.run({"op": "pid"}, ignore)
        with pytest.raises(JournalError):
            await made.run({"op": "hold"}, ignore, ready=fails)
        assert not alive(first)
        assert await made.run({"op": "pid"}, ignore) != first


async def test_a_failure_replaces_the_worker() -> None:
    async with pool() as made:
        first = await made.run({"op": "pid"}, ignore)
        with pytest.raises(HypervisorError, match="fail failed: no"):
            await made.run({"op": "fail"}, ignore)
        assert await made.run({"op": "pid"}, ignore) != first


async def test_a_crash_is_one_operations_and_says_what_it_knew() -> None:
    async with pool() as made:
        with pytest.raises(WorkerCrashed, match="SIGSEGV") as caught:
            await made.run({"op": "crash"}, ignore)
        assert caught.value.fields["domid"] == 9
        assert "last words" in caught.value.fields["log"]
        assert await made.run({"op": "pid"}, ignore)


async def test_cancelling_kills_the_worker() -> None:
    async with pool() as made:
        pid = await made.run({"op": "pid"}, ignore)
        asleep = asyncio.Event()
        task = asyncio.create_task(made.run({"op": "sleep", "seconds": 60}, lambda _: asleep.set()))
        await asleep.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not alive(pid)
        assert await made.run({"op": "pid"}, ignore) != pid


async def test_no_more_at_once_than_allowed() -> None:
    now, most = 0, 0

    async def one(made: Pool) -> None:
        nonlocal now, most

        def started(_: Any) -> None:
            nonlocal now, most
            now += 1
            most = max(most, now)

        await made.run({"op": "sleep", "seconds": 0.05}, started)
        now -= 1

    async with pool(2) as made:
        await asyncio.gather(*(one(made) for _ in range(6)))
    assert most == 2


async def test_a_worker_that_grew_is_let_go() -> None:
    async with pool() as made:
        first = await made.run({"op": "grow"}, ignore)
        assert await made.run({"op": "pid"}, ignore) != first


async def test_an_idle_worker_that_died_is_not_used() -> None:
    async with pool(1) as made:
        pid = await made.run({"op": "pid"}, ignore)
        os.kill(pid, 9)
        for _ in range(100):
            if not alive(pid):
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert await made.run({"op": "pid"}, ignore) != pid


async def test_a_worker_that_cannot_start_is_explained() -> None:
    script = "import sys; sys.exit('no libxl here')"
    async with pool(script=script) as made:
        with pytest.raises(HypervisorUnavailable, match="no libxl here"):
            await made.run({"op": "pid"}, ignore)


async def test_a_spare_is_warmed_beside_a_long_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_SPARE_DELAY", 0.0)
    monkeypatch.setattr(workers, "_LINGER", 0.1)
    async with pool() as made:
        await made.run({"op": "sleep", "seconds": 0.5}, ignore)
        assert len(made.pids) == 2
        for _ in range(200):
            if len(made.pids) == 1:
                break
            await asyncio.sleep(0.01)
        assert len(made.pids) == 1, "one spare is enough when nothing waits"


async def test_one_that_waits_for_a_person_holds_nobody_up() -> None:
    async with pool(limit=1) as made:
        menu = asyncio.create_task(
            made.run({"op": "sleep", "seconds": 30}, ignore, waits=True), name="menu"
        )
        await asyncio.sleep(0.2)
        other = await asyncio.wait_for(made.run({"op": "pid"}, ignore), 10)
        assert other in made.pids
        assert not menu.done()
        menu.cancel()
        with pytest.raises(asyncio.CancelledError):
            await menu
