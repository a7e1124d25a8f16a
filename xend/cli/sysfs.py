"""What the kernel tells about this host's USB and SCSI devices."""

from __future__ import annotations

import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BUS = re.compile(r"([0-9]{1,2})[-,]([0-9]{1,2}(?:[.,][0-9]{1,2}){0,5})$")
_HUB_CLASS = "09"


def mount_point() -> str:
    """Where sysfs is mounted."""
    with open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split()
            if len(fields) > 2 and fields[2] == "sysfs":
                return fields[1]
    return "/sys"


def read_line(path: str) -> str:
    """First line of an attribute; empty when there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.readline().rstrip("\n")
    except OSError:
        return ""


def names_in(path: str) -> list[str]:
    """Entries of a folder, sorted; none when there is no such folder."""
    try:
        return sorted(entry.name for entry in os.scandir(path))
    except OSError:
        return []


class Assignment:
    """A line of usbback's port_ids: a bus, and the domain, controller and port that have it."""

    __slots__ = ("bus", "device", "domid", "port")

    def __init__(self, line: str) -> None:
        self.bus, self.domid, self.device, self.port = (*line.split(":"), "", "", "", "")[:4]


class Usb:
    """The host's USB devices by their bus name, such as 2-1.4."""

    def __init__(self, env: Mapping[str, str], root: str | None = None) -> None:
        base = (root or mount_point()) + "/bus/usb"
        self._env = env
        self._devices = base + "/devices"
        self._port_ids = base + "/drivers/usbback/port_ids"

    @staticmethod
    def is_bus(text: str) -> bool:
        return _BUS.match(text) is not None

    def is_connected(self, bus: str) -> bool:
        return os.access(f"{self._devices}/{bus}", os.F_OK)

    def devices(self) -> list[str]:
        """All but hubs."""
        found = (match for match in map(_BUS.match, names_in(self._devices)) if match)
        buses = [f"{match[1]}-{match[2]}" for match in found]
        return [bus for bus in buses if self._attribute(bus, "bDeviceClass") != _HUB_CLASS]

    def assigned(self) -> list[Assignment]:
        try:
            with open(self._port_ids) as file:
                return [Assignment(line) for line in file.read().splitlines()]
        except OSError:
            return []

    def describe(self, bus: str) -> str:
        vendor, product = self._attribute(bus, "idVendor"), self._attribute(bus, "idProduct")
        names = [self._attribute(bus, "manufacturer"), self._attribute(bus, "product")]
        text = " ".join(names) if all(names) else _lsusb(self._env, vendor, product)
        return f"ID {vendor:<4s}:{product:<4s} {text}"

    def _attribute(self, bus: str, name: str) -> str:
        return read_line(f"{self._devices}/{bus}/{name}")


def _lsusb(env: Mapping[str, str], vendor: str, product: str) -> str:
    """The name in the USB database, for a device that does not tell its own."""
    line = _first_line(["lsusb", "-d", f"{vendor}:{product}"], env)
    _, found, text = line.partition(f"ID {vendor}:{product}")
    return text.strip() if found else ""


class ScsiDevice:
    """A SCSI device: its host:channel:target:lun and the names it goes by."""

    __slots__ = ("hctl", "name", "scsi_id", "sg")

    def __init__(self, hctl: str, name: str | None, sg: str | None, scsi_id: str | None) -> None:
        self.hctl = hctl
        self.name = name
        self.sg = sg
        self.scsi_id = scsi_id


def scsi_devices(env: Mapping[str, str], pattern: str = "") -> list[ScsiDevice]:
    """From lsscsi, else from sysfs."""
    found = list(_from_lsscsi(env, pattern))
    return found or list(_scsi_from_sysfs(env, mount_point()))


def _from_lsscsi(env: Mapping[str, str], pattern: str) -> Iterator[ScsiDevice]:
    for line in _lines(["lsscsi", "-g", *([pattern] if pattern else [])], env):
        words = line.replace("]", "] ").split()
        if len(words) < 2 or not words[0].startswith("["):
            continue
        name, sg = (_device_name(word) for word in words[-2:])
        yield ScsiDevice(words[0][1:-1], name or sg, sg, _scsi_id(env, sg) if sg else None)


def _device_name(word: str) -> str | None:
    _, found, name = word.partition("/dev/")
    return name if found else None


def _scsi_from_sysfs(env: Mapping[str, str], root: str) -> Iterator[ScsiDevice]:
    base = root + "/bus/scsi/devices"
    for hctl in names_in(base):
        if len(hctl.split(":")) != 4:
            continue
        kinds = ("block", "tape", "scsi_changer", "onstream_tape")
        names = [name for kind in kinds for name in names_in(f"{base}/{hctl}/{kind}")]
        generic = names_in(f"{base}/{hctl}/scsi_generic")
        sg = generic[0] if generic else None
        yield ScsiDevice(hctl, names[0] if names else sg, sg, _scsi_id(env, sg) if sg else None)


def _scsi_id(env: Mapping[str, str], sg: str) -> str | None:
    for program in ("/lib/udev/scsi_id", "/usr/lib/udev/scsi_id"):
        if os.access(program, os.X_OK):
            line = _first_line([program, "-gu", "--sg-version", "3", "-d", f"/dev/{sg}"], env)
            if line:
                return line.split()[0]
    return None


def _first_line(argv: list[str], env: Mapping[str, str]) -> str:
    return next(iter(_lines(argv, env)), "")


def _lines(argv: list[str], env: Mapping[str, str]) -> list[str]:
    """Output of a program; nothing when there is no such program."""
    import subprocess

    try:
        done = subprocess.run(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            text=True,
            env=dict(env),
        )
    except OSError:
        return []
    return done.stdout.splitlines()
