"""`core.counters.DeviceCounters` of simulated guests: each device does a little all the time, so
that a dashboard that is being made has something to show."""

from __future__ import annotations

from collections.abc import Sequence

from xend.core.counters import BlockCounters, NetworkCounters
from xend.model.vdev import vdev_number
from xend.sim.guests import SimDomain
from xend.sim.machine import SimMachine

_SECTORS = 64
_PACKET = 900


class SimCounters:
    def __init__(self, machine: SimMachine) -> None:
        self._machine = machine

    async def block(self) -> Sequence[BlockCounters]:
        found: list[BlockCounters] = []
        for domain in self._machine.domains.values():
            work = self._work(domain)
            for disk in domain.config.disks:
                devid = vdev_number(disk.vdev) or 0
                writes = 0 if disk.access.startswith("r") else work // 3
                sectors = (work * _SECTORS, writes * _SECTORS)
                found.append(
                    BlockCounters(domain.domid, devid, work, writes, writes // 8, 0, *sectors, 0)
                )
        return found

    async def network(self) -> Sequence[NetworkCounters]:
        found: list[NetworkCounters] = []
        for domain in self._machine.domains.values():
            work = self._work(domain)
            for devid, _vif in enumerate(domain.config.vifs):
                got = (work * _PACKET, work, 0, 0)
                sent = (work * _PACKET // 4, work // 2, 0, 0)
                found.append(NetworkCounters(domain.domid, devid, *got, *sent))
        return found

    async def close(self) -> None:
        """Nothing is open."""

    def _work(self, domain: SimDomain) -> int:
        """Ten of everything per second of CPU time."""
        return domain.cpu_time(self._machine.clock.monotonic()) // 100_000_000
