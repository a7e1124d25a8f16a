"""The simulated host: its domains, its memory, its guests' doings.  No port in here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

from xend.core.portions import portions
from xend.core.ports import Clock, HypervisorEvent, HypervisorEventKind, ShutdownRequest
from xend.errors import DomainNotFound, HypervisorError
from xend.model.domain import DomainConfig
from xend.model.status import DomainInfo, ShutdownReason, VcpuInfo
from xend.model.units import DOM0, DOM0_NAME, DOM0_UUID, Domid, KiB, Nanoseconds, kib
from xend.sim.console import SimConsole
from xend.sim.guests import OVERHEAD, Behaviour, SimDomain, well_behaved
from xend.sim.pools import POOL0_UUID, SimPool
from xend.sim.publication import Publication, disk_number
from xend.sim.xenstored import SimXenstored

FIRST_RESERVED = 0x7FF0
"""DOMID_FIRST_RESERVED of xen/include/public/xen.h: domids wrap before it."""

_MEMORY = kib(8192)
_DOM0_MEMORY = kib(1024)

_REQUESTED: dict[ShutdownRequest, ShutdownReason] = {
    "poweroff": ShutdownReason.POWEROFF,
    "halt": ShutdownReason.POWEROFF,
    "reboot": ShutdownReason.REBOOT,
    "suspend": ShutdownReason.SUSPEND,
    "crash": ShutdownReason.CRASH,
}


def refused(operation: str, line: str, domid: int | None = None) -> HypervisorError:
    """As libxl fails: a code that says nothing, and the reason in the log."""
    return HypervisorError(
        f"{operation} failed: {line}",
        operation=operation,
        rc=-3,
        rc_name="ERROR_FAIL",
        log=(line,),
        domid=domid,
    )


class SimMachine:
    """Outlives the daemon that uses it, as a real hypervisor does."""

    def __init__(
        self,
        clock: Clock,
        daemon: SimXenstored,
        *,
        memory: KiB = _MEMORY,
        dom0_memory: KiB = _DOM0_MEMORY,
        cpus: int = 4,
        behaviour: Behaviour = well_behaved,
        consoles: bool = False,
    ) -> None:
        """`consoles`: each guest gets a pseudo-terminal of this host; needs a running loop."""
        self.clock = clock
        self.total = memory
        self.cpus = cpus
        self.behaviour = behaviour
        self.domains: dict[Domid, SimDomain] = {}
        self.pools = {0: SimPool("Pool-0", POOL0_UUID, cpus=set(range(cpus)))}
        self.log: deque[str] = deque(["(XEN) Xen version 4.17 (simulated by xend)"], maxlen=1000)
        self.publication = Publication(daemon)
        self._daemon = daemon
        self._with_consoles = consoles
        self._consoles: dict[Domid, SimConsole] = {}
        self._last = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._listeners: list[Callable[[HypervisorEvent], None]] = []
        self._add_dom0(dom0_memory)
        self.publication.pool(0, "Pool-0", POOL0_UUID)

    def _add_dom0(self, memory: KiB) -> None:
        config = DomainConfig(name=DOM0_NAME, uuid=UUID(DOM0_UUID), memory=memory, vcpus=self.cpus)
        dom0 = SimDomain(
            DOM0, config, DOM0_UUID, DOM0_UUID, DOM0_NAME, memory, int(self.total), pauses=0
        )
        dom0.online, dom0.target = self.cpus, memory
        dom0.go_on(self.clock.monotonic())
        self.domains[DOM0] = dom0
        self.publication.dom0(dom0)

    # -- Memory and looking ----------------------------------------------------------------------

    @property
    def free(self) -> KiB:
        return KiB(int(self.total) - sum(domain.taken for domain in self.domains.values()))

    def get(self, domid: Domid) -> SimDomain:
        domain = self.domains.get(domid)
        if domain is None or domain.dying:
            raise DomainNotFound(domid)
        return domain

    async def infos(self) -> list[DomainInfo]:
        """Of all by domid; of many not at one moment, nor are those of real Xen."""
        found: list[DomainInfo] = []
        async for part in portions(sorted(self.domains)):
            now = self.clock.monotonic()
            found += [self.domains[domid].info(now) for domid in part if domid in self.domains]
        return found

    # -- Coming and going ------------------------------------------------------------------------

    def add(self, config: DomainConfig) -> SimDomain:
        """XEN_DOMCTL_createdomain: it exists, paused, with nothing in it."""
        domid = self._next_domid()
        domain = SimDomain(domid, config, str(config.uuid), str(config.uuid))
        domain.behaviour = self.behaviour(config)
        domain.online = config.vcpus_online or config.vcpus
        domain.weight, domain.cap = config.cpu_weight, config.cpu_cap
        domain.target = config.memory
        domain.disks = {disk_number(disk.vdev): disk for disk in config.disks}
        domain.vifs = dict(enumerate(config.vifs))
        domain.pcis = [*config.pcis]
        domain.max_memory = config.max_memory + OVERHEAD
        names = {pool.name: number for number, pool in self.pools.items()}
        domain.pool = names.get(config.pool, 0)
        self.domains[domid] = domain
        return domain

    def _next_domid(self) -> Domid:
        for _ in range(FIRST_RESERVED):
            self._last = self._last + 1 if self._last + 1 < FIRST_RESERVED else 1
            if Domid(self._last) not in self.domains:
                return Domid(self._last)
        raise refused("domain creation", "libxl_create.c:domain creation fail: No space left")

    def populate(self, domain: SimDomain) -> None:
        """Its memory: all of it or an error."""
        if domain.config.memory + OVERHEAD > self.free:
            raise refused(
                "domain creation",
                "xc_dom_boot_mem_init: panic: can't allocate low memory for domain: Out of memory",
                domain.domid,
            )
        domain.memory = domain.config.memory

    def introduce(self, domain: SimDomain) -> None:
        """It has its name and devices, and everybody hears of it."""
        domain.name = domain.config.name
        if self._with_consoles:
            console = self._consoles[domain.domid] = SimConsole(domain.name)
            domain.tty = console.path
        self.publication.domain(domain, self.clock.time())
        self.tell(HypervisorEventKind.CREATED, domain)

    def remove_devices(self, domain: SimDomain) -> None:
        domain.disks, domain.vifs, domain.pcis = {}, {}, []
        self.publication.remove_devices(domain)

    def remove(self, domain: SimDomain) -> None:
        domain.memory = 0
        del self.domains[domain.domid]
        if console := self._consoles.pop(domain.domid, None):
            console.close()
        shared = any(other.vm == domain.vm for other in self.domains.values())
        self.publication.remove(domain, vm=not shared)
        self.tell(HypervisorEventKind.DEATH, domain)

    # -- What guests do --------------------------------------------------------------------------

    def unpause(self, domain: SimDomain) -> None:
        if domain.pauses == 0:
            raise refused("unpause", "Unpausing domain: Invalid argument", domain.domid)
        domain.pauses -= 1
        if domain.pauses > 0:
            return
        first = domain.runs_for(self.clock.monotonic()) == 0
        if domain.shutdown is None:
            domain.go_on(self.clock.monotonic())
        if first and domain.domid in self._consoles:
            self._consoles[domain.domid].boot()
        after = domain.behaviour.crashes_after
        if first and after is not None:
            self._later(after, domain, lambda: self.end(domain, ShutdownReason.CRASH))
        if domain.request:
            self._answer(domain)

    def pause(self, domain: SimDomain) -> None:
        domain.pauses += 1
        domain.hold(self.clock.monotonic())

    def request(self, domain: SimDomain, request: ShutdownRequest) -> None:
        domain.request = request
        self._daemon.write(f"/local/domain/{domain.domid}/control/shutdown", request)
        if domain.alive:
            self._answer(domain)

    def _answer(self, domain: SimDomain) -> None:
        if not domain.behaviour.obeys:
            return

        path = f"/local/domain/{domain.domid}/control/shutdown"

        def take() -> None:
            """From here on the request cannot be withdrawn (drivers/xen/manage.c of Linux)."""
            if not domain.alive:
                return  # It sees it when it runs again.
            request, domain.request = self._daemon.read(path), ""
            if request:
                self._daemon.write(path, "")
                reason = next(r for name, r in _REQUESTED.items() if name == request)
                half = domain.behaviour.shutdown_after / 2
                self._later(half, domain, lambda: self.end(domain, reason))

        self._later(domain.behaviour.shutdown_after / 2, domain, take)

    async def until_shut_down(self, domain: SimDomain) -> None:
        """DomainNotFound when it is gone before that."""
        while self.get(domain.domid).shutdown is None:
            await self.clock.sleep(domain.behaviour.shutdown_after / 10)

    def end(self, domain: SimDomain, reason: ShutdownReason) -> None:
        """The guest ends (or is suspended); its domain stays until somebody destroys it."""
        if domain.shutdown is not None or domain.dying:
            return
        domain.hold(self.clock.monotonic())
        domain.shutdown = reason
        self._daemon.shutdown(domain.domid)
        self.tell(HypervisorEventKind.SHUTDOWN, domain, reason)

    def wake(self, domain: SimDomain) -> None:
        """Back from a suspend."""
        domain.shutdown = None
        if not domain.paused:
            domain.go_on(self.clock.monotonic())

    def crash(self, domid: Domid) -> None:
        """For tests."""
        self.end(self.get(domid), ShutdownReason.CRASH)

    def _later(self, seconds: float, domain: SimDomain, act: Callable[[], None]) -> None:
        async def wait() -> None:
            await self.clock.sleep(seconds)
            if self.domains.get(domain.domid) is domain:
                act()

        self._spawn(wait())

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Ends the guests' own tasks and consoles; the domains stay."""
        for console in self._consoles.values():
            console.close()
        self._consoles.clear()
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # -- Telling ---------------------------------------------------------------------------------

    def listen(self, told: Callable[[HypervisorEvent], None]) -> None:
        self._listeners.append(told)

    def unlisten(self, told: Callable[[HypervisorEvent], None]) -> None:
        self._listeners.remove(told)

    def tell(
        self,
        kind: HypervisorEventKind,
        domain: SimDomain,
        reason: ShutdownReason = ShutdownReason.UNKNOWN,
    ) -> None:
        for told in tuple(self._listeners):
            told(HypervisorEvent(kind, domain.domid, domain.uuid, reason))


def vcpu_infos(machine: SimMachine, domid: Domid) -> list[VcpuInfo]:
    """What the hypervisor reports of a domain's vcpus."""
    domain = machine.get(domid)
    spent = domain.cpu_time(machine.clock.monotonic())
    everywhere = tuple(range(machine.cpus))
    return [
        VcpuInfo(
            number=number,
            online=number < domain.online,
            blocked=domain.alive and domid != DOM0,
            running=domid == DOM0,
            cpu=number % machine.cpus,
            cpu_time=Nanoseconds(spent // domain.config.vcpus),
            affinity=domain.affinity.get(number, everywhere),
            soft_affinity=domain.soft_affinity.get(number, everywhere),
        )
        for number in range(domain.config.vcpus)
    ]
