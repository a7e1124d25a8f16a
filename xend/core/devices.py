"""Attached devices, read from XenStore when somebody asks.

libxl keeps the toolstack's view under /libxl/<domid>/device/<class>/<devid>: unlike the frontend
under /local/domain, the guest cannot write there, so the way to the backend is taken from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from xend.core.ports import XenStoreReader
from xend.errors import DeviceFailed, InvalidArgument, XenStoreMissing
from xend.model.status import DeviceView
from xend.model.units import Domid

KNOWN_CLASSES = frozenset(
    {"vbd", "tap", "tap2", "vif", "vif2", "vfb", "vkbd", "console", "pci", "vscsi", "vusb"}
)
_IN_XENSTORE = {"tap": "vbd", "tap2": "vbd", "vif2": "vif"}


async def read_devices(
    store: XenStoreReader, domid: Domid, device_class: str, *, strict: bool = False
) -> list[DeviceView]:
    """By devid.  `strict` raises DeviceFailed for a backend that reports an error.

    InvalidArgument "Unknown device type: C" for a class that never was.
    """
    if device_class not in KNOWN_CLASSES:
        raise InvalidArgument(
            f"Unknown device type: {device_class}", argument="class", value=device_class
        )
    name = _IN_XENSTORE.get(device_class, device_class)
    root = f"/libxl/{domid}/device/{name}"
    ids = await device_numbers(store, domid, name)
    views = await asyncio.gather(
        *(_device(store, domid, name, device_class, devid, root) for devid in ids)
    )
    if strict:
        for view in views:
            check_connected(view)
    return list(views)


async def device_numbers(store: XenStoreReader, domid: Domid, name: str) -> list[int]:
    """The devids of that class (as XenStore calls it), in order."""
    try:
        numbers = await store.directory(f"/libxl/{domid}/device/{name}")
    except XenStoreMissing:
        return []
    return sorted(int(number) for number in numbers if number.isascii() and number.isdigit())


async def _device(
    store: XenStoreReader, domid: Domid, name: str, shown: str, devid: int, root: str
) -> DeviceView:
    frontend_path = await store.read_or(f"{root}/{devid}/frontend", "") or (
        f"/local/domain/{domid}/device/{name}/{devid}"
    )
    backend_path = await store.read_or(f"{root}/{devid}/backend", "") or ""
    frontend, backend = await asyncio.gather(
        _leaves(store, frontend_path), _leaves(store, backend_path)
    )
    if backend_path:
        frontend = {**frontend, "backend": backend_path}
    if "multi-queue-num-queues" in frontend:
        # Old clients know of one ring: they get the first (xen/include/public/io/netif.h).
        frontend = {**await _leaves(store, f"{frontend_path}/queue-0"), **frontend}
    if name == "vusb":
        backend = await _controller(store, backend_path or f"{root}/{devid}")
    return DeviceView(shown, devid, frontend, backend)


async def _controller(store: XenStoreReader, path: str) -> Mapping[str, str]:
    """With what is in its ports (`port/1` …).  One of a device model has no backend: libxl keeps
    all of it in its own record (libxl_usb.c)."""
    leaves, ports = await asyncio.gather(_leaves(store, path), _leaves(store, f"{path}/port"))
    return {**leaves, **{f"port/{number}": bus for number, bus in ports.items()}}


async def _leaves(store: XenStoreReader, path: str) -> Mapping[str, str]:
    if not path:
        return {}
    try:
        names = await store.directory(path)
    except XenStoreMissing:
        return {}
    values = await asyncio.gather(*(store.read_or(f"{path}/{name}", "") for name in names))
    return {name: value or "" for name, value in zip(names, values, strict=True)}


def check_connected(view: DeviceView) -> None:
    """Raises DeviceFailed in the original's words if a hotplug script reported an error."""
    status = view.backend.get("hotplug-status", "")
    if status not in ("error", "busy"):
        return
    reason = view.backend.get("hotplug-error", "")
    # The original put a newline instead of the blank where a device was busy.
    between = "\n" if status == "busy" else " "
    text = reason or ("Busy." if status == "busy" else "Hotplug scripts not working.")
    raise DeviceFailed(
        f"Device {view.devid} ({view.device_class}) could not be connected.{between}{text}",
        device=f"{view.device_class}/{view.devid}",
        stderr=reason,
    )
