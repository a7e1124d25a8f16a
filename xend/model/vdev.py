"""Names of virtual disks and their numbers (docs/misc/vbd-interface.txt of Xen)."""

from __future__ import annotations

import re

_SCSI_MAJORS = (8, 65, 66, 67, 68, 69, 70, 71, 128, 129, 130, 131, 132, 133, 134, 135)
_IDE_MAJORS = (3, 22, 33, 34, 56, 57, 88, 89, 90, 91)
_NAME = re.compile(r"(?:/dev/)?(sd|hd|xvd)([a-z]{1,2})([1-9]\d?)?")
_EXTENDED = 1 << 28
"""Bit of the numbers of xvd disks beyond the sixteenth."""


def vdev_number(name: str) -> int | None:
    """The number of `xvda`, `hdc`, `sda1`, `51712` or `0xca00`; None if it is no such name.

    A prefix `ioemu:` and a suffix `:cdrom` or `:disk` are ignored.
    """
    name = name.removeprefix("ioemu:").split(":")[0]
    if name.startswith("vbd/"):
        name = name.removeprefix("vbd/")
    if name.isascii() and name.isdigit():
        return int(name)
    if re.fullmatch(r"0x[0-9a-fA-F]+", name):
        return int(name, 16)
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    kind, letters, digits = match.groups()
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("a") + 1
    return _number(kind, index - 1, int(digits or 0))


def _number(kind: str, disk: int, partition: int) -> int | None:
    if kind == "hd":
        if disk >= 2 * len(_IDE_MAJORS) or partition > 63:
            return None
        return _IDE_MAJORS[disk // 2] * 256 + disk % 2 * 64 + partition
    if partition > 15:
        return None
    if kind == "sd":
        if disk >= 16 * len(_SCSI_MAJORS):
            return None
        return _SCSI_MAJORS[disk // 16] * 256 + disk % 16 * 16 + partition
    if disk < 16:
        return 202 * 256 + disk * 16 + partition
    return _EXTENDED + disk * 256 + partition
