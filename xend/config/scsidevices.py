"""The SCSI devices of this host, as `vscsi` entries name them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_SYSFS: Final = Path("/sys/bus/scsi/devices")
_KINDS: Final = ("block", "tape", "scsi_changer", "onstream_tape")
_SCSI_ID: Final = "/lib/udev/scsi_id"
_PARTITION: Final = re.compile(r"([1-9]|1[0-5])?\Z")
_DISK: Final = re.compile(r"/dev/sd[a-z]+([1-9]|1[0-5])?\Z")
_NODE: Final = re.compile(r"/dev/(sg|st)[0-9]+\Z")


class ScsiDevice:
    """Address (host:channel:target:lun), device name and generic device, without /dev/."""

    __slots__ = ("address", "generic", "name")

    def __init__(self, address: str, name: str | None, generic: str | None) -> None:
        self.address = address
        self.name = name
        self.generic = generic


def devices(env: Mapping[str, str]) -> list[ScsiDevice]:
    """All devices; lsscsi is asked first, as its order is the one users see."""
    return _from_lsscsi(env) or _from_sysfs()


def find(wanted: str, known: list[ScsiDevice], env: Mapping[str, str]) -> ScsiDevice | None:
    """The device with that address, name in /dev, or identifier of scsi_id."""
    if wanted.startswith("/dev/"):
        wanted = str(Path(wanted).resolve())
    if len(wanted.split(":")) == 4:
        return next((one for one in known if one.address == wanted), None)
    name = wanted
    if _DISK.match(wanted):
        name = _PARTITION.sub("", wanted.removeprefix("/dev/"), count=1)
    elif _NODE.match(wanted):
        name = wanted.removeprefix("/dev/")
    for one in known:
        if name in (one.name, one.generic):
            return one
    if wanted.startswith("/"):
        return None
    return next((one for one in known if one.generic and _identifier(one.generic) == name), None)


def _output(command: list[str], env: Mapping[str, str]) -> str:
    import subprocess

    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
            check=False,
            env=dict(env),
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _from_lsscsi(env: Mapping[str, str]) -> list[ScsiDevice]:
    import shutil

    program = shutil.which("lsscsi", path=env.get("PATH"))
    if program is None:
        return []
    found = []
    for line in _output([program, "-g"], env).splitlines():
        words = line.replace("]", "] ").split()
        if len(words) < 3:
            continue
        name = words[-2].partition("/dev/")[2] or None
        generic = words[-1].partition("/dev/")[2] or None
        found.append(ScsiDevice(words[0].strip("[]"), name or generic, generic))
    return found


def _from_sysfs() -> list[ScsiDevice]:
    found = []
    for path in sorted(_SYSFS.glob("*:*:*:*")):
        names = [child.name for kind in _KINDS for child in (path / kind).glob("*")]
        generics = [child.name for child in (path / "scsi_generic").glob("*")]
        generic = generics[0] if generics else None
        found.append(ScsiDevice(path.name, names[0] if names else generic, generic))
    return found


def _identifier(generic: str) -> str | None:
    """What scsi_id says of a generic device."""
    command = [_SCSI_ID, "-gu", "--sg-version", "3", "-d", f"/dev/{generic}"]
    words = _output(command, {}).split()
    return words[0] if words else None
