"""`core.counters.DeviceCounters` of simulated guests: each device does a little all the time, so
that a dashboard that is being made has something to show."""

from __future__ import annotations

from collections.abc import Sequence

from xend.core.counters import BlockCounters, NetworkCounters
from xend.model.vdev import vdev_number
from xend.sim.machine import SimMachine

_SECTORS = 64
_PACKET = 900


class SimCounters:
    def __init__(self, machine: SimMachine) -> None:
        self._machine = machine

    async def block(self) -> Sequence[BlockCounters]:
        found: list[BlockCounters] = []
        for info in self._machine.infos():
            work = self._work(info.cpu_time)
            for disk in self._machine.domains[info.domid].config.disks:
                devid = vdev_number(disk.vdev) or 0
                writes = 0 if disk.access.startswith("r") else work // 3
                sectors = (work * _SECTORS, writes * _SECTORS)
                found.append(
                    BlockCounters(info.domid, devid, work, writes, writes // 8, 0, *sectors, 0)
                )
        return found

    async def network(self) -> Sequence[NetworkCounters]:
        found: list[NetworkCounters] = []
        for info in self._machine.infos():
            work = self._work(info.cpu_time)
            for devid, _vif in enumerate(self._machine.domains[info.domid].config.vifs):
                got = (work * _PACKET, work, 0, 0)
                sent = (work * _PACKET // 4, work // 2, 0, 0)
                found.append(NetworkCounters(info.domid, devid, *got, *sent))
        return found

    async def close(self) -> None:
        """Nothing is open."""

    @staticmethod
    def _work(cpu_time: int) -> int:
        """Ten of everything per second of CPU time."""
        return cpu_time // 100_000_000
