"""A load of HTTP GETs over a Unix socket: N kept connections, one request after the other on each.

    python -m tests.bench.loader SOCKET PATH CONNECTIONS SECONDS [HEADER: VALUE …]

Prints one JSON object: requests, errors, seconds, p50 and p99 in milliseconds.  It is a process of
its own so that measuring does not slow down what is measured; it parses no more than it must.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Load:
    def __init__(self, socket: str, path: str, headers: list[str]) -> None:
        self._socket = socket
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
        self._request = "\r\n".join(lines).encode()
        self.latencies: list[float] = []
        self.errors = 0

    async def run(self, connections: int, seconds: float) -> float:
        began = time.perf_counter()
        until = began + seconds
        await asyncio.gather(*(self._connection(until) for _ in range(connections)))
        return time.perf_counter() - began

    async def _connection(self, until: float) -> None:
        reader, writer = await asyncio.open_unix_connection(self._socket, limit=1 << 24)
        try:
            while (begin := time.perf_counter()) < until:
                writer.write(self._request)
                head = await reader.readuntil(b"\r\n\r\n")
                found = _LENGTH.search(head)
                if found is not None:
                    await reader.readexactly(int(found.group(1)))
                self.latencies.append(time.perf_counter() - begin)
                if head[9:12] not in (b"200", b"304"):
                    self.errors += 1
        finally:
            writer.close()
            await writer.wait_closed()


def main() -> None:
    socket, path, connections, seconds, *headers = sys.argv[1:]
    load = Load(socket, path, headers)
    spent = asyncio.run(load.run(int(connections), float(seconds)))
    ordered = sorted(load.latencies)
    print(
        json.dumps(
            {
                "requests": len(ordered),
                "errors": load.errors,
                "seconds": spent,
                "p50": 1000 * ordered[len(ordered) // 2],
                "p99": 1000 * ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
            }
        )
    )


if __name__ == "__main__":
    main()
