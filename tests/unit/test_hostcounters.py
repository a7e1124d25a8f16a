"""Counters of devices, from a /sys and a /proc like those of a dom0."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from xend.core.counters import BlockCounters, NetworkCounters
from xend.model.units import Domid
from xend.store.hostcounters import LinuxCounters

DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo \
colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0  \
   0       0          0
vif3.0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0
 blue0: 5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0
"""


@pytest_asyncio.fixture
async def counters(tmp_path: Path) -> AsyncIterator[LinuxCounters]:
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/dev").write_text(DEV)
    node = tmp_path / "sys/class/net/blue0/device"
    node.mkdir(parents=True)
    (node / "nodename").write_text("backend/vif/7/1\n")
    devices = tmp_path / "sys/bus/xen-backend/devices"
    names = ("rd_req", "wr_req", "f_req", "ds_req", "rd_sect", "wr_sect", "oo_req")
    for device in ("vbd-3-51712", "vif-3-0", "vbd-9-51728"):
        (devices / device / "statistics").mkdir(parents=True)
    for number, name in enumerate(names, 1):
        (devices / "vbd-3-51712/statistics" / name).write_text(f"{number}\n")
    found = LinuxCounters(tmp_path / "sys", tmp_path / "proc")
    yield found
    await found.close()


async def test_disks_of_the_kernel(counters: LinuxCounters) -> None:
    """One that is just going away has no statistics any more, and is left out."""
    assert await counters.block() == [BlockCounters(Domid(3), 51712, 1, 2, 3, 4, 5, 6, 7)]


async def test_what_dom0_receives_the_guest_has_sent(counters: LinuxCounters) -> None:
    assert await counters.network() == [
        NetworkCounters(Domid(3), 0, 2000, 20, 3, 4, 1000, 10, 1, 2),
        NetworkCounters(Domid(7), 1, 6, 1, 0, 0, 5, 1, 0, 0),
    ]


async def test_a_host_without_backends(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/dev").write_text("a\nb\n")
    counters = LinuxCounters(tmp_path, tmp_path)
    assert await counters.block() == [] and await counters.network() == []
    await counters.close()
