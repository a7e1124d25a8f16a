"""`xend.core.inspection.Inspector` over the simulated machine."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from xend.core.inspection import HostExtras, PoolSchedule, Share
from xend.errors import InvalidArgument
from xend.model.devices import Disk, Vif
from xend.model.domain import DomainConfig
from xend.model.status import VcpuInfo
from xend.model.units import Domid, KiB
from xend.sim.machine import SimMachine, vcpu_infos

_LONGEST = 1000
"""Milliseconds of a time slice (libxl_sched_credit_params_set)."""


class SimInspector:
    def __init__(self, machine: SimMachine) -> None:
        self._machine = machine
        self._schedules: dict[int, PoolSchedule] = {}

    async def config_text(self, domid: Domid) -> str:
        domain = self._machine.get(domid)
        return _text(domain.config, domain.name, domain.uuid, domain.memory)

    async def planned_text(self, config: DomainConfig, given: Collection[str] = ()) -> str:
        return _text(config, config.name, str(config.uuid), config.memory)

    async def planned_device(self, device: Disk | Vif) -> str:
        return json.dumps(device.model_dump(mode="json"), indent=4, ensure_ascii=False) + "\n"

    async def labels(self) -> Mapping[Domid, str]:
        return {}

    async def node_affinity(self, domids: Sequence[Domid]) -> Mapping[Domid, tuple[int, ...]]:
        return {domid: (0,) for domid in domids if domid in self._machine.domains}

    async def vcpus(self, domids: Sequence[Domid]) -> Mapping[Domid, Sequence[VcpuInfo]]:
        present = [domid for domid in domids if domid in self._machine.domains]
        return {domid: vcpu_infos(self._machine, domid) for domid in present}

    async def shares(self, domids: Sequence[Domid]) -> Sequence[Share]:
        present = [self._machine.domains[each] for each in domids if each in self._machine.domains]
        pools = self._machine.pools
        return [Share(d.domid, pools[d.pool].scheduler, d.weight, d.cap) for d in present]

    async def pool_schedule(self, pool: int, scheduler: str) -> PoolSchedule:
        self._check(pool, scheduler)
        if scheduler == "credit":
            default = PoolSchedule(timeslice=30, rate_limit=1000, migration_delay=0)
        else:
            default = PoolSchedule(rate_limit=1000)
        return self._schedules.get(pool, default)

    async def set_pool_schedule(self, pool: int, scheduler: str, wanted: PoolSchedule) -> None:
        before = await self.pool_schedule(pool, scheduler)
        longest = _LONGEST if wanted.timeslice is None else wanted.timeslice
        if not 1 <= longest <= _LONGEST:
            raise InvalidArgument(
                "Time slice out of range, valid range is from 1 to 1000",
                argument="timeslice",
                value=wanted.timeslice,
            )
        changes = {
            name: value
            for name in ("timeslice", "rate_limit", "migration_delay")
            if (value := getattr(wanted, name)) is not None and getattr(before, name) is not None
        }
        self._schedules[pool] = replace(before, **changes)

    def _check(self, pool: int, scheduler: str) -> None:
        known = self._machine.pools.get(pool)
        if known is None or known.scheduler != scheduler or scheduler not in ("credit", "credit2"):
            raise InvalidArgument(
                f"Pool {pool} is not scheduled by {scheduler}",
                argument="scheduler",
                value=scheduler,
            )

    async def host_extras(self) -> HostExtras:
        return HostExtras(
            max_cpu_id=self._machine.cpus - 1,
            free_cpus=self._machine.cpus - sum(len(p.cpus) for p in self._machine.pools.values()),
            sharing_freed=KiB(0),
            sharing_used=KiB(0),
            newer_capabilities=(),
            build_id="",
        )


def _text(config: DomainConfig, name: str, uuid: str, memory: int) -> str:
    """What the simulator knows of libxl's JSON, laid out as libxl does it."""
    tree = {
        "c_info": {"type": config.kind, "name": name, "uuid": uuid},
        "b_info": {
            "max_vcpus": config.vcpus,
            "max_memkb": int(config.max_memory),
            "target_memkb": int(memory),
        },
    }
    return json.dumps(tree, indent=4, ensure_ascii=False) + "\n"
