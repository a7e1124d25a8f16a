"""Questions about domains.  Answers are S-expressions as nested arrays, in the original's order."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import Any, Final

from xend.api.xmlrpc.codec import CannotMarshal
from xend.api.xmlrpc.context import CallContext
from xend.config.deviceanswer import encode_device
from xend.core.views import DomainView
from xend.errors import DomainNotFound, InvalidArgument, XendError
from xend.model.domain import DomainConfig
from xend.model.status import DeviceView, PowerState, VcpuInfo
from xend.model.vdev import vdev_number

log = logging.getLogger("xend.XMLRPCServer")

_OLD_DOMAIN: Final = "<class 'xen.xend.XendDomainInfo.XendDomainInfo'>"

ANY_CPU: Final = list(range(64))
"""What the original showed for a vcpu of a halted domain that is bound to no CPU."""

_DEVICE_CLASSES: Final = frozenset(
    {"vbd", "tap", "tap2", "vif", "vif2", "vfb", "vkbd", "console", "pci", "vscsi", "vusb", "vtpm",
     "ioports", "irq"}
)  # fmt: skip


async def domain(context: CallContext, dom: str | int, full: bool) -> list[Any]:
    view = await context.service.lookup(dom)
    return await answer(context, view, devices=full)


async def answer(context: CallContext, view: DomainView, *, devices: bool) -> list[Any]:
    view = await context.service.with_config(view)
    return context.answers.encode(view, devices=devices)


async def lookup(context: CallContext, dom: str | int) -> None:
    """Tells only whether there is such a domain: the old server's answer was an object of its own,
    which XML-RPC has no form for."""
    await context.service.lookup(dom)
    raise CannotMarshal(f"cannot marshal {_OLD_DOMAIN} objects")


async def lookup_nr(context: CallContext, dom: str | int) -> None:
    """The same, but nil for one that is not there."""
    with contextlib.suppress(DomainNotFound):
        await lookup(context, dom)


async def domains(context: CallContext, detail: bool, full: bool) -> list[Any]:
    """Those in the state `running` only: a paused one is not among them."""
    return await domains_with_state(context, detail, "running", full)


async def domains_with_state(
    context: CallContext, detail: bool, state: str, full: bool
) -> list[Any]:
    """By name.  One that vanishes while it is described is left out."""
    views = await context.service.list(state.lower())
    views = sorted(views, key=lambda view: view.name)
    if not detail:
        return [view.name for view in views]
    found: list[Any] = []
    for view in views:
        try:
            found.append(await answer(context, view, devices=full))
        except XendError as error:
            log.warning("Failed to query SXPR for domain %s: %s", view.name, error)
    return found


async def vcpu_info(context: CallContext, dom: str | int) -> list[Any]:
    view = await context.service.lookup(dom)
    sxp: list[Any] = [
        "domain",
        ["domid", view.domid],
        ["name", view.name],
        ["vcpu_count", view.vcpus],
    ]
    if view.running:
        try:
            sxp += [_vcpu(vcpu) for vcpu in await context.service.vcpus(dom)]
        except DomainNotFound:
            log.debug("domain %s ended while its vcpus were read", view.name)
        return sxp
    view = await context.service.with_config(view)
    return sxp + [_halted_vcpu(view.config, number) for number in range(view.vcpus)]


def _vcpu(vcpu: VcpuInfo) -> list[Any]:
    return [
        "vcpu",
        ["number", vcpu.number],
        ["online", int(vcpu.online)],
        ["blocked", int(vcpu.blocked)],
        ["running", int(vcpu.running)],
        ["cpu_time", vcpu.cpu_time / 1e9],
        ["cpu", vcpu.cpu],
        ["cpumap", list(vcpu.affinity)],
    ]


def _halted_vcpu(config: DomainConfig | None, number: int) -> list[Any]:
    affinity = config.affinity if config is not None else ()
    cpus = affinity[number] if number < len(affinity) else ()
    return [
        "vcpu",
        ["number", number],
        ["online", 0],
        ["blocked", 0],
        ["running", 0],
        ["cpu_time", 0.0],
        ["cpu", -1],
        ["cpumap", list(cpus) or ANY_CPU],
    ]


_ATTACHED: Final = frozenset({PowerState.RUNNING, PowerState.PAUSED, PowerState.CRASHED})
"""States in which XenStore knows the devices; in the others the configuration does."""


async def device_sxprs(context: CallContext, dom: str | int, device_class: str) -> list[Any]:
    """Running: `[[devid, [[key, value]…]]…]`; halted: `[[number, device SXP]…]`; pci: structs."""
    if device_class not in _DEVICE_CLASSES:
        raise InvalidArgument(
            f"Unknown device type: {device_class}", argument="class", value=device_class
        )
    view = await context.service.lookup(dom)
    if device_class == "pci":
        return await _pci(context, view)
    if view.power_state in _ATTACHED:
        return [_attached(found) for found in await context.service.devices(dom, device_class)]
    view = await context.service.with_config(view)
    return _configured(view.config, device_class)


def _attached(device: DeviceView) -> list[Any]:
    pairs: list[Any] = [[key, value] for key, value in device.frontend.items()]
    if device.device_class == "vusb":
        pairs += _controller(device.backend)
    return [device.devid, pairs]


def _controller(backend: Mapping[str, str]) -> list[Any]:
    """What `xm usb-list` reads: version, number of ports, and `(port (1 1-1.4) (2 '') …)`."""
    ports = [
        [key.removeprefix("port/"), bus] for key, bus in backend.items() if key.startswith("port/")
    ]
    return [
        *([key, backend[key]] for key in ("usb-ver", "num-ports") if key in backend),
        ["port", *sorted(ports, key=lambda pair: int(pair[0]) if pair[0].isdigit() else 0)],
    ]


def _configured(config: DomainConfig | None, device_class: str) -> list[Any]:
    if config is None:
        return []
    if device_class in ("vbd", "tap", "tap2"):
        disks = [disk for disk in config.disks if device_class in ("vbd", disk.device_class)]
        return [[vdev_number(disk.vdev), encode_device(disk)] for disk in disks]
    others = {"vif": config.vifs, "vfb": config.vfbs, "vkbd": config.vkbds,
              "ioports": config.ioports, "irq": config.irqs}.get(device_class, ())  # fmt: skip
    return [[number, encode_device(device)] for number, device in enumerate(others)]


async def _pci(context: CallContext, view: DomainView) -> list[Any]:
    view = await context.service.with_config(view)
    devices = view.config.pcis if view.config is not None else ()
    return [
        {
            "domain": f"0x{pci.domain:04x}",
            "bus": f"0x{pci.bus:02x}",
            "slot": f"0x{pci.slot:02x}",
            "func": f"0x{pci.func:x}",
            "vdevfn": "0x100" if pci.vslot is None else f"0x{pci.vslot << 3:02x}",
            "key": f"{pci.bus:02x}:{pci.slot:02x}.{pci.func:x}",
            "uuid": str(pci.uuid) if pci.uuid else "",
        }
        for pci in devices
    ]


async def block_device_class(context: CallContext, dom: str | int, dev: str) -> str | None:
    """`vbd`, `tap` or `tap2` of the disk with that name or number; None if there is none."""
    view = await context.service.with_config(await context.service.lookup(dom))
    wanted = vdev_number(dev)
    for disk in view.config.disks if view.config is not None else ():
        if vdev_number(disk.vdev) == wanted:
            return disk.device_class
    if not view.running:
        return None
    for device in await context.service.devices(dom, "vbd"):
        if device.devid == wanted:
            return "tap2" if "/backend/tap" in device.frontend.get("backend", "") else "vbd"
    return None


async def restart_count(context: CallContext, dom: str | int) -> str | None:
    view = await context.service.lookup(dom)
    return str(view.restarts) if view.running else None


async def pause_flag(context: CallContext, dom: str | int) -> bool:
    return (await context.service.lookup(dom)).paused_by_admin


async def sched_credit_get(context: CallContext, dom: str | int) -> dict[str, int]:
    weight, cap = await context.service.scheduler(dom)
    return {"cap": cap, "weight": weight}


async def sched_credit2_get(context: CallContext, dom: str | int) -> dict[str, int]:
    weight, _cap = await context.service.scheduler(dom)
    return {"weight": weight}
