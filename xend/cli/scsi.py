"""Virtual SCSI devices of a domain."""

from __future__ import annotations

import re

from xend.cli.devices import DeviceRow, devices_json, resource_domain
from xend.cli.failures import OptionError
from xend.cli.listing import print_sxp
from xend.cli.records import fields
from xend.cli.sysfs import ScsiDevice, scsi_devices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from xend.cli.app import Xm

_INITIALISING = 1
_CLOSING = 5
_SD = re.compile(r"/dev/(sd[a-z]+?)(?:[1-9]|1[0-5])?$")
_OTHER = re.compile(r"/dev/((?:sg|st)[0-9]+)$")


def list_attached(xm: Xm, args: list[str]) -> None:
    flags, domain = resource_domain(xm, "scsi-list", args)
    controllers = xm.call("xend.domain.getDeviceSxprs", domain, "vscsi")
    for controller in controllers:
        devices = controller[1][0]
        devices[1] = sorted(devices[1], key=_virtual_order)
    if "json" in flags:
        xm.print(devices_json(controllers))
    elif "long" in flags:
        print_sxp(xm, controllers)
    else:
        _show(xm, controllers)


def _virtual_order(device: Any) -> list[int]:
    """By host last: the order in which the original's radix sort left them."""
    return [int(part) for part in fields(device)["v-dev"].split(":")[1:]]


def _show(xm: Xm, controllers: list[Any]) -> None:
    if controllers:
        xm.print(
            f"{'Idx':<3s} {'BE':<3s} {'state':<5s} {'host':<4s}  "
            f"{'phy-hctl':<10s} {'phy':<5s} {'vir-hctl':<10s} {'devstate':<4s}"
        )
    for controller in controllers:
        row = DeviceRow(controller)
        for device in controller[1][0][1]:
            known = fields(device)
            xm.print(
                f"{row.index:<3d} {row.backend_id:<3d} {row.state:<5d} {row.feature_host:<4d}  "
                f"{known['p-dev']:<10s} {known['p-devname']:<5s} "
                f"{known['v-dev']:<10s} {known['frontstate']:<4s}"
            )


def attach(xm: Xm, args: list[str]) -> None:
    domain, physical, virtual, *backend = args
    config = _attach_config(xm, physical, virtual)
    if backend:
        config.append(["backend", backend[0]])
    xm.call("xend.domain.device_configure", domain, config)


def _attach_config(xm: Xm, physical: str, virtual: str) -> list[Any]:
    """`host` as the virtual address passes the whole host adapter through."""
    whole = virtual == "host"
    if not whole:
        _require_hctl(virtual)
    known = scsi_devices(xm.env, "[*]") if whole else None
    found = find_device(xm, physical, known)
    if found is None:
        raise OptionError(f"Cannot find device '{physical}'")
    if not whole:
        return ["vscsi", ["feature-host", 0], _device(_INITIALISING, found, virtual)]
    host = found.hctl.split(":")[0]
    same_host = [item for item in known or [] if item.hctl.split(":")[0] == host]
    devices = [_device(_INITIALISING, item, item.hctl) for item in same_host]
    return ["vscsi", ["feature-host", 1], *devices]


def detach(xm: Xm, args: list[str]) -> None:
    domain, virtual = args
    _require_hctl(virtual)
    config = ["vscsi", ["feature-host", 0], _device(_CLOSING, None, virtual)]
    xm.call("xend.domain.device_configure", domain, config)


def _require_hctl(text: str) -> None:
    if len(text.split(":")) != 4:
        raise OptionError(f"Invalid argument: {text}")


def _device(state: int, physical: ScsiDevice | None, virtual: str) -> list[Any]:
    return [
        "dev",
        ["state", state],
        ["devid", int(virtual.split(":")[0])],
        ["p-dev", physical.hctl if physical else None],
        ["p-devname", physical.name if physical else None],
        ["v-dev", virtual],
    ]


def find_device(xm: Xm, wanted: str, known: list[ScsiDevice] | None) -> ScsiDevice | None:
    """By host:channel:target:lun, by /dev name, or by SCSI id."""
    import os

    if wanted.startswith("/dev/"):
        wanted = os.path.realpath(wanted)
    is_hctl = len(wanted.split(":")) == 4
    if known is None:
        known = scsi_devices(xm.env, wanted if is_hctl else "")
    if is_hctl:
        return next((item for item in known if item.hctl == wanted), None)
    match = _SD.match(wanted) or _OTHER.match(wanted)
    name = match[1] if match else wanted
    return next((item for item in known if name in (item.name, item.sg, item.scsi_id)), None)
