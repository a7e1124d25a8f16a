"""Questions about the host, and the hypervisor's own messages."""

from __future__ import annotations

from typing import Any, Final

from xend.api.xmlrpc.context import CallContext
from xend.model.status import HostInfo
from xend.model.units import mib

CONFIG_FORMAT: Final = 4
"""`xend_config_format`: libvirt chooses its dialect by it."""


async def info(context: CallContext, numa: bool) -> list[Any]:
    """`[[key, value]…]` in the original's order; memory in MiB."""
    host = await context.service.host()
    free_cpus = await context.service.cpu_pools.free_cpus()
    system, node, release, version, machine = context.host.uname()
    found: list[Any] = [
        ["system", system],
        ["host", node],
        ["release", release],
        ["version", version],
        ["machine", machine],
        ["nr_cpus", host.nr_cpus],
        ["nr_nodes", host.nr_nodes],
        ["cores_per_socket", host.cores_per_socket],
        ["threads_per_core", host.threads_per_core],
        ["cpu_mhz", host.cpu_khz // 1000],
        ["hw_caps", host.hw_caps],
        ["virt_caps", host.virt_caps],
        ["total_memory", mib(host.total_memory)],
        ["free_memory", mib(host.free_memory)],
        ["free_cpus", len(free_cpus)],
    ]
    if numa:
        found += [["cpu_topology", _topology(host)], ["numa_info", _numa(host)]]
    return found + _xen(host)


def _xen(host: HostInfo) -> list[Any]:
    return [
        ["xen_major", host.xen_major],
        ["xen_minor", host.xen_minor],
        ["xen_extra", host.xen_extra],
        ["xen_caps", host.xen_caps],
        ["xen_scheduler", host.xen_scheduler],
        ["xen_pagesize", host.xen_pagesize],
        ["platform_params", host.platform_params],
        ["xen_changeset", host.xen_changeset],
        ["xen_commandline", host.xen_commandline],
        ["cc_compiler", host.cc_compiler],
        ["cc_compile_by", host.cc_compile_by],
        ["cc_compile_domain", host.cc_compile_domain],
        ["cc_compile_date", host.cc_compile_date],
        ["xend_config_format", CONFIG_FORMAT],
    ]


def _topology(host: HostInfo) -> str:
    """A table; it begins with a newline, so that it stands below its name."""
    rows = [
        f"{cpu:3d}:{core:8d} {socket:8d} {node:8d}"
        for cpu, (core, socket, node) in enumerate(host.cpu_topology)
    ]
    return "\n".join(["\ncpu:    core    socket     node", *rows])


def _numa(host: HostInfo) -> str:
    """MiB; Xen no longer tells how much of a node lies below 4 GiB, so that column is gone."""
    rows = []
    for node, (total, free) in enumerate(host.node_memory):
        distances = host.node_distances[node] if node < len(host.node_distances) else ()
        near = ",".join(str(distance) for distance in distances)
        rows.append(f"{node:4d}: {mib(total):10d} {mib(free):10d}      {near}")
    return "\n".join(["\nnode:    memsize    memfree    distances", *rows])


async def dmesg_info(context: CallContext) -> str:
    return await context.service.dmesg()


async def dmesg_clear(context: CallContext) -> str:
    """The text that was there before."""
    return await context.service.dmesg(clear=True)


async def log(context: CallContext) -> str:
    return await context.host.log_text()


async def send_debug_keys(context: CallContext, keys: str) -> None:
    await context.service.send_debug_keys(keys)


async def pci_info(context: CallContext) -> list[Any] | None:
    devices = await context.host.assignable_pci()
    if devices is None:
        return None
    return [
        [
            "dev",
            ["domain", f"0x{domain:04x}"],
            ["bus", f"0x{bus:02x}"],
            ["slot", f"0x{slot:02x}"],
            ["func", f"0x{func:x}"],
        ]
        for domain, bus, slot, func in devices
    ]
