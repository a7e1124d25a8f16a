"""`core.counters.DeviceCounters` of Linux, read where xentop reads them.

Sources: tools/libs/stat/xenstat_linux.c of Xen 4.17; drivers/block/xen-blkback/xenbus.c of Linux
(VBD_SHOW) for the files below `statistics`.  Disks whose backend is QEMU (qdisk) have no counters
in /sys and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from xend.core.counters import BlockCounters, NetworkCounters
from xend.model.units import Domid
from xend.store.disk import DiskThreads

_VBD: Final = re.compile(r"(?:vbd|tap)-(\d+)-(\d+)")
_VIF: Final = re.compile(r"vif(\d+)\.(\d+)")
_NODE: Final = re.compile(r"backend/vif/(\d+)/(\d+)")
_BLOCK_FILES: Final = ("rd_req", "wr_req", "f_req", "ds_req", "rd_sect", "wr_sect", "oo_req")


class LinuxCounters:
    def __init__(self, sysfs: Path = Path("/sys"), proc: Path = Path("/proc")) -> None:
        self._devices = sysfs / "bus/xen-backend/devices"
        self._interfaces = sysfs / "class/net"
        self._table = proc / "net/dev"
        self._threads = DiskThreads("xend-counters")

    async def block(self) -> Sequence[BlockCounters]:
        return await self._threads.run(self._block)

    async def network(self) -> Sequence[NetworkCounters]:
        return await self._threads.run(self._network)

    async def close(self) -> None:
        await self._threads.close()

    def _block(self) -> list[BlockCounters]:
        found: list[BlockCounters] = []
        if not self._devices.is_dir():
            return found
        for entry in self._devices.iterdir():
            match = _VBD.fullmatch(entry.name)
            if match is None:
                continue
            try:
                counts = [self._count(entry / "statistics" / name) for name in _BLOCK_FILES]
            except (OSError, ValueError):
                continue  # it is just being unplugged
            found.append(BlockCounters(Domid(int(match[1])), int(match[2]), *counts))
        return found

    @staticmethod
    def _count(path: Path) -> int:
        return int(path.read_text())

    def _network(self) -> list[NetworkCounters]:
        """The interface's other end is the guest: what dom0 received, the guest has sent."""
        found: list[NetworkCounters] = []
        for line in self._table.read_text().splitlines()[2:]:
            name, _, numbers = line.partition(":")
            owner = self._owner(name.strip())
            if owner is None:
                continue
            sent = [int(word) for word in numbers.split()]
            found.append(NetworkCounters(*owner, *sent[8:12], *sent[0:4]))
        return found

    def _owner(self, name: str) -> tuple[Domid, int] | None:
        """A `vifname` may be anything; the device still says whose it is."""
        match = _VIF.fullmatch(name)
        if match is None:
            try:
                node = (self._interfaces / name / "device/nodename").read_text()
            except OSError:
                return None
            match = _NODE.match(node)
        return (Domid(int(match[1])), int(match[2])) if match else None
