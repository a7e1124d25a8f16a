"""What the operating system of dom0 knows, and old clients ask the daemon for."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import NAMESPACE_OID, UUID, uuid5

PciAddress = tuple[int, int, int, int]
"""domain, bus, slot, function"""

_BACK_DRIVERS = ("pciback", "pci-stub", "xen-pciback")
_ADDRESS = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")
MAX_LOG = 2 * 1024 * 1024
_USB_HUB = 0x09
"""bDeviceClass of the USB specification."""


@dataclass(frozen=True, slots=True)
class UsbDevice:
    """One that may be given to guests: no hub."""

    bus_id: str
    """`1-1.4`: bus, and the ports on the way to it."""
    bus: int
    address: int
    vendor: str
    """Four hexadecimal digits, as `model`."""
    model: str
    name: str
    """What it says of itself: maker and product; perhaps empty."""


class HostFacts(Protocol):
    def uname(self) -> tuple[str, str, str, str, str]:
        """system, host, release, version, machine."""

    async def uuid(self) -> UUID:
        """Of this host, the same after each start; the original made one up and kept it."""

    async def log_text(self) -> str:
        """The daemon's log; empty when it does not write one."""

    async def assignable_pci(self) -> list[PciAddress] | None:
        """Devices that may be given to guests; None when no driver for that is loaded."""

    async def usb_devices(self) -> list[UsbDevice]:
        """By bus id; empty where there is no USB."""


class LinuxFacts:
    """Reads /proc and /sys, in threads where that can wait."""

    def __init__(
        self,
        log_file: Path | None,
        sysfs: Path = Path("/sys"),
        machine_id: Path = Path("/etc/machine-id"),
    ) -> None:
        self._log_file = log_file
        self._machine_id = machine_id
        self._uuid: UUID | None = None
        self._drivers = sysfs / "bus/pci/drivers"
        self._usb = sysfs / "bus/usb/devices"

    def uname(self) -> tuple[str, str, str, str, str]:
        name = os.uname()
        return name.sysname, name.nodename, name.release, name.version, name.machine

    async def uuid(self) -> UUID:
        """From machine-id(5), or the host's name where there is none."""
        if self._uuid is None:
            text = await asyncio.to_thread(self._read_machine_id)
            self._uuid = uuid5(NAMESPACE_OID, f"xend host {text}")
        return self._uuid

    def _read_machine_id(self) -> str:
        try:
            return self._machine_id.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return os.uname().nodename

    async def log_text(self) -> str:
        return await asyncio.to_thread(self._read_log)

    def _read_log(self) -> str:
        """Its last MAX_LOG bytes: it rotates long before, unless somebody else writes it too."""
        if self._log_file is None:
            return ""
        try:
            with self._log_file.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - MAX_LOG))
                return file.read().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return ""

    async def assignable_pci(self) -> list[PciAddress] | None:
        return await asyncio.to_thread(self._scan)

    def _scan(self) -> list[PciAddress] | None:
        drivers = [self._drivers / name for name in _BACK_DRIVERS]
        present = [driver for driver in drivers if driver.is_dir()]
        if not present:
            return None
        matches = (
            _ADDRESS.fullmatch(entry.name) for driver in present for entry in driver.iterdir()
        )
        found = {tuple(int(part, 16) for part in match.groups()) for match in matches if match}
        return sorted((domain, bus, slot, func) for domain, bus, slot, func in found)

    async def usb_devices(self) -> list[UsbDevice]:
        return await asyncio.to_thread(self._scan_usb)

    def _scan_usb(self) -> list[UsbDevice]:
        if not self._usb.is_dir():
            return []
        found = (_usb_device(entry) for entry in sorted(self._usb.iterdir()))
        return [device for device in found if device is not None]


def _usb_device(entry: Path) -> UsbDevice | None:
    """None of what can be given to nobody: a hub, an interface, one that was just unplugged."""

    def read(name: str) -> str:
        return (entry / name).read_bytes().decode("utf-8", "replace").strip()

    try:
        if int(read("bDeviceClass"), 16) == _USB_HUB:
            return None
        numbers = int(read("busnum")), int(read("devnum"))
        vendor, model = read("idVendor"), read("idProduct")
    except (OSError, ValueError):
        return None
    words = []
    for name in ("manufacturer", "product"):
        with suppress(OSError):
            words.append(read(name))
    return UsbDevice(entry.name, *numbers, vendor, model, " ".join(words))
