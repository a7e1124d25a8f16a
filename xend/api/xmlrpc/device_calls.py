"""Changes to a domain's devices.  Each decodes, calls the service, and encodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from xend.api.xmlrpc.context import CallContext
from xend.config.devicesxp import decode_device
from xend.core.ports import DeviceClass
from xend.errors import InvalidArgument, UnsupportedFeature
from xend.model.devices import Device, Disk, OtherDevice, Pci, Vfb, Vif, Vkbd

_CLASSES: Final[Mapping[type[Device], DeviceClass]] = {
    Disk: "vbd",
    Vif: "vif",
    Vfb: "vfb",
    Vkbd: "vkbd",
    Pci: "pci",
}
_DISK_CLASSES: Final = ("vbd", "tap", "tap2")


async def wait_for_devices(context: CallContext, dom: str | int) -> None:
    await context.service.wait_for_devices(dom)


async def device_create(context: CallContext, dom: str | int, config: list[Any]) -> None:
    if config[:1] == ["vusb"]:
        await _create_controller(context, dom, config)
        return
    for device in decode_device(config):
        await context.service.attach_device(dom, _class_of(device), device, caller=context.caller)


def _class_of(device: Device) -> DeviceClass:
    found = _CLASSES.get(type(device))
    if found is None:
        name = device.device_class if isinstance(device, OtherDevice) else type(device).__name__
        raise _no_such_device(name.lower())
    return found


def _no_such_device(name: str) -> UnsupportedFeature:
    if name == "vscsi":
        return UnsupportedFeature(
            feature="A virtual SCSI host (vscsi)",
            reason="libxl never had it in a release",
            instead="the SCSI disk as a block device: xm block-attach DOM phy:/dev/sdX xvdX w",
        )
    return UnsupportedFeature(
        feature=f"Attaching a device of class {name} to a running domain",
        reason="libxl cannot do it",
        instead="the domain's configuration, before it is started",
    )


async def destroy_device(
    context: CallContext,
    dom: str | int,
    device_class: str,
    devid: str,
    force: bool,
    _rm_cfg: bool,
) -> None:
    """`devid` is a number, or the name that a guest sees of its disk."""
    if device_class == "vusb":
        number = _whole("devid", devid)
        await _usb(context, "controller-detach", dom, devid=number, force=force)
        return
    kind = "vbd" if device_class in _DISK_CLASSES else device_class
    if kind == "vscsi":
        raise _no_such_device(kind)
    if kind not in _CLASSES.values():
        raise InvalidArgument(
            f"Unknown device type: {device_class}", argument="class", value=device_class
        )
    await context.service.detach_device(
        dom,
        cast(DeviceClass, kind),
        int(devid) if devid.isdigit() else devid,
        force=force,
        caller=context.caller,
    )


async def device_configure(
    context: CallContext, dom: str | int, config: list[Any], devid: str | None
) -> bool:
    """Another medium of a CD drive, a PCI device that comes or goes (by its `state`), a USB
    device that is plugged into a port or, with an empty bus, taken out of it."""
    kind = str(config[0]) if config else ""
    if kind in _DISK_CLASSES:
        await _change_medium(context, dom, config)
    elif kind == "pci":
        await _configure_pci(context, dom, config)
    elif kind == "vusb":
        await _configure_ports(context, dom, config, _whole("devid", devid or "0"))
    elif kind == "vscsi":
        raise _no_such_device(kind)
    else:
        raise InvalidArgument(
            f"Refusing to reconfigure a device of class {kind}: detach and attach it",
            argument="config",
            value=kind,
            expected="vbd, tap, tap2, pci or vusb",
        )
    return True


async def _change_medium(context: CallContext, dom: str | int, config: list[Any]) -> None:
    for device in decode_device(config):
        if not isinstance(device, Disk) or not device.vdev:
            raise InvalidArgument(
                "Block device must have virtual details specified", argument="dev", value=""
            )
        await context.service.change_medium(dom, device, caller=context.caller)


async def _configure_pci(context: CallContext, dom: str | int, config: list[Any]) -> None:
    state = str(_child(config, "state", ""))
    if state not in ("Initialising", "Closing"):
        raise InvalidArgument(
            f"Invalid state of a PCI device: {state!r}",
            argument="state",
            value=state,
            expected="Initialising or Closing",
        )
    rest = [child for child in config if not (isinstance(child, list) and child[:1] == ["state"])]
    for device in decode_device(rest):
        if not isinstance(device, Pci):
            continue
        if state == "Initialising":
            await context.service.attach_device(dom, "pci", device, caller=context.caller)
        else:
            await context.service.detach_pci(dom, device, caller=context.caller)


# -- USB ------------------------------------------------------------------------------------------


async def _create_controller(context: CallContext, dom: str | int, config: list[Any]) -> None:
    await _usb(
        context,
        "controller-attach",
        dom,
        version=_whole("usb-ver", _child(config, "usb-ver", "2")),
        ports=_whole("num-ports", _child(config, "num-ports", "8")),
        plugged={port: bus for port, bus in _ports(config) if bus},
    )


async def _configure_ports(
    context: CallContext, dom: str | int, config: list[Any], devid: int
) -> None:
    for port, bus in _ports(config):
        if bus:
            await _usb(context, "plug", dom, devid=devid, port=port, bus_id=bus)
        else:
            await _usb(context, "unplug", dom, devid=devid, port=port)


async def usb_add(context: CallContext, dom: str | int, device: str) -> None:
    await _usb(context, "add", dom, device=device)


async def usb_del(context: CallContext, dom: str | int, device: str) -> None:
    await _usb(context, "del", dom, device=device)


async def _usb(context: CallContext, verb: str, dom: str | int, **arguments: Any) -> None:
    await context.service.change_usb(verb, dom, caller=context.caller, **arguments)


def _ports(config: list[Any]) -> list[tuple[int, str]]:
    """Of `(port (1 1-1.4) (2 '') …)`."""
    found = [child for child in config[1:] if isinstance(child, list) and child[:1] == ["port"]]
    pairs = [pair for child in found for pair in child[1:]]
    if any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
        raise InvalidArgument(
            "Invalid port: not a pair of port and bus", argument="port", value=repr(pairs)[:80]
        )
    return [(_whole("port", port), str(bus)) for port, bus in pairs]


def _child(config: list[Any], name: str, default: Any) -> Any:
    for child in config[1:]:
        if isinstance(child, list) and len(child) == 2 and child[0] == name:
            return child[1]
    return default


def _whole(name: str, value: Any) -> int:
    text = str(value)
    if isinstance(value, bool | float) or not (text.isascii() and text.isdigit()):
        raise InvalidArgument(
            f"Invalid {name}: {text[:80]!r} is not a number", argument=name, value=text
        )
    return int(text)
