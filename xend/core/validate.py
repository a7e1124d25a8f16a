"""What can be known to be wrong before anything is built.

What only libxl can know (a kernel that is no kernel, a device that is in use) is left to it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from xend.core.ports import HostFiles
from xend.errors import ConfigError
from xend.model.devices import RATE, Device, Disk, Vif
from xend.model.domain import DomainConfig, DomainType
from xend.model.vdev import vdev_number

PYGRUB_PATHS = frozenset(
    f"{folder}/pygrub"
    for folder in ("/usr/bin", "/usr/lib/xen/bin", "/usr/lib64/xen/bin", "/usr/libexec/xen/bin")
)
"""Where books and old files have it.  Where it is not, libxl knows the place by the bare name."""

_LOCAL_SCHEMES = frozenset({"", "file", "phy"})
_OUR_BACKEND = frozenset({"", "0", "Domain-0"})


async def check_host(config: DomainConfig, files: HostFiles) -> None:
    """Raises ConfigError naming the first file or bridge that is not there."""
    await asyncio.gather(_check_boot(config, files), check_devices(config, files))


async def check_devices(config: DomainConfig, files: HostFiles) -> None:
    """The same without what it boots from: of one whose memory comes from elsewhere."""
    await asyncio.gather(
        *(_check_disk(disk, files) for disk in config.disks),
        *(_check_vif(number, vif, files) for number, vif in enumerate(config.vifs)),
    )


async def check_device(device: Device, files: HostFiles) -> None:
    """The same for one device that is to be attached, and that its name or rate is one."""
    if isinstance(device, Disk):
        if vdev_number(device.vdev) is None:
            raise ConfigError(
                f"'{device.vdev}' is not the name of a disk",
                field="dev",
                value=device.vdev,
                expected="xvda, sda1, hdc or a number",
            )
        await _check_disk(device, files)
    elif isinstance(device, Vif):
        if device.rate and not RATE.fullmatch(device.rate):
            raise ConfigError(
                f"'{device.rate}' is not a rate",
                field="rate",
                value=device.rate,
                expected="10Mb/s or 250KB/s@20ms",
            )
        await _check_vif(0, device, files)


async def _check_boot(config: DomainConfig, files: HostFiles) -> None:
    if config.bootloader:
        loader = Path(config.bootloader)
        known = config.bootloader in PYGRUB_PATHS
        if loader.is_absolute() and not known and not await files.exists(loader):
            raise ConfigError(
                f"Boot loader does not exist: {loader}", field="bootloader", value=str(loader)
            )
        return
    if config.type is DomainType.HVM:
        return  # hvmloader: libxl knows where it is
    if not config.kernel:
        raise ConfigError(
            "Invalid Configuration: neither a kernel nor a bootloader is given",
            field="kernel",
            expected="kernel = <path>, or bootloader = pygrub",
        )
    if not await files.exists(Path(config.kernel)):
        raise ConfigError(
            f"Kernel image does not exist: {config.kernel}", field="kernel", value=config.kernel
        )
    if config.ramdisk and not await files.exists(Path(config.ramdisk)):
        raise ConfigError(
            f"Kernel ramdisk does not exist: {config.ramdisk}",
            field="ramdisk",
            value=config.ramdisk,
        )


def local_path(disk: Disk) -> Path | None:
    """The file or block device in dom0 that backs it; None if only a script knows that.

    `phy:sda1` means /dev/sda1 (libxl and the original alike).
    """
    if not disk.path or disk.script or disk.backend not in _OUR_BACKEND:
        return None
    driver, _, form = disk.scheme.partition(":")
    if driver in ("tap", "tap2"):
        return Path(disk.path) if form != "nbd" and disk.path.startswith("/") else None
    if driver not in _LOCAL_SCHEMES:
        return None
    if driver == "phy" and not disk.path.startswith("/"):
        return Path("/dev") / disk.path
    return Path(disk.path) if disk.path.startswith("/") else None


async def _check_disk(disk: Disk, files: HostFiles) -> None:
    path = local_path(disk)
    if path is None:
        return
    reason = await files.reason_unreadable(path)
    if reason:
        raise ConfigError(
            f"Disk {disk.vdev}: {path}: {reason}", field="disk", value=disk.uname, reason=reason
        )


async def _check_vif(number: int, vif: Vif, files: HostFiles) -> None:
    if not vif.bridge or vif.backend not in _OUR_BACKEND:
        return
    if Path(vif.script or "vif-bridge").name != "vif-bridge":
        return  # With vif-openvswitch, vif-route … the word means something else.
    if not await files.bridge_exists(vif.bridge):
        raise ConfigError(
            f"vif {number}: there is no bridge '{vif.bridge}' on this host",
            field="vif",
            value=vif.bridge,
            expected="the name of a bridge (see: ip link show type bridge)",
        )
