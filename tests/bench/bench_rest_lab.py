"""One list over REST against one `xl list`, in one boot of the lab, interleaved: medians.

A dashboard that keeps its connection open asks for `GET /v1/domains`; the other way to know the
same is a process of `xl list`.  Three ways to ask: over a kept connection, with a connection for
each, and the same when nothing has changed (304, of what does not change by itself).
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench.measure import XL, XM, Report, Row, Timing, interleaved, timed
from tests.lab.guests import config

SOCKET = Path("/var/run/xend/rest.sock")
LIST = "/v1/domains"
STEADY = "/v1/domains?fields=name,power_state,memory.current"
"""Without CPU times: of those no two answers are the same."""


class Kept(http.client.HTTPConnection):
    """HTTP over the daemon's Unix socket."""

    def __init__(self) -> None:
        super().__init__("localhost", timeout=60)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(str(SOCKET))

    def ask(self, path: str = LIST, tag: str | None = None) -> http.client.HTTPResponse:
        """Its body has been read."""
        self.request("GET", path, headers={} if tag is None else {"If-None-Match": tag})
        answer = self.getresponse()
        answer.read()
        if answer.status != (200 if tag is None else 304):
            raise RuntimeError(f"GET {path} answered {answer.status}")
        return answer


def spent(ask: Callable[[], object]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    ask()
    return (time.perf_counter() - began) * 1000


def ask_anew() -> None:
    connection = Kept()
    try:
        connection.ask()
    finally:
        connection.close()


def compare(guests: int, rounds: int) -> list[Row]:
    kept = Kept()
    tag = kept.ask(STEADY).headers["ETag"]
    ways: dict[str, Timing] = {
        "REST list": lambda: spent(kept.ask),
        "REST list, new connection": lambda: spent(ask_anew),
        "REST 304": lambda: spent(lambda: kept.ask(STEADY, tag)),
    }
    try:
        *ours, theirs = interleaved(rounds, *ways.values(), lambda: timed(XL, "list"))
    finally:
        kept.close()
    return [
        Row(f"{name}, {guests} guests", median, theirs)
        for name, median in zip(ways, ours, strict=True)
    ]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--guests", type=int, nargs="*", default=[1, 10])
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    options = parser.parse_args(arguments)
    subprocess.run(["/usr/sbin/xend", "start"], check=True)
    print("(the column xm is REST; xl is `xl list`)")
    report = Report()
    started: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for count in sorted(options.guests):
                while len(started) < count:
                    name = f"benchrest{len(started)}"
                    timed(XM, "create", "-q", str(config(Path(folder), name)))
                    started.append(name)
                for row in compare(count, options.rounds):
                    report.add(row)
        finally:
            for name in started:
                timed(XM, "destroy", name)
    if options.json:
        options.json.write_text(json.dumps(report.plain()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
