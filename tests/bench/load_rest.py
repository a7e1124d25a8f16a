"""Many clients at once over REST, on the simulator: readers of lists, streams of events, verbs.

    python -m tests.bench.load_rest --clients 200 --domains 500 --seconds 60

Of the clients a tenth follow the events, a tenth pause and unpause domains, the others read
`/v1/domains?limit=50`, single domains and operations, with a short pause in between.  Any answer
but 200, 202 or 304 (and 409 of two verbs that meet) is an error; so is a gap in a stream.  Prints
the median and the 99th percentile of the lists' times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path

import httpx

from tests.bench.bench_rest import client_of, populate, process, wait_for


class Crowd:
    def __init__(self, socket: Path, domains: int, seconds: float) -> None:
        self._socket = socket
        self._domains = domains
        self._until = time.monotonic() + seconds
        self.lists: list[float] = []
        self.requests = 0
        self.events = 0
        self.errors: list[str] = []

    async def run(self, clients: int) -> None:
        tenth = max(1, clients // 10)
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                if number < tenth:
                    group.create_task(self._follow())
                elif number < 2 * tenth:
                    group.create_task(self._act(random.Random(number)))
                else:
                    group.create_task(self._read(random.Random(number)))

    def _check(self, response: httpx.Response, *more: int) -> None:
        self.requests += 1
        if response.status_code not in (200, 202, 304, *more):
            self.errors.append(f"{response.request.url}: {response.status_code} {response.text}")

    async def _read(self, chance: random.Random) -> None:
        async with client_of(self._socket) as client:
            while time.monotonic() < self._until:
                began = time.perf_counter()
                self._check(await client.get("/v1/domains?limit=50"))
                self.lists.append(time.perf_counter() - began)
                name = f"guest{chance.randrange(self._domains)}"
                self._check(await client.get(f"/v1/domains/{name}"))
                self._check(await client.get("/v1/operations?limit=20"))
                await asyncio.sleep(chance.uniform(0.5, 1.5))

    async def _act(self, chance: random.Random) -> None:
        async with client_of(self._socket) as client:
            while time.monotonic() < self._until:
                name = f"guest{chance.randrange(self._domains)}"
                for verb in ("pause", "unpause"):
                    path = f"/v1/domains/{name}/actions/{verb}?wait=30"
                    self._check(await client.post(path), 409)
                await asyncio.sleep(chance.uniform(0.5, 1.5))

    async def _follow(self) -> None:
        last = 0
        async with client_of(self._socket) as client, client.stream("GET", "/v1/events") as stream:
            try:
                async with asyncio.timeout(self._until - time.monotonic()):
                    async for line in stream.aiter_lines():
                        if not line.startswith("data: "):
                            continue
                        number = json.loads(line.removeprefix("data: ")).get("id")
                        if number is None or (last and number != last + 1):
                            self.errors.append(f"after event {last}: {line}")
                        last = number or last
                        self.events += 1
            except TimeoutError:
                return
        self.errors.append("a stream of events ended")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--domains", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="xend-load-") as name:
        folder = Path(name)
        run, state, config = folder / "run", folder / "state", folder / "xend-config.sxp"
        config.write_text("")
        options = ["--foreground", "--hypervisor=sim", f"--run-dir={run}", f"--state-dir={state}"]
        with process("-m", "xend", *options, f"--config={config}"):
            socket = run / "rest.sock"
            wait_for(socket, "/v1/healthz")
            asyncio.run(populate(socket, given.domains))
            crowd = Crowd(socket, given.domains, given.seconds)
            asyncio.run(crowd.run(given.clients))
    ordered = sorted(1000 * seconds for seconds in crowd.lists)
    print(
        f"{given.clients} clients, {given.domains} domains, {given.seconds:g} s: "
        f"{crowd.requests} requests, {crowd.events} events, {len(crowd.errors)} errors; "
        f"GET /v1/domains?limit=50 p50 {ordered[len(ordered) // 2]:.1f} ms, "
        f"p99 {ordered[len(ordered) * 99 // 100]:.1f} ms"
    )
    if crowd.errors:
        raise SystemExit("\n".join(crowd.errors[:10]))


if __name__ == "__main__":
    main()
