"""Hot-plug, as a worker process runs it.

Imported by worker processes: keep it light.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from xend.libxl import roundtrip
from xend.libxl._xl import ffi, lib
from xend.libxl.ctx import Context
from xend.libxl.handle import ProgressCallback

DEVICE_TYPES = {
    "vbd": "disk",
    "vif": "nic",
    "vfb": "vfb",
    "vkbd": "vkb",
    "pci": "pci",
    "vusb": "usbctrl",
    "usbdev": "usbdev",
}


def attach(
    context: Context, progress: ProgressCallback, domid: int, device_class: str, device: str
) -> str:
    """Hot-plugs a device; its JSON with what libxl filled in."""
    kind = DEVICE_TYPES[device_class]
    with_device = _Device(kind)
    try:
        with_device.read(context, device)
        rc = with_device.call("add", context.raw, domid, with_device.struct, ffi.NULL)
        context.check(f"attach {kind}", rc)
        return with_device.json(context)
    finally:
        with_device.dispose()


def detach(
    context: Context,
    progress: ProgressCallback,
    domid: int,
    device_class: str,
    devid: int,
    force: bool,
    device: str = "{}",
) -> None:
    """`device` (JSON) says which one for classes without a number (pci), and the port of a USB
    device, whose controller is `devid`; that one cannot be forced."""
    kind = DEVICE_TYPES[device_class]
    which = _Device(kind)
    try:
        if kind == "disk":
            number = str(devid).encode()
            rc = lib.libxl_vdev_to_device_disk(context.raw, domid, number, which.struct)
        elif kind == "nic":
            rc = lib.libxl_devid_to_device_nic(context.raw, domid, devid, which.struct)
        elif kind == "usbctrl":
            rc = lib.libxl_devid_to_device_usbctrl(context.raw, domid, devid, which.struct)
        elif kind == "usbdev":
            port = int(json.loads(device)["port"])
            rc = lib.libxl_ctrlport_to_device_usbdev(context.raw, domid, devid, port, which.struct)
        else:
            rc = which.call("from_json", context.raw, which.struct, device.encode())
        context.check(f"find {kind}", rc)
        verb = "destroy" if force and kind != "usbdev" else "remove"
        rc = which.call(verb, context.raw, domid, which.struct, ffi.NULL)
        context.check(f"detach {kind}", rc)
    finally:
        which.dispose()


def insert(context: Context, progress: ProgressCallback, domid: int, device: str) -> None:
    """Another medium (JSON of a libxl_device_disk) for the CD drive of an HVM guest."""
    disk = _Device("disk")
    try:
        disk.read(context, device)
        rc = lib.libxl_cdrom_insert(context.raw, domid, disk.struct, ffi.NULL)
        context.check("change the medium", rc)
    finally:
        disk.dispose()


class _Device:
    """One libxl_device_KIND and its family of functions."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.struct = ffi.new(f"libxl_device_{kind} *")
        self.call("init", self.struct)

    def call(self, verb: str, *args: Any) -> Any:
        return getattr(lib, f"libxl_device_{self.kind}_{verb}")(*args)

    def read(self, context: Context, device: str) -> None:
        """From JSON, all of which must have been understood."""
        rc = self.call("from_json", context.raw, self.struct, device.encode())
        context.check(f"read {self.kind}", rc)
        roundtrip.check(json.loads(device), json.loads(self.json(context)))

    def json(self, context: Context) -> str:
        return context.owned_text(self.call("to_json", context.raw, self.struct))

    def dispose(self) -> None:
        self.call("dispose", self.struct)


TABLE: dict[str, Callable[..., Any]] = {"attach": attach, "detach": detach, "insert": insert}
