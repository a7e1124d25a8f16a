"""What libxl reports → the model's observed values."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from xend.model.status import DomainInfo, HostInfo, ShutdownReason, VcpuInfo
from xend.model.units import Domid, KiB, Nanoseconds

if TYPE_CHECKING:
    from xend.libxl.ctx import DominfoTuple, VcpuTuple

_TYPES: Final[dict[int, Literal["pv", "pvh", "hvm", "invalid"]]] = {1: "hvm", 2: "pv", 3: "pvh"}
_REASONS = {int(reason): reason for reason in ShutdownReason}
_NO_CPU = 0xFFFFFFFF
_PAGE_KIB = 4


@lru_cache(maxsize=4096)
def uuid_text(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def reason(number: int) -> ShutdownReason:
    return _REASONS.get(number, ShutdownReason.UNKNOWN)


def domain(record: DominfoTuple) -> DomainInfo:
    (domid, flags, ended, kind, online, highest, pool, _, now, most, claimed, spent, uuid) = record
    return DomainInfo(
        domid=Domid(domid),
        uuid=uuid_text(uuid),
        running=flags & 1 != 0,
        blocked=flags & 2 != 0,
        paused=flags & 4 != 0,
        shutdown=flags & 8 != 0,
        dying=flags & 16 != 0,
        never_stop=flags & 32 != 0,
        shutdown_reason=_REASONS.get(ended, ShutdownReason.UNKNOWN),
        memory=KiB(now),
        max_memory=KiB(most),
        outstanding=KiB(claimed),
        cpu_time=Nanoseconds(spent),
        vcpus_online=online,
        vcpu_max_id=highest,
        cpupool=pool,
        type=_TYPES.get(kind, "invalid"),
    )


def vcpu(record: VcpuTuple) -> VcpuInfo:
    number, online, blocked, running, cpu, spent, affinity, soft_affinity = record
    return VcpuInfo(
        number=number,
        online=online,
        blocked=blocked,
        running=running,
        cpu=-1 if cpu == _NO_CPU else cpu,
        cpu_time=Nanoseconds(spent),
        affinity=affinity,
        soft_affinity=soft_affinity,
    )


def host(
    physical: dict[str, Any],
    version: dict[str, Any],
    scheduler: str,
    topology: list[tuple[int, int, int]],
    numa: list[tuple[int, int, tuple[int, ...]]],
) -> HostInfo:
    """`free_memory` is without what is claimed for domains being built, as `xl info` has it."""
    pages = {name: physical[f"{name}_pages"] * _PAGE_KIB for name in ("total", "free", "scrub")}
    claimed = physical["outstanding_pages"] * _PAGE_KIB
    return HostInfo(
        nr_cpus=physical["nr_cpus"],
        nr_nodes=physical["nr_nodes"],
        cores_per_socket=physical["cores_per_socket"],
        threads_per_core=physical["threads_per_core"],
        cpu_khz=physical["cpu_khz"],
        total_memory=KiB(pages["total"]),
        free_memory=KiB(pages["free"] - claimed),
        scrub_memory=KiB(pages["scrub"]),
        outstanding=KiB(claimed),
        hw_caps=":".join(f"{word:08x}" for word in physical["hw_cap"]),
        virt_caps=" ".join(_virtualisation(physical)),
        xen_major=version["xen_version_major"],
        xen_minor=version["xen_version_minor"],
        xen_extra=version["xen_version_extra"],
        xen_caps=version["capabilities"],
        xen_scheduler=scheduler,
        xen_pagesize=version["pagesize"],
        platform_params=f"virt_start=0x{version['virt_start']:x}",
        xen_changeset=version["changeset"],
        xen_commandline=version["commandline"],
        cc_compiler=version["compiler"],
        cc_compile_by=version["compile_by"],
        cc_compile_domain=version["compile_domain"],
        cc_compile_date=version["compile_date"],
        cpu_topology=tuple(topology),
        node_memory=tuple((KiB(size >> 10), KiB(free >> 10)) for size, free, _ in numa),
        node_distances=tuple(distances for _, _, distances in numa),
    )


def _virtualisation(physical: dict[str, Any]) -> list[str]:
    """The words of `virt_caps`, in xl's order."""
    hvm, pv, direct = (physical[f"cap_{name}"] for name in ("hvm", "pv", "hvm_directio"))
    words = {
        "pv": pv,
        "hvm": hvm,
        "hvm_directio": hvm and direct,
        "pv_directio": pv and direct,
        "hap": physical["cap_hap"],
        "shadow": physical["cap_shadow"],
        "iommu_hap_pt_share": physical["cap_iommu_hap_pt_share"],
    }
    return [word for word, present in words.items() if present]
