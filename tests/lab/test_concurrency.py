"""Twenty clients with random verbs on twenty domains, on real Xen: the invariants hold, and whoever
only looks does not wait for them.

XEND_TEST_CONCURRENCY_SECONDS says for how long (15).  The lab's two emulated processors are busy
with the builds themselves, so what a reader pays for that, and not to xend, is measured beside it:
a process that does nothing but wake up, in the same seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from tests.lab.conftest import domains, run
from tests.lab.guests import TINY_KERNEL

pytestmark = pytest.mark.lab

SECONDS = float(os.environ.get("XEND_TEST_CONCURRENCY_SECONDS", "15"))
CLIENTS = 20
SOCKET = "/var/run/xend/cli.sock"
MOST_EXTRA = 0.100
"""Seconds that a read should at most wait more than an idle one."""
EMULATED = 1.0
"""Seconds more that are let pass where two emulated processors are shared with the builds: far less
than any of the operations takes that a read could wait for."""
READ_EVERY = 0.05


class Fault(Exception):
    """What the daemon answered instead of a result: code and text."""


class Client:
    """The command line's own short way to the daemon (frames of JSON)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def call(self, method: str, *params: Any) -> Any:
        data = json.dumps({"id": 1, "method": method, "params": params}).encode()
        self._writer.write(len(data).to_bytes(4, "big") + data)
        size = int.from_bytes(await self._reader.readexactly(4), "big")
        answer = json.loads(await self._reader.readexactly(size))
        if "fault" in answer:
            raise Fault(*answer["fault"])
        return answer["result"]

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    found = Client(*await asyncio.open_unix_connection(SOCKET, limit=1 << 24))
    try:
        yield found
    finally:
        await found.close()


def _vm(name: str) -> list[Any]:
    image = ["linux", ["kernel", str(TINY_KERNEL)]]
    return ["vm", ["name", name], ["memory", 4], ["uuid", str(uuid4())], ["image", image]]


@dataclass
class Crowd:
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    texts: set[str] = field(default_factory=set)

    async def act(self, number: int, until: float) -> None:
        """One client.  Half of what it asks for is refused, since others were faster."""
        dice = random.Random(number)
        async with client() as xend:
            while time.monotonic() < until:
                name = f"conc{dice.randrange(CLIENTS)}"
                verb, ask = dice.choice(self._verbs(xend, name, dice))
                try:
                    await ask()
                    self.done[verb] += 1
                except Fault as fault:
                    self.refused[verb] += 1
                    self.texts.add(str(fault.args[1]))
                    await asyncio.sleep(0.01)

    @staticmethod
    def _verbs(
        xend: Client, name: str, dice: random.Random
    ) -> list[tuple[str, Callable[[], Awaitable[Any]]]]:
        other = f"conc{dice.randrange(3 * CLIENTS)}"  # Mostly free.

        def ask(method: str, *params: Any) -> Callable[[], Awaitable[Any]]:
            return lambda: xend.call(method, *params)

        return [
            ("create", ask("xend.domain.create", _vm(name))),
            ("create", ask("xend.domain.create", _vm(name))),
            ("unpause", ask("xend.domain.unpause", name)),
            ("pause", ask("xend.domain.pause", name)),
            ("destroy", ask("xend.domain.destroy", name)),
            ("rename", ask("xend.domain.setName", name, other)),
            ("memory", ask("xend.domain.setMemoryTarget", name, 4)),
            ("reset", ask("xend.domain.reset", name)),
            ("config", ask("xend.domain", name)),
        ]


async def _read(until: float) -> dict[str, list[float]]:
    """Seconds that each look took: the whole list, one domain, and, for comparison, a wake-up."""
    times: dict[str, list[float]] = {"list": [], "domid": [], "wake": []}
    async with client() as xend:
        while time.monotonic() < until:
            began = time.monotonic()
            views = await xend.call("xend.domains_with_state", True, "all", False)
            times["list"].append(time.monotonic() - began)
            names = [dict(child for child in view[1:] if len(child) == 2)["name"] for view in views]
            assert "Domain-0" in names
            assert len(names) == len(set(names)), names
            began = time.monotonic()
            await xend.call("xend.domain", "Domain-0")
            times["domid"].append(time.monotonic() - began)
            began = time.monotonic()
            await asyncio.sleep(READ_EVERY)
            times["wake"].append(time.monotonic() - began - READ_EVERY)
    return times


def _row(what: str, times: list[float]) -> str:
    ordered = sorted(times)
    middle, high = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    return f"{what:12} {middle * 1e3:8.1f} {high * 1e3:8.1f} {ordered[-1] * 1e3:8.1f}"


async def test_a_crowd(xend_running: None, clean_host: None) -> None:
    crowd = Crowd()
    idle = await _read(time.monotonic() + SECONDS / 5)
    until = time.monotonic() + SECONDS
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_read(until))
        for number in range(CLIENTS):
            group.create_task(crowd.act(number, until))
    busy = reading.result()
    async with client() as xend:
        for view in await xend.call("xend.domains_with_state", True, "all", False):
            known = dict(child for child in view[1:] if len(child) == 2)
            if known["name"] != "Domain-0":
                await xend.call("xend.domain.destroy", known["name"])
    print(
        f"\ndone: {dict(crowd.done)}; refused: {dict(crowd.refused)}",
        *sorted(crowd.texts),
        sep="\n",
    )
    print(f"{'ms':12} {'median':>8} {'99 %':>8} {'most':>8}")
    for what in ("list", "domid", "wake"):
        print(_row(f"idle {what}", idle[what]), _row(f"busy {what}", busy[what]), sep="\n")
    assert not domains()
    assert sum(crowd.done.values()) >= SECONDS
    assert {"create", "destroy"} <= crowd.done.keys() and len(crowd.done) >= 5
    assert not [text for text in crowd.texts if "Error:" in text or "Traceback" in text]
    assert run("xl", "list").stdout.count("\n") == 2
    worst = max(max(busy["list"]), max(busy["domid"]))
    extra = worst - statistics.median(idle["list"])
    print(f"the slowest read waited {extra * 1e3:.0f} ms more than an idle one")
    assert extra <= MOST_EXTRA + EMULATED + max(busy["wake"])
