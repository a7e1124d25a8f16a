"""Calls of our own that the old interface had not, for the command line as `xl`.

Their names begin with `xend.private.`; they are not in `system.listMethods`, and may change with
any release.  They are as quick as the rest: reads answer from the snapshot, or from one call of
the hypervisor's for all domains together.

Numbers that may pass 2**31 are floating, since XML-RPC has no larger integers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

from xend.api.xmlrpc.context import CallContext
from xend.api.xmlrpc.domain_verbs import absolute
from xend.api.xmlrpc.parameters import integer, text
from xend.core.inspection import PoolSchedule
from xend.core.views import DomainView
from xend.errors import DomainNotFound, HypervisorError, InvalidArgument
from xend.model.status import DomainInfo, ShutdownReason, VcpuInfo
from xend.model.units import Domid, KiB, mib

_REASON_LETTERS: Final = "-rscwS"
"""Of poweroff, reboot, suspend, crash, watchdog and soft reset, in the column State of xl."""


# -- Domains ---------------------------------------------------------------------------------------


async def domains(context: CallContext) -> list[list[Any]]:
    """Those that run, by domid: `[domid, name, uuid, MiB, MiB claimed, vcpus online, state, reason,
    CPU seconds, pool, start time, type, never stopped]`; a reason only of one that
    has shut down."""
    return [_row(view, view.info) for view in await context.service.list() if view.info is not None]


async def listing(context: CallContext, state: str) -> list[list[Any]]:
    """What `xm list` shows, by name: `[name, domid, MiB, vcpus, state, CPU seconds]`.

    The same values as in `xend.domains_with_state`, without what a listing has no column for: of
    fifty domains that would be most of the time.  A halted one has neither domid nor state.
    """
    views = await context.service.list(state.lower())
    views.sort(key=attrgetter("name"))
    return [
        _halted_row(context, view) if view.info is None else context.answers.row(view, view.info)
        for view in views
    ]


async def who(context: CallContext, dom: str | int) -> list[Any]:
    """`[name, domid]`; no domid when it is halted."""
    return list(await context.service.who(dom))


def _halted_row(context: CallContext, view: DomainView) -> list[Any]:
    record = context.answers.encode(view, devices=False)
    known = dict(child for child in record[1:] if len(child) == 2)
    return [view.name, None, known["memory"], known["vcpus"], "", known.get("cpu_time", 0.0)]


def _row(view: DomainView, info: DomainInfo) -> list[Any]:
    return [
        info.domid,
        view.name,
        info.uuid,
        mib(KiB(info.memory + info.outstanding)),
        mib(info.outstanding),
        info.vcpus_online,
        _state(info),
        int(info.shutdown_reason) if info.shutdown else None,
        info.cpu_time / 1e9,
        view.pool,
        view.started,
        info.type,
        info.never_stop,
    ]


def _state(info: DomainInfo) -> str:
    reason = info.shutdown_reason if info.shutdown else ShutdownReason.POWEROFF
    letter = _REASON_LETTERS[reason] if reason >= 0 else "?"
    return "".join(
        (
            "r" if info.running else "-",
            "b" if info.blocked else "-",
            "p" if info.paused else "-",
            "s" if info.shutdown else "-",
            letter,
            "d" if info.dying else "-",
        )
    )


def domids(name: str, value: Any) -> list[Domid]:
    """An array of domain ids."""
    if not isinstance(value, list):
        raise InvalidArgument(
            f"{name} is not an array", argument=name, value=repr(value)[:80], expected="an array"
        )
    return [Domid(integer(name, each)) for each in value]


async def configurations(context: CallContext, wanted: Sequence[Domid]) -> list[list[Any]]:
    """`[domid, libxl's JSON]` of those that have a configuration."""
    texts = await asyncio.gather(*(_configuration(context, domid) for domid in wanted))
    return [[domid, found] for domid, found in zip(wanted, texts, strict=True) if found]


async def _configuration(context: CallContext, domid: Domid) -> str:
    try:
        return await context.service.inspector.config_text(domid)
    except (DomainNotFound, HypervisorError):
        return ""


async def vcpus(context: CallContext, wanted: Sequence[Domid]) -> list[list[Any]]:
    """`[domid, [[number, online, blocked, running, CPU, seconds, hard, soft]…]]`; a domain that
    has gone is left out."""
    found = await context.service.inspector.vcpus(wanted)
    return [[domid, [_vcpu(each) for each in vcpus]] for domid, vcpus in found.items()]


def _vcpu(vcpu: VcpuInfo) -> list[Any]:
    return [
        vcpu.number,
        vcpu.online,
        vcpu.blocked,
        vcpu.running,
        vcpu.cpu,
        vcpu.cpu_time / 1e9,
        list(vcpu.affinity),
        list(vcpu.soft_affinity),
    ]


async def labels(context: CallContext) -> list[list[Any]]:
    """`[domid, security label]` of those that have one."""
    found = await context.service.inspector.labels()
    return [[domid, label] for domid, label in found.items()]


async def nodes(context: CallContext, wanted: Sequence[Domid]) -> list[list[Any]]:
    """`[domid, [NUMA node…]]`."""
    found = await context.service.inspector.node_affinity(wanted)
    return [[domid, list(affinity)] for domid, affinity in found.items()]


async def devices(context: CallContext, domid: int, device_class: str) -> list[list[Any]]:
    """`[devid, backend domid, state, event channel, ring or tx ring, rx ring, backend, MAC, name of
    a disk]`; -1 for what the frontend has not written (libxl_device_disk_getinfo,
    libxl_device_nic_getinfo)."""
    found = await context.service.devices(domid, device_class)
    return [_device(each.devid, each.frontend, each.backend) for each in found if each.frontend]


def _device(devid: int, frontend: Any, backend: Any) -> list[Any]:
    path = frontend.get("backend", "")
    rings = ("ring-ref", "-") if "tx-ring-ref" not in frontend else ("tx-ring-ref", "rx-ring-ref")
    numbers = [_number(frontend.get(key)) for key in ("state", "event-channel", *rings)]
    parts = path.split("/")
    owner = int(parts[3]) if len(parts) > 3 and parts[3].isdigit() else 0
    mac = backend.get("mac") or frontend.get("mac", "")
    return [devid, owner, *numbers, path, mac, backend.get("dev", "")]


def _number(value: str | None) -> int:
    digits = (value or "").strip()
    return int(digits) if digits.isascii() and digits.isdigit() else -1


# -- The host --------------------------------------------------------------------------------------


async def host(context: CallContext, numa: bool) -> dict[str, Any]:
    """What `xl info` shows, under xl's names; memory in MiB."""
    info, extras = await asyncio.gather(
        context.service.host(), context.service.inspector.host_extras()
    )
    _, node, release, version, machine = context.host.uname()
    found: dict[str, Any] = {
        "host": node,
        "release": release,
        "version": version,
        "machine": machine,
        "nr_cpus": info.nr_cpus,
        "max_cpu_id": extras.max_cpu_id,
        "nr_nodes": info.nr_nodes,
        "cores_per_socket": info.cores_per_socket,
        "threads_per_core": info.threads_per_core,
        "cpu_mhz": f"{info.cpu_khz // 1000}.{info.cpu_khz % 1000:03d}",
        "hw_caps": info.hw_caps,
        "virt_caps": " ".join([info.virt_caps, *extras.newer_capabilities]).strip(),
        "total_memory": mib(info.total_memory),
        "free_memory": mib(info.free_memory),
        "sharing_freed_memory": mib(extras.sharing_freed),
        "sharing_used_memory": mib(extras.sharing_used),
        "outstanding_claims": mib(info.outstanding),
        "free_cpus": extras.free_cpus,
        "xen_major": info.xen_major,
        "xen_minor": info.xen_minor,
        "xen_extra": info.xen_extra,
        "xen_version": f"{info.xen_major}.{info.xen_minor}{info.xen_extra}",
        "xen_caps": info.xen_caps,
        "xen_scheduler": info.xen_scheduler,
        "xen_pagesize": info.xen_pagesize,
        "platform_params": info.platform_params,
        "xen_changeset": info.xen_changeset,
        "xen_commandline": info.xen_commandline,
        "cc_compiler": info.cc_compiler,
        "cc_compile_by": info.cc_compile_by,
        "cc_compile_domain": info.cc_compile_domain,
        "cc_compile_date": info.cc_compile_date,
        "build_id": extras.build_id,
    }
    if numa:
        found["cpu_topology"] = [list(each) for each in info.cpu_topology]
        devices = extras.pci_nodes
        found["pci_nodes"] = None if devices is None else [list(each) for each in devices]
        found["numa"] = [
            [mib(total), mib(free), list(distances)]
            for (total, free), distances in zip(info.node_memory, info.node_distances, strict=False)
        ]
    return found


async def pools(context: CallContext) -> list[list[Any]]:
    """Those that are active, by id: `[id, name, scheduler, domains, [CPU…]]`."""
    return [
        [pool.id, pool.config.name, pool.scheduler, len(pool.domains), list(pool.cpus)]
        for pool in await context.service.cpu_pools.list()
        if pool.id is not None
    ]


async def shares(context: CallContext, wanted: Sequence[Domid]) -> list[list[Any]]:
    """`[domid, scheduler, weight, cap]`; a domain that has gone is left out."""
    found = await context.service.inspector.shares(wanted)
    return [[share.domid, share.scheduler, share.weight, share.cap] for share in found]


async def pool_schedule(context: CallContext, pool: int, scheduler: str) -> list[int | None]:
    """`[timeslice in ms, rate limit in us, migration delay in us]`, nil for what it has not."""
    found = await context.service.inspector.pool_schedule(pool, scheduler)
    return [found.timeslice, found.rate_limit, found.migration_delay]


async def set_pool_schedule(
    context: CallContext,
    pool: int,
    scheduler: str,
    timeslice: int | None,
    limit: int | None,
    delay: int | None,
) -> None:
    """Nil leaves as it is."""
    wanted = PoolSchedule(timeslice, limit, delay)
    await context.service.inspector.set_pool_schedule(pool, scheduler, wanted)


# -- Changes of domains ----------------------------------------------------------------------------


async def set_memory(context: CallContext, dom: str | int, target: int) -> None:
    """The balloon's target, in KiB."""
    await context.service.set_memory(dom, KiB(target), caller=context.caller)


async def set_max_memory(context: CallContext, dom: str | int, limit: int) -> None:
    """KiB."""
    await context.service.set_max_memory(dom, KiB(limit), caller=context.caller)


def cpus(name: str, value: Any) -> list[int]:
    """An array of CPU numbers."""
    return [int(each) for each in domids(name, value)]


def vcpu(name: str, value: Any) -> int | None:
    """A number, or `all`."""
    return None if text(name, value) == "all" else integer(name, value)


async def prefer_cpus(
    context: CallContext, dom: str | int, number: int | None, wanted: Sequence[int]
) -> None:
    """Soft affinity."""
    await context.service.prefer_cpus(dom, number, wanted, caller=context.caller)


async def save(
    context: CallContext, dom: str | int, path: str, checkpoint: bool, paused: bool
) -> None:
    """With `paused` it is left paused, as it was when it was saved."""
    await context.service.save(
        dom, absolute(path), checkpoint=checkpoint, paused=paused, caller=context.caller
    )
