"""USB devices: virtual controllers (vusb), and the emulated one of HVM domains."""

from __future__ import annotations

from xend.cli.devices import DeviceRow
from xend.cli.domains import running_domid
from xend.cli.records import as_json, child_value, children, text_of
from xend.cli.sysfs import Usb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from xend.cli.app import Xm


def add(xm: Xm, args: list[str]) -> None:
    xm.call("xend.domain.usb_add", args[0], args[1])


def delete(xm: Xm, args: list[str]) -> None:
    xm.call("xend.domain.usb_del", args[0], args[1])


def list_attached(xm: Xm, args: list[str]) -> None:
    host = Usb(xm.env)
    flags, names = xm.flags("usb-list", args, ":json")
    devices = xm.call("xend.domain.getDeviceSxprs", names[0], "vusb")
    if "json" in flags:
        xm.print(as_json([_as_dict(device) for device in devices]))
        return
    for device in devices:
        _show_controller(xm, device, host)


def _as_dict(device: Any) -> dict[str, Any]:
    row = DeviceRow(device)
    known = ["vusb", *device[1]]
    ports = [port for found in children(known, "port")[:1] for port in found[1:]]
    return {
        "index": row.index,
        "backend-id": row.backend_id,
        "state": row.state,
        "usb-ver": int(child_value(known, "usb-ver")),
        "backend": row.backend,
        "ports": {
            text_of(port[0]): text_of(port[1]) or None
            for port in ports
            if isinstance(port, list) and len(port) == 2
        },
    }


def _show_controller(xm: Xm, device: Any, host: Usb) -> None:
    xm.print(f"{'Idx':<3s} {'BE':<3s} {'state':<5s} {'usb-ver':<7s}  {'BE-path':<30s}")
    row = DeviceRow(device)
    # The list of pairs has no name in front, which an SXP list would have.
    known = ["vusb", *device[1]]
    version = "USB1.1" if int(child_value(known, "usb-ver")) == 1 else "USB2.0"
    xm.print(
        f"{row.index:<3d} {row.backend_id:<3d} {row.state:<5d} {version:<7s} {row.backend:<30s}  "
    )
    for ports in children(known, "port")[:1]:
        for port in ports[1:]:
            if isinstance(port, list) and len(port) == 2:
                xm.print(f"port {int(port[0])}: {_plugged(text_of(port[1]), host)}")


def _plugged(bus: str, host: Usb) -> str:
    return f"{bus} [{host.describe(bus)}]" if bus and host.is_connected(bus) else bus


def list_assignable(xm: Xm, args: list[str]) -> None:
    host = Usb(xm.env)
    assigned = {item.bus for item in host.assigned()}
    free = {bus: host.describe(bus) for bus in host.devices() if bus not in assigned}
    if "--json" in args:
        xm.print(as_json([{"device": bus, "description": text} for bus, text in free.items()]))
        return
    for bus, text in free.items():
        xm.print(f"{bus:<13s}: {text}")


def attach(xm: Xm, args: list[str]) -> None:
    """What is wrong with the call is told on standard output, with exit status 0: as ever."""
    domain, device, port, bus = args
    problem = _cannot_attach(xm, domain, device, port, bus)
    if problem:
        xm.print(problem)
        return
    xm.call("xend.domain.device_configure", domain, ["vusb", ["port", [port, bus]]], device)


def _cannot_attach(xm: Xm, domain: str, device: str, port: str, bus: str) -> str:
    ports: Any = None
    for item in xm.call("xend.domain.getDeviceSxprs", domain, "vusb"):
        if int(item[0]) == int(device):
            ports = child_value(["vusb", *item[1]], "num-ports", 0)
    if ports is None:
        return f"Cannot find device '{device}' in domain '{domain}'"
    if not 1 <= int(port) <= int(ports):
        return f"Invalid Port Number '{port}'"
    host = Usb(xm.env)
    if not host.is_bus(bus):
        return f"Invalid Busid '{bus}'"
    assigned = host.assigned()
    if any(item.bus == bus for item in assigned):
        return f"Cannot assign already attached bus '{bus}', detach first."
    place = (str(running_domid(xm, domain)), device, port)
    if any((item.domid, item.device, item.port) == place for item in assigned):
        return f"Cannot override already attached port '{port}', detach first."
    return ""


def detach(xm: Xm, args: list[str]) -> None:
    domain, device, port = args
    xm.call("xend.domain.device_configure", domain, ["vusb", ["port", [port, ""]]], device)


def controller_create(xm: Xm, args: list[str]) -> None:
    domain, version, count = args
    ports = [[str(number), ""] for number in range(1, int(count) + 1)]
    controller = ["vusb", ["usb-ver", version], ["num-ports", count], ["port", *ports]]
    xm.call("xend.domain.device_create", domain, controller)


def controller_destroy(xm: Xm, args: list[str]) -> None:
    xm.call("xend.domain.destroyDevice", args[0], "vusb", args[1])
