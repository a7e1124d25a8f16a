"""What is observed: plain frozen values, cheap to make a hundred of in one list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Literal

from xend.model.units import Domid, KiB, Nanoseconds


class ShutdownReason(IntEnum):
    """SHUTDOWN_* of xen/include/public/sched.h, and libxl's values equal it."""

    UNKNOWN = -1
    POWEROFF = 0
    REBOOT = 1
    SUSPEND = 2
    CRASH = 3
    WATCHDOG = 4
    SOFT_RESET = 5


class PowerState(IntEnum):
    """The numbers of `(status N)`; names are those of the Xen-API."""

    HALTED = 0
    PAUSED = 1
    RUNNING = 2
    SUSPENDED = 3
    SHUTDOWN = 4
    CRASHED = 5
    UNKNOWN = 6


class Origin(StrEnum):
    """Whose policies apply to a running domain."""

    XEND = "xend"
    FOREIGN = "foreign"
    HOST = "host"
    """Domain-0."""


@dataclass(frozen=True, slots=True)
class DomainInfo:
    """One domain as the hypervisor reports it (libxl_dominfo)."""

    domid: Domid
    uuid: str
    """36 characters, lower case."""
    running: bool = False
    blocked: bool = False
    paused: bool = False
    shutdown: bool = False
    dying: bool = False
    shutdown_reason: ShutdownReason = ShutdownReason.UNKNOWN
    """UNKNOWN unless `shutdown`."""
    memory: KiB = KiB(0)
    """Has now."""
    max_memory: KiB = KiB(0)
    outstanding: KiB = KiB(0)
    """Claimed, not yet allocated."""
    cpu_time: Nanoseconds = Nanoseconds(0)
    vcpus_online: int = 1
    vcpu_max_id: int = 0
    cpupool: int = 0
    type: Literal["pv", "pvh", "hvm", "invalid"] = "invalid"
    never_stop: bool = False

    @property
    def crashed(self) -> bool:
        return self.shutdown and self.shutdown_reason in (
            ShutdownReason.CRASH,
            ShutdownReason.WATCHDOG,
        )

    @property
    def flags(self) -> str:
        """`rbpscd` with `-` where unset: the column State of `xm list`."""
        return (
            f"{'r' if self.running else '-'}{'b' if self.blocked else '-'}"
            f"{'p' if self.paused else '-'}{'s' if self.shutdown else '-'}"
            f"{'c' if self.crashed else '-'}{'d' if self.dying else '-'}"
        )

    @property
    def power_state(self) -> PowerState:
        if self.crashed:
            return PowerState.CRASHED
        if self.shutdown:
            if self.shutdown_reason is ShutdownReason.SUSPEND:
                return PowerState.SUSPENDED
            return PowerState.SHUTDOWN
        if self.paused:
            return PowerState.PAUSED
        return PowerState.RUNNING


@dataclass(frozen=True, slots=True)
class VcpuInfo:
    number: int
    online: bool
    blocked: bool
    running: bool
    cpu: int
    """The physical CPU it is on, -1 if on none."""
    cpu_time: Nanoseconds
    affinity: tuple[int, ...]
    """Hard affinity: the physical CPUs it may use; all of them when unrestricted."""
    soft_affinity: tuple[int, ...] = ()
    """The physical CPUs that it prefers; all of them when it has no preference."""


@dataclass(frozen=True, slots=True)
class HostInfo:
    """libxl_version_info, libxl_physinfo and the topology; memory in KiB."""

    nr_cpus: int
    nr_nodes: int
    cores_per_socket: int
    threads_per_core: int
    cpu_khz: int
    total_memory: KiB
    free_memory: KiB
    scrub_memory: KiB
    outstanding: KiB
    hw_caps: str
    """`%08x:…` of eight words."""
    virt_caps: str
    xen_major: int
    xen_minor: int
    xen_extra: str
    xen_caps: str
    xen_scheduler: str
    xen_pagesize: int
    platform_params: str
    xen_changeset: str
    xen_commandline: str
    cc_compiler: str
    cc_compile_by: str
    cc_compile_domain: str
    cc_compile_date: str
    max_free_memory: KiB = KiB(0)
    cpu_topology: tuple[tuple[int, int, int], ...] = ()
    """(core, socket, node) of each CPU."""
    node_memory: tuple[tuple[KiB, KiB], ...] = ()
    """(total, free) of each NUMA node."""
    node_distances: tuple[tuple[int, ...], ...] = ()
    backend: str = "xen"
    """`sim` when no hypervisor is behind this: users are told."""


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One attached device as XenStore shows it."""

    device_class: str
    devid: int
    frontend: Mapping[str, str] = field(default_factory=dict)
    """Leaf nodes of the frontend directory (backend, backend-id, state, mac …)."""
    backend: Mapping[str, str] = field(default_factory=dict)
