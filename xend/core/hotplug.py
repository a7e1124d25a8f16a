"""Devices that come and go while a domain runs (or in the configuration of one that does not)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, cast

from xend.core.changes import change_config
from xend.core.context import Body, Context
from xend.core.devices import device_numbers, read_devices
from xend.core.jobs import Job
from xend.core.ports import DeviceClass
from xend.core.reservations import random_mac
from xend.core.validate import check_device
from xend.core.views import DomainView
from xend.errors import ConflictError, InvalidArgument, XendError
from xend.model.devices import Device, Disk, Pci, Vfb, Vif, Vkbd
from xend.model.domain import DomainConfig
from xend.model.status import DeviceView
from xend.model.units import Domid

SCRIPT_PATIENCE: Final = 10.0
"""Seconds that a hotplug script may go on whose toolstack was killed."""
LOOK_EVERY: Final = 0.2

FIELDS: Mapping[str, str] = {
    "vbd": "disks",
    "vif": "vifs",
    "vfb": "vfbs",
    "vkbd": "vkbds",
    "pci": "pcis",
}
_TYPES: Mapping[str, type[Device]] = {
    "vbd": Disk,
    "vif": Vif,
    "vfb": Vfb,
    "vkbd": Vkbd,
    "pci": Pci,
}


class Hotplug:
    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def bodies(self) -> dict[str, Body]:
        return {
            "attach": self.attach,
            "detach": self.detach,
            "detach-pci": self.detach_pci,
            "change-medium": self.change_medium,
        }

    async def attach(
        self, job: Job, ref: str | int, *, device_class: DeviceClass, device: Device
    ) -> Mapping[str, str]:
        view = await self._context.snapshot.learn_config(await self._context.current(job, ref))
        if not isinstance(device, _TYPES[device_class]):
            raise InvalidArgument(
                f"Not a device of class {device_class}", argument="device", value=device_class
            )
        device = self.prepared(view, device)
        await check_device(device, self._context.files)
        devices = devices_of(view.config, device_class)
        self.check_free(view, device, devices)
        updates = {FIELDS[device_class]: (*devices, device)}
        if view.domid is None:
            await change_config(self._context, view, **updates)
            return {}
        data = intent_of(view.domid, device_class, device)
        present = await _numbers(self._context, view.domid, device_class)
        async with self._context.intent(job, "attach", view.uuid, data) as intent:
            try:
                with job.may_be_cancelled():
                    found = await self._context.hypervisor.attach_device(
                        view.domid, device_class, device
                    )
                await change_config(self._context, view, **updates)
            except (XendError, asyncio.CancelledError):
                if not job.abandoned:
                    with intent.kept_if_it_fails():
                        await self._take_back(view.domid, device_class, device, present)
                raise
        self.tell("attached", view, device_class, found.get("devid", ""))
        return found

    async def _take_back(
        self, domid: Domid, device_class: DeviceClass, device: Device, present: frozenset[int]
    ) -> None:
        """What came of an attach that did not end well; `present` were there before."""
        hypervisor = self._context.hypervisor
        if isinstance(device, Pci):
            known = await hypervisor.config_of(domid)
            if known is not None and device.bdf in [pci.bdf for pci in known.pcis]:
                await hypervisor.detach_pci(domid, device, force=True)
            return
        for found in await _settled(self._context, domid, device_class):
            if found.devid not in present and _may_be(device, found):
                await hypervisor.detach_device(domid, device_class, found.devid, force=True)

    def tell(self, kind: str, view: DomainView, device_class: str, devid: object) -> None:
        ids = {"uuid": view.uuid, "name": view.name, "class": device_class, "devid": str(devid)}
        self._context.events.publish(kind, "device", ids)

    def prepared(self, view: DomainView, device: Device) -> Device:
        if isinstance(device, Vif) and not device.mac:
            taken = self._context.reserved.taken_macs(self._context.snapshot.views())
            return device.model_copy(update={"mac": random_mac(taken)})
        return device

    def check_free(self, view: DomainView, device: Device, devices: tuple[Device, ...]) -> None:
        if isinstance(device, Disk):
            for other in devices:
                if isinstance(other, Disk) and other.vdev == device.vdev:
                    raise ConflictError(
                        f"Device {device.vdev} (vbd) is already connected.",
                        what="device",
                        value=device.vdev,
                        domain=view.name,
                    )
            if view.domid is not None:
                views = self._context.snapshot.views()
                self._context.reserved.check_disk(device, view.uuid, views)
        elif isinstance(device, Vif):
            taken = self._context.reserved.taken_macs(self._context.snapshot.views())
            own = {other.mac for other in devices if isinstance(other, Vif)}
            if device.mac in taken | own:
                raise ConflictError(
                    what="mac", value=device.mac, domain=self._owner_of(device.mac) or view.name
                )
        elif isinstance(device, Pci):
            for owner in self._context.snapshot.views():
                pcis = owner.config.pcis if owner.config and owner.running else ()
                if device.bdf in [pci.bdf for pci in pcis]:
                    raise ConflictError(
                        f"PCI device {device.bdf} is already assigned to domain '{owner.name}'",
                        what="PCI device",
                        value=device.bdf,
                        domain=owner.name,
                    )

    def _owner_of(self, mac: str) -> str | None:
        for view in self._context.snapshot.views():
            if view.config and any(vif.mac == mac for vif in view.config.vifs):
                return view.name
        return None

    async def detach(
        self,
        job: Job,
        ref: str | int,
        *,
        device_class: DeviceClass,
        device: str | int,
        force: bool = False,
    ) -> None:
        view = await self._context.snapshot.learn_config(await self._context.current(job, ref))
        devices = devices_of(view.config, device_class)
        if view.domid is None:
            at = _position(devices, device)
            if at is None:
                raise InvalidArgument(
                    f"Device {device} is not defined", argument="device", value=device
                )
            await self._take_out(view, device_class, devices, at)
            return
        attached = await read_devices(self._context.store, view.domid, device_class)
        found = _attached(attached, device)
        if found is None:
            raise InvalidArgument(f"Device {device} not connected", argument="device", value=device)
        at = _configured(devices, found, attached)
        data = intent_of(view.domid, device_class, None if at is None else devices[at])
        async with self._context.intent(job, "detach", view.uuid, data) as intent:
            try:
                with job.may_be_cancelled():
                    await self._context.hypervisor.detach_device(
                        view.domid, device_class, found.devid, force=force
                    )
            except (XendError, asyncio.CancelledError):
                # It may be gone all the same.
                if not job.abandoned:
                    with intent.kept_if_it_fails():
                        await settle_hotplug(self._context, data, view)
                raise
            with intent.kept_if_it_fails():
                await self._take_out(view, device_class, devices, at)
        self.tell("detached", view, device_class, found.devid)

    async def detach_pci(self, job: Job, ref: str | int, *, device: Pci) -> None:
        """By its address on the host."""
        view = await self._context.snapshot.learn_config(await self._context.current(job, ref))
        devices = devices_of(view.config, "pci")
        addresses = [pci.bdf for pci in devices if isinstance(pci, Pci)]
        if device.bdf not in addresses:
            raise InvalidArgument(
                f"Device {device.bdf} is not connected", argument="device", value=device.bdf
            )
        at = addresses.index(device.bdf)
        if view.domid is None:
            await self._take_out(view, "pci", devices, at)
            return
        async with self._context.intent(
            job, "detach", view.uuid, intent_of(view.domid, "pci", devices[at])
        ) as intent:
            await self._context.hypervisor.detach_pci(view.domid, device)
            with intent.kept_if_it_fails():
                await self._take_out(view, "pci", devices, at)

    async def change_medium(self, job: Job, ref: str | int, *, disk: Disk) -> None:
        """Another medium for a CD drive.  libxl can only change that of the device model: of a
        paravirtualised guest the drive is taken out and put back with the new medium in it."""
        view = await self._context.snapshot.learn_config(await self._context.current(job, ref))
        devices = devices_of(view.config, "vbd")
        at = _position(devices, disk.vdev)
        if at is None:
            raise InvalidArgument(
                f"Device {disk.vdev} not connected", argument="device", value=disk.vdev
            )
        present = devices[at]
        if not isinstance(present, Disk) or {present.device_type, disk.device_type} != {"cdrom"}:
            raise InvalidArgument(
                f"Refusing to reconfigure device {disk.vdev} to {disk.uname}: only the medium of a "
                "CD drive can be changed. Detach the device, and attach the new one",
                argument="device",
                value=disk.vdev,
            )
        disk = disk.model_copy(update={"uuid": present.uuid, "access": "r"})
        await check_device(disk, self._context.files)
        if view.domid is not None:
            data = intent_of(view.domid, "vbd", disk)
            async with self._context.intent(job, "attach", view.uuid, data):
                await self._exchange(view, view.domid, present, disk)
        changed = (*devices[:at], disk, *devices[at + 1 :])
        await change_config(self._context, view, disks=changed)

    async def _exchange(self, view: DomainView, domid: Domid, old: Disk, new: Disk) -> None:
        hypervisor = self._context.hypervisor
        if view.config is not None and view.config.kind == "hvm":
            await hypervisor.change_medium(domid, new)
            return
        for found in await read_devices(self._context.store, domid, "vbd"):
            if is_same(old, found):
                await hypervisor.detach_device(domid, "vbd", found.devid)
        present = await _numbers(self._context, domid, "vbd")
        try:
            await hypervisor.attach_device(domid, "vbd", new)
        except XendError:
            await self._take_back(domid, "vbd", new, present)
            await hypervisor.attach_device(domid, "vbd", old)
            raise

    async def _take_out(
        self, view: DomainView, device_class: str, devices: tuple[Device, ...], at: int | None
    ) -> None:
        if at is not None:
            left = (*devices[:at], *devices[at + 1 :])
            await change_config(self._context, view, **{FIELDS[device_class]: left})


def intent_of(domid: Domid, device_class: str, device: Device | None) -> dict[str, Any]:
    return {
        "domid": domid,
        "class": device_class,
        "device": device.model_dump(mode="json") if device is not None else None,
    }


async def _numbers(context: Context, domid: Domid, device_class: str) -> frozenset[int]:
    return frozenset(await device_numbers(context.store, domid, device_class))


def _may_be(device: Device, found: DeviceView) -> bool:
    return is_same(device, found) or not isinstance(device, Disk | Vif)


async def _settled(context: Context, domid: Domid, device_class: str) -> list[DeviceView]:
    """When no script is at work on any of them, or at most after a while: one whose toolstack was
    killed goes on, and would write into what has been removed."""
    deadline = context.clock.monotonic() + SCRIPT_PATIENCE
    while True:
        found = await read_devices(context.store, domid, device_class)
        busy = [each for each in found if "script" in each.backend and not _has_ended(each)]
        if not busy or context.clock.monotonic() >= deadline:
            return found
        await context.clock.sleep(LOOK_EVERY)


def _has_ended(found: DeviceView) -> bool:
    return bool(found.backend.get("hotplug-status"))


async def settle_hotplug(context: Context, data: Mapping[str, Any], view: DomainView) -> None:
    """An attach or detach was cut off: the configuration follows what XenStore shows; a device
    that is there but never got connected is taken out.  `data` is the intent's."""
    device_class, dumped = str(data["class"]), data["device"]
    if view.domid is None or dumped is None:
        return
    device = _TYPES[device_class].model_validate(dumped)
    attached = [
        found
        for found in await _settled(context, view.domid, device_class)
        if is_same(device, found)
    ]
    for found in attached:
        unfinished = "" if "script" in found.backend else "connected"
        if found.backend.get("hotplug-status", unfinished) != "connected":
            await context.hypervisor.detach_device(
                view.domid, cast(DeviceClass, device_class), found.devid, force=True
            )
            attached = []
    if isinstance(device, Pci):  # XenStore numbers them; libxl says which they are.
        known = await context.hypervisor.config_of(view.domid)
        there = known is not None and device.bdf in [pci.bdf for pci in known.pcis]
    else:
        there = bool(attached)
    before = devices_of(view.config, device_class)
    kept = tuple(other for other in before if not _is_same_device(device, other))
    if there and len(kept) < len(before) and not any(_is_of(device, each) for each in attached):
        kept = before  # Another one has been put in its place since.
    elif there:
        kept = (*kept, device)
    # Also when it looks right: the kill may have come between the journal and the repository.
    await change_config(context, view, **{FIELDS[device_class]: kept})


def _is_of(device: Device, found: DeviceView) -> bool:
    """Whether what is attached is what it says, not only in its place."""
    return not isinstance(device, Disk) or found.backend.get("params", "").endswith(device.path)


def is_same(device: Device, found: DeviceView) -> bool:
    if isinstance(device, Disk):
        return found.backend.get("dev") == device.vdev
    return isinstance(device, Vif) and found.backend.get("mac") == device.mac


def _is_same_device(device: Device, other: Device) -> bool:
    if isinstance(device, Disk) and isinstance(other, Disk):
        return device.vdev == other.vdev
    if isinstance(device, Vif) and isinstance(other, Vif):
        return device.mac == other.mac
    if isinstance(device, Pci) and isinstance(other, Pci):
        return device.bdf == other.bdf
    return device.uuid is not None and device.uuid == other.uuid


def devices_of(config: DomainConfig | None, device_class: str) -> tuple[Device, ...]:
    if device_class not in FIELDS:
        raise InvalidArgument(
            f"Unknown device type: {device_class}", argument="class", value=device_class
        )
    if config is None:
        return ()
    devices: Any = getattr(config, FIELDS[device_class])
    return cast("tuple[Device, ...]", devices)


def _position(devices: tuple[Device, ...], wanted: str | int) -> int | None:
    """In a configuration: a disk by its name, anything by its place."""
    for at, device in enumerate(devices):
        if isinstance(device, Disk) and device.vdev == wanted:
            return at
    text = str(wanted)
    if text.isascii() and text.isdigit() and int(text) < len(devices):
        return int(text)
    return None


def _attached(views: list[DeviceView], wanted: str | int) -> DeviceView | None:
    text = str(wanted).removeprefix("/dev/")
    for view in views:
        if str(view.devid) == text or view.backend.get("dev") == text:
            return view
        if view.backend.get("mac", view.frontend.get("mac", "")) == text.lower() != "":
            return view
    return None


def _configured(
    devices: tuple[Device, ...], found: DeviceView, attached: list[DeviceView]
) -> int | None:
    """Where in the configuration the attached device is: by its name, its MAC, or its place."""
    for at, device in enumerate(devices):
        if isinstance(device, Disk) and device.vdev == found.backend.get("dev"):
            return at
        if isinstance(device, Vif) and device.mac and device.mac == found.backend.get("mac"):
            return at
    if len(devices) == len(attached):
        return [view.devid for view in attached].index(found.devid)
    return None
