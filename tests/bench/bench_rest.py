"""How fast lists are over REST: the daemon on the simulator, beside a bare FastAPI.

    make bench-rest             everything, as docs/performance.md has it
    python -m tests.bench.bench_rest --domains 1,100 --seconds 3

For each number of domains wrk asks for the list as it is, with `fields=`, and with the ETag of what
the client has (304), over TCP on the loopback interface with a token, and a bare FastAPI answers as
many bytes in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = "1,8"
"""One client shows how long an answer takes, eight how many there are in a second."""


@dataclass(frozen=True, slots=True)
class Measured:
    domains: int
    what: str
    connections: int
    size: int
    per_second: float
    p50: float
    """Milliseconds."""
    p99: float


def client_of(unix: Path) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(unix), verify=False)
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


def wait_for(unix: Path | None, path: str) -> None:
    """Until it answers on that Unix socket, or on a port of this machine (`:PORT/…`)."""
    deadline = time.monotonic() + 60
    url = f"http://127.0.0.1{path}" if unix is None else f"http://xend{path}"
    while True:
        try:
            transport = httpx.HTTPTransport(uds=str(unix) if unix else None, verify=False)
            with httpx.Client(transport=transport) as client:
                client.get(url, timeout=60).raise_for_status()
        except (httpx.HTTPError, FileNotFoundError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


_LATENCY = re.compile(r"^ +(50|99)% +([\d.]+)(us|ms|s)$", re.MULTILINE)
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def answers(said: str) -> tuple[float, dict[str, float]]:
    """Of wrk's report: requests per second, and the latencies at 50 and 99 per cent in ms."""
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: (.*)", said)
    if bad or broken:
        raise SystemExit(f"not all answers were right: {(bad or broken or [''])[0]}")
    rate = re.search(r"^Requests/sec: +([\d.]+)$", said, re.MULTILINE)
    latencies = {
        percent: float(value) * _MILLISECONDS[unit]
        for percent, value, unit in _LATENCY.findall(said)
    }
    if rate is None or set(latencies) != {"50", "99"}:
        raise SystemExit(f"wrk said something else:\n{said}")
    return float(rate[1]), latencies


def load(url: str, connections: int, seconds: int, *headers: str) -> tuple[float, dict[str, float]]:
    """wrk: a thread of C beside what is measured, `connections` kept open."""
    options = ["-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "30s"]
    words = [word for header in headers for word in ("-H", header)]
    done = subprocess.run(
        ["wrk", "--latency", *options, *words, url], capture_output=True, text=True, check=True
    )
    return answers(done.stdout)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def populate(unix: Path, count: int) -> None:
    """Up to `count` domains of 4 MiB, besides Domain-0."""
    async with client_of(unix) as client:
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
    def __init__(self, folder: Path, connections: list[int], seconds: int) -> None:
        self._folder = folder
        self._connections = connections
        self._seconds = seconds
        self.results: list[Measured] = []

    def run(self, counts: list[int]) -> None:
        run, state = self._folder / "run", self._folder / "state"
        config = self._folder / "xend-config.sxp"
        port = free_port()
        config.write_text(
            "(xend-rest-tcp-server yes) (xend-rest-tls no) (xend-rest-tcp-address 127.0.0.1)\n"
            f"(xend-rest-tcp-port {port})\n"
        )
        unix = run / "rest.sock"
        options = ["--foreground", "--hypervisor=sim", f"--run-dir={run}", f"--state-dir={state}"]
        with process("-m", "xend", *options, f"--config={config}"):
            wait_for(unix, "/v1/healthz")
            token = self._token(unix)
            for count in counts:
                asyncio.run(populate(unix, count))
                self._lists(f"http://127.0.0.1:{port}", count, token)

    @staticmethod
    def _token(unix: Path) -> str:
        transport = httpx.HTTPTransport(uds=str(unix), verify=False)
        with httpx.Client(transport=transport, base_url="http://xend") as client:
            made = client.post("/v1/tokens", json={"name": "bench", "role": "viewer"})
            made.raise_for_status()
            return str(made.json()["token"])

    def _lists(self, url: str, count: int, token: str) -> None:
        page = quote("name,power_state,memory.current", safe="")
        who = f"Authorization: Bearer {token}"
        size = self._measure(f"{url}/v1/domains", count, "plain", who)
        self._measure(f"{url}/v1/domains?fields={page}", count, "fields=", who)
        # Of what does not change while the guests run: their CPU time does.
        same = f"{url}/v1/domains?fields={quote('name,power_state', safe='')}"
        tag = httpx.get(same, headers={"Authorization": f"Bearer {token}"}).headers["etag"]
        self._measure(same, count, "304", who, f"If-None-Match: {tag}")
        port = free_port()
        with process("-m", "tests.bench.hello", str(port), str(size)):
            wait_for(None, f":{port}/")
            self._measure(f"http://127.0.0.1:{port}/", count, "bare FastAPI", who)

    def _measure(self, url: str, count: int, what: str, *headers: str) -> int:
        names = dict(header.split(": ", 1) for header in headers)
        size = len(httpx.get(url, headers=names, timeout=60).content)
        for connections in self._connections:
            load(url, connections, 1, *headers)
            rate, latencies = load(url, connections, self._seconds, *headers)
            row = Measured(count, what, connections, size, rate, latencies["50"], latencies["99"])
            self.results.append(row)
            print(
                f"{count:>7} {what:<13} {connections:>2} connections {size:>8} B {rate:>8.0f}/s "
                f"p50 {row.p50:>7.2f} ms  p99 {row.p99:>7.2f} ms",
                flush=True,
            )
        return size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--domains", default="1,100,1000")
    parser.add_argument("--seconds", type=int, default=5, help="per row")
    parser.add_argument("--connections", default=CONNECTIONS)
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    given = parser.parse_args()
    counts = sorted(int(word) for word in given.domains.split(","))
    connections = sorted(int(word) for word in given.connections.split(","))
    with tempfile.TemporaryDirectory(prefix="xend-bench-") as folder:
        bench = Bench(Path(folder), connections, given.seconds)
        bench.run(counts)
    rows = {(row.domains, row.what, row.connections): row for row in bench.results}
    for count in counts:
        for many in connections:
            ratio = (
                rows[count, "bare FastAPI", many].per_second / rows[count, "plain", many].per_second
            )
            print(
                f"{count:>7} domains, {many} connections: {ratio:.2f} × the time of a bare FastAPI"
            )
    if given.json:
        given.json.write_text(
            json.dumps([{key: getattr(row, key) for key in row.__slots__} for row in bench.results])
        )


if __name__ == "__main__":
    main()
