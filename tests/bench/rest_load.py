"""Many REST clients at once: reads, event streams and verbs, on a simulated host full of domains.

    python -m tests.bench.rest_load [--clients N] [--seconds N] [--domains N]

The daemon is a process of its own.  It ends with an error when any answer was an error, an event
stream had a gap, or nothing was done of one kind; p50 and p99 of each kind of request are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.faces.daemonprocess import DaemonProcess
from xend.client import ApiError, AsyncClient, calls
from xend.client.calls import Call

_MAKERS = 16
"""Creates at once while the host is filled."""
_STREAMS_OF = 10
"""One client of so many follows the events."""
_VERBS_OF = 5
"""One request of so many changes something."""
_PAUSE = 0.02
"""Seconds of a client between two requests: people and scripts are no benchmark."""


class Load:
    def __init__(self, address: str, domains: int, seed: int) -> None:
        self._address = address
        self._domains = domains
        self._random = random.Random(seed)
        self.times: dict[str, list[float]] = defaultdict(list)
        self.errors: list[str] = []
        self.events = 0
        self.streams = 0

    async def fill(self) -> float:
        """Seconds that it took."""
        begin = time.monotonic()
        numbers = iter(range(self._domains))

        async def make(client: AsyncClient) -> None:
            for number in numbers:
                config = {"name": f"d{number}", "memory": 4096, "kernel": "/boot/vmlinuz"}
                await client(calls.create(config, wait=60))

        async with AsyncClient(self._address) as client, asyncio.TaskGroup() as group:
            for _ in range(_MAKERS):
                group.create_task(make(client))
        return time.monotonic() - begin

    async def run(self, clients: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                if number % _STREAMS_OF == 0:
                    group.create_task(self._follow(deadline))
                else:
                    group.create_task(self._ask(number, deadline))

    async def _follow(self, deadline: float) -> None:
        """Without a gap, from the first that it gets."""
        last: int | None = None
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                async with AsyncClient(self._address) as client:
                    async for event in client.events():
                        if last is not None and event["id"] != last + 1:
                            self.errors.append(f"event {event['id']} after {last}")
                        last = event["id"]
                        self.events += 1
        except TimeoutError:
            self.streams += 1
        except ApiError as error:
            self.errors.append(f"events: {error}")

    async def _ask(self, number: int, deadline: float) -> None:
        async with AsyncClient(self._address) as client:
            while time.monotonic() < deadline:
                kind, call = self._choose(number)
                begin = time.monotonic()
                answer = await client.response(call)
                self.times[kind].append(time.monotonic() - begin)
                if answer.status_code >= 400:
                    self.errors.append(f"{kind}: {answer.status_code} {answer.text[:200]}")
                await asyncio.sleep(_PAUSE)

    def _choose(self, number: int) -> tuple[str, Call[Any]]:
        """Verbs go to domains of the client's own, so that no answer may be a conflict."""
        pick = self._random.random()
        if pick < 1 / _VERBS_OF:
            verb = self._random.choice(("pause", "unpause"))
            return verb, calls.act(f"d{number % self._domains}", verb, wait=60)
        if pick < 0.7:
            return "list", calls.domains(limit=50)
        if pick < 0.8:
            return "filter", calls.domains(limit=50, filter="name~d1*", fields="name,domid")
        if pick < 0.95:
            return "get", calls.domain(f"d{self._random.randrange(self._domains)}")
        return "operations", calls.operations(limit=20)

    def report(self) -> dict[str, Any]:
        kinds = {
            kind: {
                "requests": len(times),
                "p50_ms": round(_quantile(times, 0.5) * 1e3, 1),
                "p99_ms": round(_quantile(times, 0.99) * 1e3, 1),
            }
            for kind, times in sorted(self.times.items())
        }
        return {"kinds": kinds, "events": self.events, "streams": self.streams}

    def complaints(self) -> list[str]:
        found = [f"{len(self.errors)} errors, the first: {self.errors[0]}"] if self.errors else []
        missing = {"list", "get", "pause", "unpause"} - {*self.times}
        if missing or not self.events:
            found.append(f"nothing was done of {missing or 'events'}")
        return found


def _quantile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def load(folder: Path, *, clients: int, seconds: float, domains: int, seed: int = 1) -> Load:
    """Starts a daemon in `folder` and ends it."""
    daemon = DaemonProcess(folder)
    daemon("start")
    try:
        work = Load(f"unix:{daemon.run_dir / 'rest.sock'}", domains, seed)

        async def all_of_it() -> None:
            print(f"{domains} domains made in {await work.fill():.1f} s")
            await work.run(clients, seconds)

        asyncio.run(all_of_it())
        assert daemon.running, "the daemon ended"
    finally:
        daemon("stop")
    assert "Traceback" not in daemon.log.read_text()
    return work


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--domains", type=int, default=500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="xend-load-") as folder:
        work = load(
            Path(folder), clients=given.clients, seconds=given.seconds, domains=given.domains
        )
    print(json.dumps(work.report(), indent=2))
    complaints = work.complaints()
    print("\n".join(complaints) or "no error")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
