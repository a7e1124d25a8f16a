"""What `xm info` shows of the simulated host: it says that it is one."""

from __future__ import annotations

from xend.model.status import HostInfo
from xend.model.units import KiB
from xend.sim.machine import SimMachine

SCHEDULER = "credit2"


def host_info(machine: SimMachine) -> HostInfo:
    free = machine.free
    return HostInfo(
        nr_cpus=machine.cpus,
        nr_nodes=1,
        cores_per_socket=machine.cpus,
        threads_per_core=1,
        cpu_khz=2_000_000,
        total_memory=machine.total,
        free_memory=free,
        scrub_memory=KiB(0),
        outstanding=KiB(0),
        hw_caps=":".join(["00000000"] * 8),
        virt_caps="pv",
        xen_major=4,
        xen_minor=17,
        xen_extra=".0-simulated",
        xen_caps="xen-3.0-x86_64",
        xen_scheduler=SCHEDULER,
        xen_pagesize=4096,
        platform_params="virt_start=0xffff800000000000",
        xen_changeset="simulated by xend: there is no hypervisor",
        xen_commandline="",
        cc_compiler="none",
        cc_compile_by="xend",
        cc_compile_domain="",
        cc_compile_date="",
        max_free_memory=free,
        cpu_topology=tuple((cpu, 0, 0) for cpu in range(machine.cpus)),
        node_memory=((machine.total, free),),
        node_distances=((10,),),
        backend="sim",
    )
