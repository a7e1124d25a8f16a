"""What people who use `xl` look at: the port's part, and how the service answers it.

These reads change nothing and wait for no operation.  They are apart from `ports.Hypervisor`
because no other face needs them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from xend.model.devices import Disk, Vif
from xend.model.domain import DomainConfig
from xend.model.status import VcpuInfo
from xend.model.units import Domid, KiB


@dataclass(frozen=True, slots=True)
class Share:
    """How a domain is scheduled (libxl_domain_sched_params)."""

    domid: Domid
    scheduler: str
    weight: int
    cap: int


@dataclass(frozen=True, slots=True)
class PoolSchedule:
    """A scheduler's own parameters in a pool; None: that scheduler has no such parameter."""

    timeslice: int | None = None
    """Milliseconds."""
    rate_limit: int | None = None
    """Microseconds."""
    migration_delay: int | None = None
    """Microseconds."""


@dataclass(frozen=True, slots=True)
class HostExtras:
    """Of libxl_physinfo and its like, what `HostInfo` leaves out."""

    max_cpu_id: int
    free_cpus: int
    """In no pool."""
    sharing_freed: KiB
    sharing_used: KiB
    newer_capabilities: tuple[str, ...]
    """Words of `virt_caps` that xend never had: vmtrace, vpmu, gnttab-v1, gnttab-v2."""
    build_id: str
    pci_nodes: tuple[tuple[int, int, int, int], ...] | None = ()
    """(segment, bus, devfn, NUMA node) of each PCI device whose node is known; None when the
    hypervisor does not tell of PCI devices."""


class Inspector(Protocol):
    """Implemented by every `ports.Hypervisor`."""

    async def config_text(self, domid: Domid) -> str:
        """libxl's own JSON of a running domain, as libxl lays it out.  DomainNotFound."""

    async def planned_text(self, config: DomainConfig, given: Collection[str] = ()) -> str:
        """libxl's JSON as `xl create -n` shows it: nothing is made.  `given` are the settings that
        the file has; what xl leaves to libxl without them is left out."""

    async def planned_device(self, device: Disk | Vif) -> str:
        """libxl's JSON of what an attach would ask for."""

    async def labels(self) -> Mapping[Domid, str]:
        """Security labels; domains without one are left out."""

    async def node_affinity(self, domids: Sequence[Domid]) -> Mapping[Domid, tuple[int, ...]]:
        """NUMA nodes; a domain that has gone is left out."""

    async def vcpus(self, domids: Sequence[Domid]) -> Mapping[Domid, Sequence[VcpuInfo]]:
        """Of all these domains in one go; a domain that has gone is left out."""

    async def shares(self, domids: Sequence[Domid]) -> Sequence[Share]:
        """A domain that has gone is left out."""

    async def pool_schedule(self, pool: int, scheduler: str) -> PoolSchedule:
        """InvalidArgument for a scheduler that has no parameters of its own."""

    async def set_pool_schedule(self, pool: int, scheduler: str, wanted: PoolSchedule) -> None:
        """What is None stays as it is."""

    async def host_extras(self) -> HostExtras: ...
