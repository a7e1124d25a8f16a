"""Saved states of a freshly booted dom0, from which later boots wake in a second or two."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from labkit.cache import Cache, digest
from labkit.commands import run
from labkit.errors import LabError
from labkit.image import Image
from labkit.machine import DOM0_OPTIONS, Host, Shape, complaint, overlay, started_at
from labkit.qmp import Qmp

RECIPE = 1
WAKE_SECONDS = 60.0


@dataclass(frozen=True)
class Kept:
    """A state and the disk that belongs to it; both are only read from."""

    folder: Path

    @property
    def state(self) -> Path:
        """QEMU's migration stream."""
        return self.folder / "state"

    @property
    def disk(self) -> Path:
        """The overlay at the moment of the state."""
        return self.folder / "disk.qcow2"


def _folder(cache: Cache, image: Image, shape: Shape) -> Path:
    """Only an equal machine in an equal QEMU can load a state."""
    qemu = run(["qemu-system-x86_64", "--version"], what="asking QEMU for its version")
    booted = f"{shape.xen_options()} {DOM0_OPTIONS}"
    key = digest(RECIPE, image.manifest["id"], asdict(shape), booted, qemu.splitlines()[0])
    return cache.folder("snapshots") / f"{image.folder.name}-{key}"


def find(cache: Cache, image: Image, shape: Shape) -> Kept | None:
    """The snapshot for this image and machine, if there is one."""
    folder = _folder(cache, image, shape)
    return Kept(folder) if (folder / "complete").exists() else None


def forget(kept: Kept) -> None:
    """Drop a snapshot that did not wake."""
    shutil.rmtree(kept.folder, ignore_errors=True)


def save(cache: Cache, image: Image, shape: Shape, host: Host) -> None:
    """Save the running machine's state, freeze its disk, and let it go on with a new overlay."""
    folder = _folder(cache, image, shape)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with Qmp(host.qmp) as qmp:
        qmp.command("stop")
        try:
            _freeze_disk(qmp, host, part / "disk.qcow2")
            qmp.migrate_to(f"cat >{part / 'state'}")
        finally:
            qmp.command("cont")
    for old in cache.folder("snapshots").glob("*"):
        if old != part and not _in_use(old, image):
            shutil.rmtree(old, ignore_errors=True)
    (part / "complete").write_text(json.dumps(asdict(shape)) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _freeze_disk(qmp: Qmp, host: Host, frozen: Path) -> None:
    """Give the disk as it is now to the snapshot; the machine writes to a new one on top.

    By a second name and not by moving it, because QEMU opens its files by name
    again when it goes on.
    """
    following = host.folder / "following.qcow2"
    os.link(host.disk, frozen)
    overlay(host.disk, following, "qcow2")
    qmp.command(
        "blockdev-snapshot-sync",
        device="disk",
        **{"snapshot-file": str(following), "mode": "existing", "format": "qcow2"},
    )


def _in_use(folder: Path, image: Image) -> bool:
    """Snapshots of other images of the same release are stale; other releases' are not."""
    release = image.folder.name.partition("-")[0]
    return not folder.name.startswith(f"{release}-") or folder.name.startswith(image.folder.name)


def resume(host: Host, pid: int) -> None:
    """Wait until a machine has loaded its state, then let it run."""
    deadline = time.monotonic() + WAKE_SECONDS
    while not host.qmp.exists():
        if not started_at(pid):
            raise LabError(f"QEMU could not load the snapshot: {complaint(host)}")
        time.sleep(0.02)
    with Qmp(host.qmp, timeout=WAKE_SECONDS) as qmp:
        while qmp.command("query-status")["status"] == "inmigrate":
            if time.monotonic() > deadline:
                raise LabError(f"the snapshot did not wake within {WAKE_SECONDS:.0f} s")
            time.sleep(0.05)
        qmp.command("cont")
