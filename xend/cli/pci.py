"""PCI devices passed through to a domain.

A device is written `[DOMAIN:]BUS:SLOT.FUNCS[@VSLOT][,OPT=VAL…]`; FUNCS is `*`, or functions and
ranges of them, each with `=V` when it shall be function V in the domain.
"""

from __future__ import annotations

import re

from xend.cli.devices import resource_domain
from xend.cli.failures import OptionError, UsageError
from xend.cli.records import as_json, child_value
from xend.cli.sysfs import mount_point, names_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from xend.cli.app import Xm

AUTO_SLOT = 0x100
"""Bit of a virtual device number: the daemon chooses the slot."""

_NAME = re.compile(
    r"((?P<domain>[0-9a-fA-F]{1,4})[:,])?"
    r"(?P<bus>[0-9a-fA-F]{1,2})[:,]"
    r"(?P<slot>[0-9a-fA-F]{1,2})[.,]"
    r"(?P<func>\*|[0-7]([,-=][0-7])*)"
    r"(@(?P<vdevfn>[01]?[0-9a-fA-F]))?"
    r"(,(?P<opts>.*))?$"
)
_OPTIONS = ("msitranslate", "power_mgmt")
_TRUTH = ("0", "1", "yes", "no")

Address = tuple[int, int, int, int]


class PciDevice:
    """One function of a device, at home and in the domain."""

    __slots__ = ("address", "key", "options", "vdevfn")

    def __init__(
        self, address: Address, vdevfn: int, key: str, options: list[list[str]] | None = None
    ) -> None:
        self.address = address
        self.vdevfn = vdevfn
        self.key = key
        self.options = options or []

    @property
    def name(self) -> str:
        domain, bus, slot, function = self.address
        return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"

    def as_sxp(self, state: str) -> list[Any]:
        """The device as the daemon is told of it, in the order that recorded servers saw."""
        domain, bus, slot, function = self.address
        children: list[Any] = [
            ["slot", f"0x{slot:02x}"],
            ["domain", f"0x{domain:04x}"],
            ["key", self.key],
            ["bus", f"0x{bus:02x}"],
            ["vdevfn", f"0x{self.vdevfn:02x}"],
            ["func", f"0x{function:x}"],
        ]
        options = [["opts", option] for option in self.options]
        return ["pci", ["dev", *children, *options], ["state", state]]


def attached_devices(xm: Xm, domain: str) -> list[PciDevice]:
    found = []
    for item in xm.call("xend.domain.getDeviceSxprs", domain, "pci"):
        domain_nr, bus, slot, function = (
            int(item[key], 16) for key in ("domain", "bus", "slot", "func")
        )
        address = (domain_nr, bus, slot, function)
        found.append(PciDevice(address, int(item["vdevfn"], 16), item["key"]))
    return found


def list_attached(xm: Xm, args: list[str]) -> None:
    flags, domain = resource_domain(xm, "pci-list", args)
    devices = attached_devices(xm, domain)
    devices.sort(key=lambda device: (device.vdevfn & ~7, device.address))
    if "json" in flags:
        xm.print(as_json([_as_dict(device) for device in devices]))
        return
    placed = any(not device.vdevfn & AUTO_SLOT for device in devices)
    if devices:
        xm.print("Vdev Device" if placed else "Device")
    for device in devices:
        xm.print(f"{_virtual(device):<4s} {device.name}" if placed else device.name)


def _virtual(device: PciDevice) -> str:
    if device.vdevfn & AUTO_SLOT:
        return "-"
    return f"{device.vdevfn >> 3 & 0x1F:02x}.{device.vdevfn & 7:x}"


def _as_dict(device: PciDevice) -> dict[str, Any]:
    virtual = _virtual(device)
    return {"device": device.name, "vdev": None if virtual == "-" else virtual}


def list_assignable(xm: Xm, args: list[str]) -> None:
    devices = xm.call("xend.node.pciinfo")
    if "--json" in args:
        found = None if devices is None else [{"device": _address(each)} for each in devices]
        xm.print(as_json(found))
        return
    if devices is None:
        xm.print("Error: pciback/pci-stub not loaded?")
        return
    for device in devices:
        xm.print(_address(device))


def _address(device: Any) -> str:
    domain, bus, slot, function = (
        _hex(child_value(device, key, default))
        for key, default in (("domain", 0), ("bus", -1), ("slot", -1), ("func", -1))
    )
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:01x}"


def _hex(value: Any) -> int:
    return int(value, 16) if isinstance(value, str) else int(value)


def attach(xm: Xm, args: list[str]) -> None:
    options, params = xm.options("pci-attach", args, "o:", "options=")
    settings = [_setting(value) for _, value in options]
    if not 2 <= len(params) - params.count("--") <= 3:
        raise UsageError("Invalid argument for 'xm pci-attach'", "pci-attach")
    domain = params[0]
    devices = parse_devices(_device_text(params, settings))
    attached = {device.address for device in attached_devices(xm, domain)}
    for device in devices:
        if device.address in attached:
            raise OptionError(f"pci: device {device.name} has been attached! ")
    head, *others = devices
    _configure(xm, domain, head, "Initialising")
    if others and head.vdevfn & AUTO_SLOT:
        _follow(xm, domain, head, others)
    for device in others:
        _configure(xm, domain, device, "Initialising")


def _setting(text: str) -> str:
    if len(text.split("=")) != 2:
        raise UsageError(f"Invalid pci attach option: {text}", "pci-attach")
    return text


def _device_text(params: list[str], settings: list[str]) -> str:
    text = params[1] + (f"@{params[2]}" if len(params) == 3 else "")
    return ",".join([text, *settings])


def _configure(xm: Xm, domain: str, device: PciDevice, state: str) -> None:
    xm.call("xend.domain.device_configure", domain, device.as_sxp(state))


def _follow(xm: Xm, domain: str, head: PciDevice, others: list[PciDevice]) -> None:
    """Put the other functions into the slot that the first one was given."""
    vdevfn = _attached(attached_devices(xm, domain), head).vdevfn
    if not vdevfn & AUTO_SLOT:
        for device in others:
            device.vdevfn = (vdevfn & 0xF8) | (device.vdevfn & 7)


def _attached(attached: list[PciDevice], wanted: PciDevice) -> PciDevice:
    for device in attached:
        if device.address == wanted.address:
            return device
    raise OptionError(f"pci: device {wanted.name} is not attached!")


def detach(xm: Xm, args: list[str]) -> None:
    """Functions that share a slot in the domain can only go together."""
    domain = args[0]
    devices = parse_devices(_device_text(args, []))
    attached = attached_devices(xm, domain)
    found = [_attached(attached, device) for device in devices]
    slots = [device.vdevfn >> 3 & 0x1F | device.vdevfn & AUTO_SLOT for device in found]
    if len(set(slots)) > 1:
        lines = [
            f"\t{device.name} is in slot 0x{device.vdevfn >> 3 & 0x1F:02x}\n" for device in devices
        ]
        raise OptionError("More than one slot used by specified devices\n" + "".join(lines))
    same = [device for device in found if device.key == found[0].key]
    if len(same) != len(devices):
        asked = "".join(f"\t{device.name}\n" for device in devices)
        present = "".join(f"\t{device.name} ({device.key})\n" for device in same)
        raise OptionError(
            f"Not all functions in slot 0x{slots[0]:02x} have had detachment requested.\n"
            f"Requested:\n{asked}Present:\n{present}"
        )
    for device in devices:
        _configure(xm, domain, device, "Closing")


def parse_devices(text: str) -> list[PciDevice]:
    """The functions that a name stands for, function 0 last: it is what the domain notices."""
    match = _NAME.match(text)
    if match is None:
        raise OptionError(f"Failed to parse pci device: {text}")
    options = [item.split("=") for item in (match["opts"] or "").split(",") if item]
    for name, value in options:
        if name not in _OPTIONS or value.lower() not in _TRUTH:
            raise OptionError(f"Invalid pci option {name}={value}: ")
    home = (int(match["domain"] or "0", 16), int(match["bus"], 16), int(match["slot"], 16))
    slot = None if match["vdevfn"] is None else int(match["vdevfn"], 16)
    devices = []
    for physical, virtual in _functions(text, match["func"], home):
        vdevfn = AUTO_SLOT | virtual if slot is None else (slot & 0x1F) << 3 | virtual & 7
        devices.append(PciDevice((*home, physical), vdevfn, text.split(",")[0], options))
    return devices


def _functions(text: str, spec: str, home: tuple[int, int, int]) -> list[tuple[int, int]]:
    """Pairs of physical and virtual function, highest virtual function first."""
    chosen = [item for part in spec.split(",") for item in _function_range(text, part, home)]
    for column in (0, 1):
        if len({item[column] for item in chosen}) != len(chosen):
            raise OptionError(f"Duplicate functions: {text}")
    if not any(virtual == 0 for _, virtual, _ in chosen):
        chosen = _with_function_zero(text, chosen)
    chosen.sort(key=lambda item: -item[1])
    return [(physical, virtual) for physical, virtual, _ in chosen]


Function = tuple[int, int, bool]
"""Physical and virtual function, and whether the virtual one was chosen by hand."""


def _with_function_zero(text: str, chosen: list[Function]) -> list[Function]:
    """A device in a domain needs a function 0: the lowest one that was not placed by hand."""
    free = sorted((item for item in chosen if not item[2]), key=lambda item: item[1])
    if not free:
        raise OptionError(f"Virtual device does not include virtual function 0: {text}")
    free[0] = (free[0][0], 0, False)
    return free + [item for item in chosen if item[2]]


def _function_range(text: str, part: str, home: tuple[int, int, int]) -> list[Function]:
    if part == "*":
        return [(function, function, False) for function in _functions_of_host(home)]
    ends = [_function(end) for end in part.split("-")]
    if len(ends) == 1:
        return ends
    if len(ends) > 2:
        return []
    physical = _steps(ends[0][0], ends[1][0])
    virtual = _steps(ends[0][1], ends[1][1])
    if len(physical) != len(virtual):
        raise OptionError(f"Invalid range in: {text}")
    return [(one, other, True) for one, other in zip(physical, virtual, strict=True)]


def _function(text: str) -> Function:
    parts = text.split("=")
    if len(parts) > 2:
        raise OptionError(f"Invalid function: {text}")
    physical, virtual = int(parts[0], 16), int(parts[-1], 16)
    if not 0 <= physical <= 7:
        raise OptionError(f"Invalid physical function in: {text}")
    if not 0 <= virtual <= 7:
        raise OptionError(f"Invalid virtual function in: {text}")
    return physical, virtual, len(parts) == 2


def _steps(first: int, last: int) -> list[int]:
    return list(range(first, last + 1)) if first <= last else list(range(first, last - 1, -1))


def _functions_of_host(home: tuple[int, int, int]) -> list[int]:
    domain, bus, slot = home
    prefix = f"{domain:04x}:{bus:02x}:{slot:02x}."
    names = names_in(mount_point() + "/bus/pci/devices")
    return [int(name[-1], 16) for name in names if name.startswith(prefix)]
