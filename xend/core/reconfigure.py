"""Devices that are changed where they are.

Of one that a guest has, little can be changed under it: the medium of a CD drive, and the rate of a
network interface (Linux' netback follows the node `rate` of its back end since 4.1).  Everything
else needs another device in its place, which the guest sees: only who says so gets that.
"""

from __future__ import annotations

from xend.core.changes import change_config
from xend.core.context import Body, Context
from xend.core.devices import read_devices
from xend.core.hotplug import FIELDS, Hotplug, devices_of, intent_of, is_same
from xend.core.jobs import Job
from xend.core.ports import DeviceClass, XenStoreWriter
from xend.core.validate import check_device
from xend.core.views import DomainView
from xend.errors import ConflictError, DomainStateError, XendError
from xend.model.devices import Device, Disk, Vif, bytes_per_window
from xend.model.status import DeviceView
from xend.model.units import Domid

_MEDIUM = frozenset({"path", "scheme", "image_format"})
_RATE = frozenset({"rate"})
_IDENTITY = frozenset({"vdev", "mac"})
"""By these a device is known in XenStore."""


class Reconfiguring:
    def __init__(self, context: Context, hotplug: Hotplug) -> None:
        self._context = context
        self._hotplug = hotplug

    @property
    def bodies(self) -> dict[str, Body]:
        return {"change-device": self.change}

    async def change(
        self,
        job: Job,
        ref: str | int,
        *,
        device_class: DeviceClass,
        before: Device,
        after: Device,
        replug: bool = False,
    ) -> None:
        """`before` must still be as it is configured.  With `replug` it is taken out and put back
        where nothing else helps; DomainStateError without."""
        view = await self._context.snapshot.learn_config(await self._context.current(job, ref))
        devices = devices_of(view.config, device_class)
        if before not in devices:
            raise ConflictError(
                f"The device of '{ref}' has been changed meanwhile: look at it again",
                what="device",
                value=device_class,
                domain=view.name,
            )
        at = devices.index(before)
        after = self._hotplug.prepared(view, after)
        changed = {
            name
            for name in type(after).model_fields
            if getattr(before, name) != getattr(after, name)
        }
        if not changed:
            return
        await check_device(after, self._context.files)
        running = view.domid is not None
        if running and isinstance(after, Disk) and _is_drive(before, after) and changed <= _MEDIUM:
            await self._hotplug.change_medium(job, ref, disk=after)
            return
        if changed & _IDENTITY:
            self._hotplug.check_free(view, after, (*devices[:at], *devices[at + 1 :]))
        if view.domid is not None:
            await self._change_attached(
                job, view, view.domid, device_class, before, after, changed, replug
            )
        await change_config(
            self._context,
            view,
            **{FIELDS[device_class]: (*devices[:at], after, *devices[at + 1 :])},
        )

    async def _change_attached(
        self,
        job: Job,
        view: DomainView,
        domid: Domid,
        device_class: DeviceClass,
        before: Device,
        after: Device,
        changed: set[str],
        replug: bool,
    ) -> None:
        possible = isinstance(after, Disk | Vif) and not changed & _IDENTITY
        if not (isinstance(after, Vif) and changed <= _RATE) and not (replug and possible):
            raise _refusal(view, changed, possible)
        attached = [
            found
            for found in await read_devices(self._context.store, domid, device_class)
            if is_same(before, found)
        ]
        if not attached:
            return  # It went away, or never came: then only the configuration has it.
        if isinstance(after, Vif) and changed <= _RATE:
            await self._set_rate(domid, attached[0], after)
        else:
            data = intent_of(domid, device_class, after)
            async with self._context.intent(job, "attach", view.uuid, data):
                await self._replug(domid, device_class, attached[0], before, after)
        self._hotplug.tell("changed", view, device_class, attached[0].devid)

    async def _set_rate(self, domid: Domid, found: DeviceView, vif: Vif) -> None:
        """At the back end, and in libxl's own copy of that, as libxl writes it (libxl_nic.c)."""
        places = [found.frontend["backend"], f"/libxl/{domid}/device/vif/{found.devid}"]
        text = "{},{}".format(*bytes_per_window(vif.rate)) if vif.rate else None

        async def write(store: XenStoreWriter) -> None:
            for place in places:
                if text is not None:
                    await store.write(f"{place}/rate", text)
                elif await store.exists(f"{place}/rate"):
                    await store.remove(f"{place}/rate")

        await self._context.store.transact(write)

    async def _replug(
        self,
        domid: Domid,
        device_class: DeviceClass,
        found: DeviceView,
        before: Device,
        after: Device,
    ) -> None:
        hypervisor = self._context.hypervisor
        await hypervisor.detach_device(domid, device_class, found.devid)
        try:
            await hypervisor.attach_device(domid, device_class, _numbered(after, found.devid))
        except XendError:
            await hypervisor.attach_device(domid, device_class, _numbered(before, found.devid))
            raise


def _numbered(device: Device, devid: int) -> Device:
    """An interface keeps its number; a disk's follows from its name."""
    return device.model_copy(update={"devid": devid}) if isinstance(device, Vif) else device


def _is_drive(before: Device, after: Device) -> bool:
    return (
        isinstance(before, Disk)
        and isinstance(after, Disk)
        and {before.device_type, after.device_type} == {"cdrom"}
    )


def _refusal(view: DomainView, changed: set[str], possible: bool) -> DomainStateError:
    names = ", ".join(sorted(changed))
    instead = (
        "ask for replug, which takes the device out and puts it back"
        if possible
        else "shut the domain down first, or detach the device and attach another"
    )
    return DomainStateError(
        f"Domain '{view.name}' runs: {names} of a device cannot be changed under it; {instead}",
        domain=view.name,
        state=view.power_state.name.lower(),
        verb=f"change {names} of a device of",
    )
