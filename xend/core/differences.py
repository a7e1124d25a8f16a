"""What has been changed of a running domain, from what libxl says of it: pure.

Only what a toolstack can change of a running domain counts: disks, network interfaces and PCI
devices that came or went, the medium of a CD drive, the memory target, the vcpus that are to be
online.  Everything else in libxl's answer is either as it was built, or was filled in by libxl (a
vif's number, the screen's port …), or cannot be told apart from what a guest does by itself, and
is no part of anybody's configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar
from uuid import uuid4

from xend.model.devices import Device, Disk, Pci, Vif
from xend.model.domain import DomainConfig
from xend.model.vdev import vdev_number

D = TypeVar("D", bound=Device)

MEMORY_STEP: Final = 1024
"""KiB: a smaller difference is libxl's rounding, not somebody's wish."""


def _disk(disk: Disk) -> object:
    return vdev_number(disk.vdev) or disk.vdev


def _vif(vif: Vif) -> object:
    return vif.mac.lower()


def _pci(pci: Pci) -> object:
    return pci.bdf


_KEYS: Final[Mapping[str, Callable[[Any], object]]] = {"disks": _disk, "vifs": _vif, "pcis": _pci}
"""Field of a configuration, and by what its devices are known."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Made by `difference`.  False when there is none."""

    come: Mapping[str, tuple[Device, ...]] = field(default_factory=dict)
    """By field of the configuration."""
    gone: Mapping[str, frozenset[object]] = field(default_factory=dict)
    """The same; keys of devices."""
    media: tuple[Disk, ...] = ()
    """CD drives with what is in them now."""
    values: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.come or self.gone or self.media or self.values)

    def without_losses(self, *fields: str) -> Difference:
        """But for devices of these fields that are gone (none named: of all)."""
        kept = {name: keys for name, keys in self.gone.items() if fields and name not in fields}
        return replace(self, gone=kept)

    @property
    def words(self) -> str:
        """For the log."""
        said = [f"{name} {value}" for name, value in self.values.items()]
        said += [f"{len(each)} more {name}" for name, each in self.come.items()]
        said += [f"{len(each)} less {name}" for name, each in self.gone.items()]
        said += [f"{disk.path or 'nothing'} in {disk.vdev}" for disk in self.media]
        return ", ".join(said)

    def updates(self, config: DomainConfig) -> dict[str, Any]:
        """What to change of that configuration, which need not be the one that was compared: a
        managed domain may have been given another one for its next start."""
        updates: dict[str, Any] = dict(self.values)
        if "memory" in updates and "maxmem" not in updates:
            updates["memory"] = min(updates["memory"], config.maxmem or updates["memory"])
        if "vcpus_online" in updates:
            updates["vcpus_online"] = min(updates["vcpus_online"], config.vcpus)
        for name in {*self.come, *self.gone, *(("disks",) if self.media else ())}:
            before: tuple[Device, ...] = getattr(config, name)
            after = self._devices(name, before)
            if after != before:
                updates[name] = after
        return updates

    def _devices(self, name: str, before: tuple[Device, ...]) -> tuple[Device, ...]:
        key, gone = _KEYS[name], self.gone.get(name, frozenset())
        media = {_disk(disk): disk for disk in self.media} if name == "disks" else {}
        kept = [
            _with_medium(device, media.get(key(device)))
            for device in before
            if key(device) not in gone
        ]
        there = {key(device) for device in kept}
        come = [device for device in self.come.get(name, ()) if key(device) not in there]
        return (*kept, *come)


def difference(config: DomainConfig, seen: DomainConfig) -> Difference:
    """`seen`: what libxl says of the running domain."""
    come: dict[str, tuple[Device, ...]] = {}
    gone: dict[str, frozenset[object]] = {}
    for name, key in _KEYS.items():
        if name == "vifs" and not all(vif.mac for vif in config.vifs):
            continue  # Nobody knows which is which.
        before = {key(device) for device in getattr(config, name)}
        now = {key(device): device for device in getattr(seen, name)}
        if new := [_identified(device) for k, device in now.items() if k not in before]:
            come[name] = tuple(new)
        if lost := before - now.keys():
            gone[name] = frozenset(lost)
    media = tuple(_media(config.disks, seen.disks))
    return Difference(come, gone, media, dict(_values(config, seen)))


def _media(before: Iterable[Disk], now: Iterable[Disk]) -> Iterable[Disk]:
    drives = {_disk(disk): disk for disk in before if disk.device_type == "cdrom"}
    for disk in now:
        drive = drives.get(_disk(disk))
        if drive is not None and disk.device_type == "cdrom" and drive.target != disk.target:
            yield disk


def _values(config: DomainConfig, seen: DomainConfig) -> Iterable[tuple[str, Any]]:
    """A target above the limit is from before that was set (`xm mem-max`)."""
    target = min(seen.memory, config.max_memory)
    if abs(target - config.memory) >= MEMORY_STEP:
        yield "memory", target
        if not config.maxmem:  # It is what `memory` was at the start, and stays that.
            yield "maxmem", config.max_memory
    online = seen.vcpus if seen.vcpus_online is None else seen.vcpus_online
    wanted = config.vcpus if config.vcpus_online is None else config.vcpus_online
    if online != min(wanted, config.vcpus) and 1 <= online <= config.vcpus:
        yield "vcpus_online", online


def _identified(device: D) -> D:
    return device if device.uuid else device.model_copy(update={"uuid": uuid4()})


def _with_medium(device: Device, medium: Disk | None) -> Device:
    if medium is None or not isinstance(device, Disk):
        return device
    same = {name: getattr(medium, name) for name in ("scheme", "path", "image_format")}
    return device.model_copy(update=same)
