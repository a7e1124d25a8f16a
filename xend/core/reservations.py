"""Names, uuids and MACs of domains that are being made.

Checking and reserving happen without an `await` between them, so two creates cannot both win.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

from xend.core.views import DomainView
from xend.errors import ConfigError, ConflictError
from xend.model.devices import Device, Disk, Vif
from xend.model.domain import DomainConfig


class Reservations:
    def __init__(self) -> None:
        self._held: dict[str, DomainConfig] = {}
        self._names: dict[str, str] = {}

    @contextmanager
    def name(self, name: str, uuid: str) -> Iterator[None]:
        """Nobody else's while a rename is under way; check it first."""
        self._names[name] = uuid
        try:
            yield
        finally:
            del self._names[name]

    def hold(self, config: DomainConfig, views: Sequence[DomainView]) -> None:
        """Raises ConflictError, and then holds nothing."""
        uuid = str(config.uuid)
        held = self._held.get(uuid)
        if held is not None:
            raise ConflictError(
                f"Domain '{config.name}' is being created already",
                what="uuid",
                value=uuid,
                domain=held.name,
            )
        self.check_name(config.name, uuid, views, creating=True)
        for view in views:
            if view.uuid == uuid and view.domid is not None:
                raise _exists(config.name, view, "uuid", uuid)
        self._check_macs(config, uuid, views)
        for disk in config.disks:
            self.check_disk(disk, uuid, views)
        self._held[uuid] = config

    def release(self, uuid: str) -> None:
        self._held.pop(uuid, None)

    def check_name(
        self, name: str, uuid: str, views: Sequence[DomainView], *, creating: bool = False
    ) -> None:
        """Raises ConflictError in the original's two wordings: one for a create, one for a rename
        (and for a create whose name a halted managed domain has)."""
        for view in views:
            if view.name != name or view.uuid == uuid:
                continue
            if creating and view.domid is not None:
                raise _exists(name, view, "name", name)
            where = "" if view.domid is None else f" as domain {view.domid}"
            raise ConflictError(
                f"VM name '{name}' already exists{where}", what="name", value=name, domain=view.name
            )
        held = [(config.name, other) for other, config in self._held.items()]
        for taken, other in [*held, *self._names.items()]:
            if taken == name and other != uuid:
                raise ConflictError(
                    f"VM name '{name}' already exists", what="name", value=name, domain=name
                )

    def _check_macs(self, config: DomainConfig, uuid: str, views: Sequence[DomainView]) -> None:
        wanted = {vif.mac for vif in config.vifs if vif.mac}
        if not wanted:
            return
        for owner, mac in self._macs(views):
            if mac in wanted and owner != uuid:
                name = next(
                    (view.name for view in views if view.uuid == owner),
                    self._held[owner].name if owner in self._held else owner,
                )
                raise ConflictError(
                    f"The mac '{mac}' is already in use by domain '{name}'",
                    what="mac",
                    value=mac,
                    domain=name,
                )

    def check_disk(self, disk: Disk, uuid: str, views: Sequence[DomainView]) -> None:
        """Raises ConflictError when two domains would have it and one of them could write.

        As the original's block script did; today's looks for a file in what losetup prints, in a
        way that losetup has not printed for ten years.
        """
        if not disk.path or disk.access.endswith("!"):
            return
        for owner, name, other in self._disks(views):
            if owner == uuid or _backing(other) != _backing(disk):
                continue
            if "w" in disk.access or "w" in other.access:
                raise ConflictError(
                    f"Disk {disk.vdev}: {disk.path} is in use by domain '{name}', and one of "
                    f"the two may write to it. Mode '{disk.access}!' shares it all the same",
                    what="disk",
                    value=disk.path,
                    domain=name,
                )

    def _disks(self, views: Sequence[DomainView]) -> Iterable[tuple[str, str, Disk]]:
        """(uuid, name, disk) of what runs or is being made."""
        for view in views:
            if view.info is not None and not view.info.shutdown and view.config is not None:
                yield from ((view.uuid, view.name, disk) for disk in view.config.disks)
        for uuid, config in self._held.items():
            yield from ((uuid, config.name, disk) for disk in config.disks)

    def _macs(self, views: Sequence[DomainView]) -> Iterable[tuple[str, str]]:
        """(uuid, MAC) of what runs or is being made; a halted or dead domain's MAC is free."""
        for view in views:
            if view.info is not None and not view.info.shutdown and view.config is not None:
                yield from ((view.uuid, vif.mac) for vif in view.config.vifs if vif.mac)
        for uuid, config in self._held.items():
            yield from ((uuid, vif.mac) for vif in config.vifs if vif.mac)

    def taken_macs(self, views: Sequence[DomainView]) -> set[str]:
        return {mac for _, mac in self._macs(views)}


def _backing(disk: Disk) -> str:
    """The file or device; what is relative means one of /dev, as in the original."""
    return disk.path if disk.path.startswith("/") else f"/dev/{disk.path}"


def _exists(name: str, view: DomainView, what: str, value: str) -> ConflictError:
    """The original's words; it named the new domain even when the uuid is what they share."""
    who = f"already exists with ID '{view.domid}'"
    why = f": {value} is the uuid of '{view.name}'" if view.name != name else ""
    return ConflictError(f"Domain '{name}' {who}{why}", what=what, value=value, domain=view.name)


def random_mac(taken: set[str]) -> str:
    """00:16:3e is Xen's prefix; the original kept the next byte below 0x80."""
    while True:
        tail = secrets.token_bytes(3)
        mac = f"00:16:3e:{tail[0] & 0x7F:02x}:{tail[1]:02x}:{tail[2]:02x}"
        if mac not in taken:
            return mac


def complete(config: DomainConfig, taken_macs: set[str]) -> DomainConfig:
    """With a MAC for each vif and a uuid for each device that lacks one."""
    taken = taken_macs | {vif.mac for vif in config.vifs}
    vifs: list[Vif] = []
    for vif in config.vifs:
        if not vif.mac:
            vif = vif.model_copy(update={"mac": random_mac(taken)})
            taken.add(vif.mac)
        vifs.append(vif)
    return config.model_copy(
        update={
            "vifs": _identified(vifs),
            "disks": _identified(config.disks),
            "vfbs": _identified(config.vfbs),
            "vkbds": _identified(config.vkbds),
            "pcis": _identified(config.pcis),
        }
    )


def _identified(devices: Iterable[Device]) -> tuple[Device, ...]:
    return tuple(
        device if device.uuid else device.model_copy(update={"uuid": uuid4()}) for device in devices
    )


def check_unique_devices(config: DomainConfig) -> None:
    """Raises ConfigError as the original did for a device or MAC that is there twice."""
    seen: set[str] = set()
    for disk in config.disks:
        if disk.vdev in seen:
            raise ConfigError(
                f'Invalid Configuration: The device "{disk.vdev}" is already defined',
                field="disk",
                value=disk.vdev,
            )
        seen.add(disk.vdev)
    for vif in config.vifs:
        if vif.mac and vif.mac in seen:
            raise ConfigError(
                f'Invalid Configuration: The mac "{vif.mac}" is already defined',
                field="vif",
                value=vif.mac,
            )
        seen.add(vif.mac)
