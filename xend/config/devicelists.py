"""The devices of one domain together: none twice, the first disk to boot from."""

from __future__ import annotations

from typing import Final

from xend.config.sxpvalues import invalid
from xend.model.devices import (
    Device,
    Disk,
    IoPorts,
    Irq,
    OtherDevice,
    Pci,
    Vfb,
    Vif,
    Vkbd,
)
from xend.model.vdev import vdev_number


def file_of(disk: Disk) -> str | None:
    """The file or device behind a disk, by which two disks are the same."""
    if not disk.scheme:
        return None
    if disk.scheme == "phy" and not disk.path.startswith("/"):
        return f"/dev/{disk.path}"
    return disk.path


def add_device(found: list[Device], device: Device) -> None:
    """Adds a device unless it repeats one; a CD in the same drive takes its place."""
    if isinstance(device, Vif):
        if device.mac and any(isinstance(one, Vif) and one.mac == device.mac for one in found):
            invalid(f'The mac "{device.mac}" is already defined', field="vif.mac", value=device.mac)
    elif isinstance(device, Disk):
        number = vdev_number(device.vdev)
        for index, one in enumerate(found):
            if not isinstance(one, Disk) or number is None:
                continue
            if device.uname and one.uname:
                _check_same_file(device, one)
            if vdev_number(one.vdev) == number:
                if device.device_type != "cdrom":
                    name = device.dev or device.vdev
                    invalid(f'The device "{name}" is already defined', field="disk.dev", value=name)
                found[index] = device.model_copy(update={"uuid": one.uuid})
                return
    found.append(device)


def _check_same_file(device: Disk, other: Disk) -> None:
    path = file_of(device)
    if path == file_of(other):
        invalid(f'The file "{path}" is already used', field="disk.uname", value=device.uname)
    if device.uname == other.uname:
        invalid(
            f'The uname "{device.uname}" is already defined',
            field="disk.uname",
            value=device.uname,
        )


def mark_bootable(found: list[Device]) -> list[Device]:
    """The first disk is the one to boot from, unless it says that it is not."""
    for index, device in enumerate(found):
        if isinstance(device, Disk):
            if "bootable" not in device.model_fields_set:
                found[index] = device.model_copy(update={"bootable": True})
            break
    return found


_GROUPS: Final[tuple[tuple[str, type[Device]], ...]] = (
    ("disks", Disk),
    ("vifs", Vif),
    ("vfbs", Vfb),
    ("vkbds", Vkbd),
    ("pcis", Pci),
    ("ioports", IoPorts),
    ("irqs", Irq),
    ("other_devices", OtherDevice),
)


def sort_devices(found: list[Device]) -> dict[str, tuple[Device, ...]]:
    """The devices by the model's fields."""
    return {
        name: tuple(device for device in found if type(device) is kind) for name, kind in _GROUPS
    }
