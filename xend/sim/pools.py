"""`ports.PoolControl` over the simulated machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from xend.errors import InvalidArgument
from xend.model.pools import PoolInfo
from xend.model.units import Domid

if TYPE_CHECKING:
    from xend.errors import HypervisorError
    from xend.sim.machine import SimMachine

SCHEDULERS = ("credit", "credit2", "rtds", "null", "arinc653")
POOL0_UUID = "00000000-0000-0000-0000-000000000000"


@dataclass(slots=True)
class SimPool:
    name: str
    uuid: str
    scheduler: str = "credit2"
    cpus: set[int] = field(default_factory=set)


class SimPools:
    def __init__(
        self, machine: SimMachine, refused: Callable[[str, str, Domid | None], HypervisorError]
    ) -> None:
        self._machine = machine
        self._refused = refused

    async def list(self) -> Sequence[PoolInfo]:
        homes = [domain.pool for domain in self._machine.domains.values()]
        return [
            PoolInfo(
                number, pool.name, pool.scheduler, tuple(sorted(pool.cpus)), homes.count(number)
            )
            for number, pool in sorted(self._machine.pools.items())
        ]

    async def free_cpus(self) -> tuple[int, ...]:
        taken = {cpu for pool in self._machine.pools.values() for cpu in pool.cpus}
        return tuple(cpu for cpu in range(self._machine.cpus) if cpu not in taken)

    async def create(self, name: str, uuid: UUID, scheduler: str, cpus: Sequence[int]) -> int:
        if scheduler not in SCHEDULERS:
            raise InvalidArgument(
                f"no such scheduler: {scheduler}", argument="scheduler", value=scheduler
            )
        if not set(cpus) <= set(await self.free_cpus()):
            raise self._refused("create CPU pool", "Error moving cpu to cpupool: busy", None)
        pools = self._machine.pools
        number = next(number for number in range(len(pools) + 1) if number not in pools)
        pools[number] = SimPool(name, str(uuid), scheduler, set(cpus))
        self._machine.publication.pool(number, name, str(uuid))
        return number

    async def destroy(self, pool: int) -> None:
        self._get(pool)
        if any(domain.pool == pool for domain in self._machine.domains.values()):
            raise self._refused("CPU pool destroy", "ERROR_INVAL", None)
        del self._machine.pools[pool]
        self._machine.publication.no_pool(pool)

    async def rename(self, pool: int, name: str) -> None:
        known = self._get(pool)
        known.name = name
        self._machine.publication.pool(pool, name, known.uuid)

    async def add_cpu(self, pool: int, cpu: int) -> None:
        if cpu < 0:
            raise InvalidArgument("no such CPU", argument="cpus", value=[cpu])
        if cpu not in await self.free_cpus():
            raise self._refused("CPU pool cpuadd", "Error moving cpu to cpupool: busy", None)
        self._get(pool).cpus.add(cpu)

    async def remove_cpu(self, pool: int, cpu: int) -> None:
        known = self._get(pool)
        occupied = any(domain.pool == pool for domain in self._machine.domains.values())
        if cpu not in known.cpus or (occupied and len(known.cpus) == 1):
            raise self._refused("CPU pool cpuremove", "Error removing cpu from cpupool", None)
        known.cpus.discard(cpu)

    async def move(self, pool: int, domid: Domid) -> None:
        domain = self._machine.get(domid)
        if not self._get(pool).cpus:
            raise self._refused("CPU pool movedomain", "Error moving domain to cpupool", domid)
        domain.pool = pool

    def _get(self, pool: int) -> SimPool:
        found = self._machine.pools.get(pool)
        if found is None:
            raise self._refused("CPU pool", f"there is no pool {pool}", None)
        return found
