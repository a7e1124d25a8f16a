"""Small guests are made and ended again and again on real Xen: nothing grows.

XEND_TEST_SOAK_CYCLES says how often; every tenth guest has a disk and a network interface.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.conftest import SETTLE, run
from tests.lab.guests import IMAGES, config
from tests.lab.looking import FREE_NOISE, Look
from tests.soak.usage import Usage, rss_of_children, usage

pytestmark = pytest.mark.lab

CYCLES = int(os.environ.get("XEND_TEST_SOAK_CYCLES", "15"))
WARM_UP = min(30, CYCLES // 3)
RSS_GROWTH = 3072
"""KiB of the daemon that may come and go."""
MORE_THREADS = 4
"""asyncio's own pool starts its threads when they are wanted, up to some number."""
XM = "/usr/sbin/xm"


@dataclass(frozen=True)
class Sample:
    cycle: int
    daemon: Usage
    helpers: int
    """KiB of RSS of the daemon's children: workers, and the warm command line."""
    xenstored: Usage
    nodes: int
    """Of XenStore."""
    userdata: int
    loops: int
    free: int
    """KiB."""

    def __str__(self) -> str:
        return (
            f"after {self.cycle:4d}: daemon {self.daemon}; children {self.helpers} KiB; xenstored "
            f"{self.xenstored}; {self.nodes} XenStore nodes, {self.userdata} userdata files, "
            f"{self.loops} loop devices, {self.free} KiB free"
        )


def _pid(path: str) -> int:
    return int(Path(path).read_text())


def _sample(look: Look, cycle: int) -> Sample:
    daemon = _pid("/var/run/xend.pid")
    return Sample(
        cycle,
        usage(daemon),
        rss_of_children(daemon),
        usage(_pid("/run/xen/xenstored.pid")),
        look.store.count(),
        len([*Path("/var/lib/xen").glob("userdata-*")]),
        len(run("losetup", "-a").stdout.splitlines()),
        look.free(),
    )


def _xm(*words: str) -> None:
    subprocess.run([XM, *words], check=True, timeout=120, stdin=subprocess.DEVNULL)


def _cycles(first: int, count: int, plain: Path, rich: Path) -> None:
    for number in range(first, first + count):
        path = rich if number % 10 == 9 else plain
        _xm("create", "-q", str(path))
        _xm("destroy", path.name)


def test_nothing_grows(xend_running: None, clean_host: None, tmp_path: Path) -> None:
    plain = config(tmp_path, "soak-plain")
    disk, vif = f"file:{IMAGES}/data.img,xvda,w", "bridge=xenbr0"
    rich = config(tmp_path, "soak-rich", disk=[disk], vif=[vif])
    look = Look()
    _cycles(0, WARM_UP, plain, rich)
    samples = [_sample(look, WARM_UP)]
    print("", samples[0], sep="\n", flush=True)
    began = time.monotonic()
    step = (CYCLES - WARM_UP) // 5
    for _ in range(5):
        _cycles(samples[-1].cycle, step, plain, rich)
        samples.append(_sample(look, samples[-1].cycle + step))
        print(samples[-1], flush=True)
    spent = time.monotonic() - began
    print(f"{spent / step / 5:.2f} s a cycle")
    first, last = samples[0], samples[-1]
    assert last.daemon.rss - first.daemon.rss <= RSS_GROWTH
    assert last.daemon.fds <= first.daemon.fds + 1  # a worker more or less: pool's choice
    assert last.daemon.threads <= first.daemon.threads + MORE_THREADS
    assert last.userdata == first.userdata
    assert last.loops <= first.loops
    assert last.nodes <= first.nodes
    assert last.xenstored.rss - first.xenstored.rss <= 1024
    deadline = time.monotonic() + SETTLE
    while look.free() < first.free - FREE_NOISE and time.monotonic() < deadline:
        time.sleep(0.5)
    assert look.free() >= first.free - FREE_NOISE
    look.close()
