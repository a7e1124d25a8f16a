"""How fast lists are over REST: the daemon on the simulator, beside a bare FastAPI.

    make bench-rest             everything, as docs/performance.md has it
    python -m tests.bench.bench_rest --domains 1,100 --seconds 3

For each number of domains the list is asked for as it is, with `fields=`, and with the ETag of what
the client has (304), and a bare FastAPI answers as many bytes in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Measured:
    domains: int
    what: str
    size: int
    per_second: float
    p50: float
    """Milliseconds."""
    p99: float


def client_of(socket: Path) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=False)
    return httpx.AsyncClient(transport=transport, base_url="http://xend", timeout=120)


@contextmanager
def process(*argv: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, *argv], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    ) as child:
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(30)


def wait_for(socket: Path, path: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with httpx.Client(
                transport=httpx.HTTPTransport(uds=str(socket), verify=False)
            ) as client:
                client.get(f"http://xend{path}", timeout=60).raise_for_status()
        except (httpx.HTTPError, FileNotFoundError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def load(socket: Path, path: str, connections: int, seconds: float, *headers: str) -> Any:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.bench.loader", str(socket), path),
            *(str(connections), str(seconds), *headers),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    if found["errors"]:
        raise SystemExit(f"{path}: {found['errors']} of {found['requests']} answers were errors")
    return found


async def populate(socket: Path, count: int) -> None:
    """Up to `count` domains of 4 MiB, besides Domain-0."""
    async with client_of(socket) as client:
        present = len((await client.get("/v1/domains")).json()["items"]) - 1
        gate = asyncio.Semaphore(16)

        async def make(number: int) -> None:
            body = {"name": f"guest{number}", "memory": 4096, "kernel": "/boot/vmlinuz"}
            async with gate:
                response = await client.post(
                    "/v1/domains", json=body, headers={"Prefer": "wait=60"}
                )
                response.raise_for_status()

        await asyncio.gather(*(make(number) for number in range(present, count)))


class Bench:
    def __init__(self, folder: Path, connections: int, seconds: float) -> None:
        self._folder = folder
        self._connections = connections
        self._seconds = seconds
        self.results: list[Measured] = []

    def run(self, counts: list[int]) -> None:
        run, state = self._folder / "run", self._folder / "state"
        config = self._folder / "xend-config.sxp"
        config.write_text("")
        socket = run / "rest.sock"
        options = ["--foreground", "--hypervisor=sim", f"--run-dir={run}", f"--state-dir={state}"]
        with process("-m", "xend", *options, f"--config={config}"):
            wait_for(socket, "/v1/healthz")
            for count in counts:
                asyncio.run(populate(socket, count))
                self._lists(socket, count)

    def _lists(self, socket: Path, count: int) -> None:
        page = quote("name,power_state,memory.current", safe="")
        size = self._measure(socket, count, "plain", "/v1/domains")
        self._measure(socket, count, "fields=", f"/v1/domains?fields={page}")
        # Of what does not change while the guests run: their CPU time does.
        path = f"/v1/domains?fields={quote('name,power_state', safe='')}"
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket), verify=False)) as client:
            tag = client.get(f"http://xend{path}").headers["etag"]
        self._measure(socket, count, "304", path, f"If-None-Match: {tag}")
        bare = self._folder / f"hello{count}.sock"
        with process("-m", "tests.bench.hello", str(bare), str(size)):
            wait_for(bare, "/")
            self._measure(bare, count, "bare FastAPI", "/")

    def _measure(self, socket: Path, count: int, what: str, path: str, *headers: str) -> int:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket), verify=False)) as client:
            size = len(client.get(f"http://xend{path}", timeout=60).content)
        load(socket, path, self._connections, min(1.0, self._seconds), *headers)
        found = load(socket, path, self._connections, self._seconds, *headers)
        row = Measured(
            count,
            what,
            size,
            found["requests"] / found["seconds"],
            found["p50"],
            found["p99"],
        )
        self.results.append(row)
        print(
            f"{count:>7} {what:<13} {size:>8} B {row.per_second:>8.0f}/s "
            f"p50 {row.p50:>7.2f} ms  p99 {row.p99:>7.2f} ms",
            flush=True,
        )
        return size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--domains", default="1,100,1000")
    parser.add_argument("--seconds", type=float, default=5.0, help="per row")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    given = parser.parse_args()
    counts = sorted(int(word) for word in given.domains.split(","))
    with tempfile.TemporaryDirectory(prefix="xend-bench-") as folder:
        bench = Bench(Path(folder), given.connections, given.seconds)
        bench.run(counts)
    rows = {(row.domains, row.what): row for row in bench.results}
    for count in counts:
        ratio = rows[count, "bare FastAPI"].per_second / rows[count, "plain"].per_second
        print(f"{count:>7} domains: {ratio:.2f} × the time of a bare FastAPI")
    if given.json:
        given.json.write_text(
            json.dumps([{key: getattr(row, key) for key in row.__slots__} for row in bench.results])
        )


if __name__ == "__main__":
    main()
