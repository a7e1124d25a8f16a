"""Configs of the small guests that the lab's dom0 has, written where a test wants them."""

from __future__ import annotations

from pathlib import Path

IMAGES = Path("/var/lib/xen/images")
TINY_KERNEL = IMAGES / "tiny"
LINUX_KERNEL = IMAGES / "vmlinux"
LINUX_INITRD = IMAGES / "initrd.img"


def config(folder: Path, name: str, **settings: object) -> Path:
    """A config file of a guest; by default the tiny one, which needs 4 MiB and no device."""
    values: dict[str, object] = {
        "name": name,
        "memory": 4,
        "kernel": str(TINY_KERNEL),
        "vcpus": 1,
        **settings,
    }
    path = folder / name
    path.write_text("".join(f"{k} = {v!r}\n" for k, v in values.items() if v is not None))
    return path


def linux(folder: Path, name: str, **settings: object) -> Path:
    """The Linux guest: busybox, answers shutdown and reboot requests."""
    return config(
        folder,
        name,
        **{
            "memory": 128,
            "kernel": str(LINUX_KERNEL),
            "ramdisk": str(LINUX_INITRD),
            "extra": "console=hvc0",
            **settings,
        },
    )
