"""USB controllers and devices of guests: `ports.UsbControl` over libxl."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from xend.errors import InvalidArgument
from xend.libxl import schema
from xend.model.units import Domid

_BY_NUMBER: Final = re.compile(r"host:(\d{1,3})\.(\d{1,3})")
_BY_MODEL: Final = re.compile(r"host:([0-9a-f]{1,4}):([0-9a-f]{1,4})", re.I)
_BUS_ID: Final = re.compile(r"\d+-\d+(\.\d+)*")

Long = Callable[..., Awaitable[Any]]
"""Runs an operation of `devicework` in a worker process: name, domid, arguments by name."""


class XenUsb:
    def __init__(self, long: Long, devices: Path = Path("/sys/bus/usb/devices")) -> None:
        self._long = long
        self._devices = devices

    async def bus_id(self, device: str) -> str:
        return await asyncio.to_thread(self._find, device)

    async def attach_controller(self, domid: Domid, version: int, ports: int) -> int:
        tree = {"version": version, "ports": ports}
        schema.check(tree, "device_usbctrl")
        text = await self._long("attach", domid, device_class="vusb", device=json.dumps(tree))
        return int(json.loads(text).get("devid", 0))

    async def detach_controller(self, domid: Domid, devid: int, *, force: bool = False) -> None:
        await self._long("detach", domid, device_class="vusb", devid=devid, force=force)

    async def plug(
        self, domid: Domid, bus_id: str, controller: int | None = None, port: int | None = None
    ) -> None:
        bus, address = await asyncio.to_thread(self._address, bus_id)
        tree: dict[str, Any] = {"type.hostdev": {"hostbus": bus, "hostaddr": address}}
        if controller is not None:
            tree["ctrl"] = controller
        if port is not None:
            tree["port"] = port
        schema.check(tree, "device_usbdev")
        await self._long("attach", domid, device_class="usbdev", device=json.dumps(tree))

    async def unplug(self, domid: Domid, controller: int, port: int) -> None:
        device = json.dumps({"port": port})
        await self._long(
            "detach", domid, device_class="usbdev", devid=controller, force=False, device=device
        )

    # -- sysfs, in a thread ------------------------------------------------------------------------

    def _find(self, device: str) -> str:
        if _BUS_ID.fullmatch(device):
            self._address(device)
            return device
        number, model = _BY_NUMBER.fullmatch(device), _BY_MODEL.fullmatch(device)
        if number is None and model is None:
            raise InvalidArgument(
                f"'{device}' is not a USB device: expected host:BUS.ADDRESS or host:VENDOR:PRODUCT",
                argument="device",
                value=device,
                expected="host:1.2 or host:1234:5678",
            )
        for entry in sorted(self._devices.iterdir()) if self._devices.is_dir() else ():
            if number and self._read(entry, "busnum", "devnum", 10) == _pair(number, 10):
                return entry.name
            if model and self._read(entry, "idVendor", "idProduct", 16) == _pair(model, 16):
                return entry.name
        raise self._missing(device)

    def _address(self, bus_id: str) -> tuple[int, int]:
        """Bus and address of a bus id such as 1-1.4."""
        found = self._read(self._devices / bus_id, "busnum", "devnum", 10)
        if not _BUS_ID.fullmatch(bus_id) or found is None:
            raise self._missing(bus_id)
        return found

    def _read(self, entry: Path, first: str, second: str, base: int) -> tuple[int, int] | None:
        try:
            return int((entry / first).read_text(), base), int((entry / second).read_text(), base)
        except (OSError, ValueError):
            return None  # An interface, which has no such numbers; or it was just unplugged.

    def _missing(self, device: str) -> InvalidArgument:
        return InvalidArgument(
            f"This host has no USB device {device} (see {self._devices})",
            argument="device",
            value=device,
        )


def _pair(match: re.Match[str], base: int) -> tuple[int, int]:
    return int(match[1], base), int(match[2], base)
