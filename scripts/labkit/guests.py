"""The guests that the lab ships: one to play with, some that are small and quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.cache import Cache


@dataclass(frozen=True)
class GuestFiles:
    """What the guests are made from."""

    kernel: bytes
    version: str
    modules: Path
    busybox: bytes


@dataclass
class Guests:
    """Files for dom0's image folder, and disk images that need root to make."""

    files: dict[str, bytes] = field(default_factory=dict)
    disks: list[dict[str, Any]] = field(default_factory=list)


def build_guests(
    cache: Cache, root: Path, parts: GuestFiles, work: Path, progress: Progress
) -> Guests:
    """Everything for /var/lib/xen/images."""
    guests = Guests()
    guests.files["vmlinux"] = parts.kernel
    return guests
