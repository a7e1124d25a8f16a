"""What a simulated domain is, and how its guest behaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from xend.model.devices import Disk, Pci, Vif
from xend.model.domain import DomainConfig
from xend.model.status import DomainInfo, ShutdownReason
from xend.model.units import DOM0, Domid, KiB, Nanoseconds

OVERHEAD = KiB(1024)
"""LIBXL_MAXMEM_CONSTANT (libxl_internal.h): what libxl allows a domain above its maximum."""
_BUSY = 0.01
"""Share of a CPU that an idle guest takes."""


@dataclass(frozen=True, slots=True)
class GuestBehaviour:
    """How a guest answers.  Times are seconds of the hypervisor's clock."""

    obeys: bool = True
    """It reacts to a shutdown request."""
    shutdown_after: float = 0.05
    crashes_after: float | None = None
    """Since it was unpaused."""
    balloons: bool = True
    """It follows its memory target."""


Behaviour = Callable[[DomainConfig], GuestBehaviour]


def well_behaved(config: DomainConfig) -> GuestBehaviour:
    return GuestBehaviour()


@dataclass(slots=True, eq=False)
class SimDomain:
    domid: Domid
    config: DomainConfig
    uuid: str
    vm: str = ""
    """The uuid under which XenStore has it: `uuid`, until it is preserved."""
    name: str = ""
    memory: int = 0
    """KiB that it has got."""
    max_memory: int = 0
    pauses: int = 1
    """Xen counts them (controller_pause_count of xen/common/domain.c)."""
    dying: bool = False
    shutdown: ShutdownReason | None = None
    behaviour: GuestBehaviour = field(default_factory=GuestBehaviour)
    ran: float = 0.0
    """Seconds that it was not paused, up to `resumed_at`."""
    resumed_at: float | None = None
    online: int = 1
    weight: int = 256
    cap: int = 0
    pool: int = 0
    affinity: dict[int, tuple[int, ...]] = field(default_factory=dict)
    soft_affinity: dict[int, tuple[int, ...]] = field(default_factory=dict)
    target: int = 0
    """KiB that its balloon was told to have."""
    disks: dict[int, Disk] = field(default_factory=dict)
    vifs: dict[int, Vif] = field(default_factory=dict)
    """By devid, as the disks."""
    pcis: list[Pci] = field(default_factory=list)
    """Devices that it has now."""
    tty: str = ""
    request: str = ""
    """A shutdown request that the guest has not answered yet."""
    whole: bool = False
    """Its build has come to its end."""
    restored: bool = False
    ran_before: float = 0.0
    """Of `ran`, what an image brought along: Xen counts a domain's CPU time from its making."""
    _told: tuple[Any, ...] = ()
    _info: DomainInfo | None = None
    """What was said last, made of `_told`."""

    @property
    def paused(self) -> bool:
        return self.pauses > 0

    @property
    def config_now(self) -> DomainConfig:
        """What libxl says of it while it runs: as it was built, with what has changed since
        (libxl_retrieve_domain_configuration of libxl_domain.c)."""
        online = None if self.online == self.config.vcpus else self.online
        return self.config.model_copy(
            update={
                "name": self.name,
                "memory": self.target,
                "maxmem": self.config.max_memory,
                "vcpus_online": online,
                "disks": (*self.disks.values(),),
                "vifs": tuple(vif for _, vif in sorted(self.vifs.items())),
                "pcis": (*self.pcis,),
            }
        )

    @property
    def alive(self) -> bool:
        """Its guest can do something."""
        return not (self.paused or self.dying or self.shutdown is not None)

    def runs_for(self, now: float) -> float:
        since = now - self.resumed_at if self.resumed_at is not None else 0.0
        return self.ran + since

    def hold(self, now: float) -> None:
        """Its virtual CPUs stop."""
        self.ran = self.runs_for(now)
        self.resumed_at = None

    def go_on(self, now: float) -> None:
        if self.resumed_at is None:
            self.resumed_at = now

    @property
    def taken(self) -> int:
        """KiB of the host's memory: its own, and what it costs beside that."""
        return self.memory + (OVERHEAD if self.memory and self.domid != DOM0 else 0)

    def cpu_time(self, now: float) -> Nanoseconds:
        return Nanoseconds(int((self.runs_for(now) - self.ran_before) * _BUSY * 1e9))

    def info(self, now: float) -> DomainInfo:
        """While nothing changes it is the same object, as with real Xen."""
        alive = self.alive
        told = (
            *(self.uuid, alive, self.pauses, self.shutdown, self.dying, self.memory),
            *(self.max_memory, self.online, self.config, self.pool, self.cpu_time(now)),
        )
        if self._info is None or told != self._told:
            self._told, self._info = told, self._look(alive, told[-1])
        return self._info

    def _look(self, alive: bool, cpu_time: Nanoseconds) -> DomainInfo:
        return DomainInfo(
            domid=self.domid,
            uuid=self.uuid,
            running=self.domid == 0,
            blocked=alive and self.domid != 0,
            paused=self.paused and not self.dying,
            shutdown=self.shutdown is not None,
            dying=self.dying,
            shutdown_reason=ShutdownReason.UNKNOWN if self.shutdown is None else self.shutdown,
            memory=KiB(self.memory),
            max_memory=KiB(self.max_memory),
            cpu_time=cpu_time,
            vcpus_online=self.online,
            vcpu_max_id=self.config.vcpus - 1,
            cpupool=self.pool,
            type=self.config.kind,
        )
