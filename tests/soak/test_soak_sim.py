"""Create and destroy, again and again, on the simulator: nothing grows.

XEND_TEST_SOAK=1: 10,000 times; otherwise 300.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4
from xmlrpc.client import ServerProxy

import pytest

from tests.faces.daemonprocess import DaemonProcess
from tests.faces.unixrpc import UnixTransport
from tests.simhost import SimHost, disk, guest, vif
from tests.soak.usage import Usage, usage

LONG = bool(os.environ.get("XEND_TEST_SOAK"))
CYCLES = 10_000 if LONG else 300
WARM_UP = 4_000 if LONG else 100
"""Cycles after which every cache and pool has its size: the last jobs and events are kept."""
RSS_GROWTH = 2048
"""KiB that the rest may add: the allocator's noise."""
FD_NOISE = 2
"""Connections that are just being closed."""


def _vm(name: str) -> list[Any]:
    image = ["linux", ["kernel", "/boot/vmlinux"]]
    disk = ["vbd", ["uname", f"file:/srv/{name}.img"], ["dev", "xvda"], ["mode", "w"]]
    vif = ["vif", ["bridge", "xenbr0"]]
    return [
        *("vm", ["name", name], ["memory", 32], ["vcpus", 1], ["uuid", str(uuid4())]),
        *(["image", image], ["device", disk], ["device", vif]),
    ]


@dataclass(frozen=True)
class Sample:
    cycle: int
    process: Usage
    database: int
    """Bytes of the journal and its write-ahead log."""
    rows: dict[str, int]

    def __str__(self) -> str:
        return f"after {self.cycle:6d}: {self.process}, journal {self.database} B {self.rows}"


class Soak:
    def __init__(self, daemon: DaemonProcess) -> None:
        self._daemon = daemon

    def cycles(self, count: int) -> None:
        transport = UnixTransport(self._daemon.run_dir / "xmlrpc.sock")
        with ServerProxy("http://localhost", transport, allow_none=True) as xend:
            for number in range(count):
                name = f"soak{number % 7}"
                xend.xend.domain.create(_vm(name))
                xend.xend.domain.unpause(name)
                xend.xend.domain.destroy(name)

    def sample(self, cycle: int) -> Sample:
        path = self._daemon.state_dir / "xend.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            # An intent ends a moment after its client has been told.
            deadline = time.monotonic() + 10
            while db.execute("SELECT count(*) FROM intents").fetchone()[0]:
                assert time.monotonic() < deadline, "an intent stays open"
                time.sleep(0.05)
            tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            rows = {
                name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
                for (name,) in tables
                if not name.startswith("sqlite_")
            }
        size = sum(each.stat().st_size for each in path.parent.glob("xend.db*"))
        return Sample(cycle, usage(self._daemon.pid), size, rows)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    daemon = DaemonProcess(tmp_path)
    daemon.config.write_text("(loglevel ERROR)\n")
    daemon("start")
    yield daemon
    daemon("stop")


def test_the_daemon_does_not_grow(daemon: DaemonProcess) -> None:
    soak = Soak(daemon)
    began = time.monotonic()
    soak.cycles(WARM_UP)
    samples = [soak.sample(WARM_UP)]
    for _ in range(4):
        soak.cycles((CYCLES - WARM_UP) // 4)
        samples.append(soak.sample(samples[-1].cycle + (CYCLES - WARM_UP) // 4))
    spent = time.monotonic() - began
    print(*samples, f"{CYCLES} cycles in {spent:.0f} s", sep="\n")
    first, last = samples[0], samples[-1]
    assert last.process.rss - first.process.rss <= RSS_GROWTH
    assert last.process.fds <= first.process.fds + FD_NOISE
    assert last.process.threads <= first.process.threads
    assert last.rows["intents"] == last.rows["owned"] == 0
    assert all(rows <= 2_000 for rows in last.rows.values() if LONG)
    assert len(daemon.names()) == 1  # Domain-0


async def test_the_simulated_host_is_as_before(tmp_path: Path) -> None:
    """Nodes of XenStore, watches, files."""
    host = SimHost(tmp_path)
    await host.start()
    try:
        counts = []
        for cycle in range(CYCLES // 10):
            config = guest(f"soak{cycle % 7}", disks=(disk(),), vifs=(vif(),))
            await host.service.create(config)
            await host.service.destroy(config.name)
            if cycle in (9, CYCLES // 10 - 1):
                await host.quiet()
                counts.append((_nodes(host), host.free, _files(tmp_path)))
        print(f"XenStore nodes, free KiB, files: {counts[0]}, {counts[-1]} at the end")
        assert counts[0] == counts[-1]
    finally:
        await host.close()


def _files(folder: Path) -> int:
    return len([*folder.rglob("*")])


def _nodes(host: SimHost) -> int:
    """And watches; no face shows all of them."""
    return len(host.xenstored._nodes) + host.xenstored._watched
