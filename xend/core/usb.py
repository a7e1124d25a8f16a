"""USB controllers of running domains, and the host's devices in their ports.

They last as long as the domain does: libxl keeps them, and the next incarnation starts without.
"""

from __future__ import annotations

from collections.abc import Mapping

from xend.core.context import Body, Context, not_started
from xend.core.devices import read_devices
from xend.core.jobs import Job
from xend.core.views import DomainView
from xend.errors import InvalidArgument
from xend.model.status import DeviceView
from xend.model.units import Domid


class Usb:
    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def bodies(self) -> dict[str, Body]:
        return {
            "usb-controller-attach": self.attach_controller,
            "usb-controller-detach": self.detach_controller,
            "usb-plug": self.plug,
            "usb-unplug": self.unplug,
            "usb-add": self.add,
            "usb-del": self.remove,
        }

    async def attach_controller(
        self, job: Job, ref: str | int, *, version: int, ports: int, plugged: Mapping[int, str]
    ) -> int:
        """Its number.  `plugged`: bus id by port."""
        domid = await self._running(job, ref)
        if not 1 <= version <= 3:
            raise InvalidArgument(
                f"Invalid version of USB: {version}",
                argument="version",
                value=version,
                expected="1 or 2, and 3 for an HVM guest",
            )
        if not 1 <= ports <= 31:
            raise InvalidArgument(
                f"Invalid number of ports: {ports}",
                argument="ports",
                value=ports,
                expected="1 to 31",
            )
        found = {port: await self._context.hypervisor.usb.bus_id(b) for port, b in plugged.items()}
        devid = await self._context.hypervisor.usb.attach_controller(domid, version, ports)
        for port, bus_id in found.items():
            await self._context.hypervisor.usb.plug(domid, bus_id, devid, port)
        return devid

    async def detach_controller(
        self, job: Job, ref: str | int, *, devid: int, force: bool = False
    ) -> None:
        domid = await self._running(job, ref)
        await self._controller(domid, devid)
        await self._context.hypervisor.usb.detach_controller(domid, devid, force=force)

    async def plug(self, job: Job, ref: str | int, *, devid: int, port: int, bus_id: str) -> None:
        domid = await self._running(job, ref)
        self._check_port(await self._controller(domid, devid), port)
        await self._context.hypervisor.usb.plug(
            domid, await self._context.hypervisor.usb.bus_id(bus_id), devid, port
        )

    async def unplug(self, job: Job, ref: str | int, *, devid: int, port: int) -> None:
        domid = await self._running(job, ref)
        controller = await self._controller(domid, devid)
        self._check_port(controller, port)
        if not controller.backend.get(f"port/{port}"):
            raise InvalidArgument(
                f"There is nothing in port {port} of device {devid}", argument="port", value=port
            )
        await self._context.hypervisor.usb.unplug(domid, devid, port)

    async def add(self, job: Job, ref: str | int, *, device: str) -> None:
        """To the emulated controller of an HVM guest."""
        domid = await self._hvm(job, ref, "add")
        usb = self._context.hypervisor.usb
        await usb.plug(domid, await usb.bus_id(device))

    async def remove(self, job: Job, ref: str | int, *, device: str) -> None:
        domid = await self._hvm(job, ref, "del")
        bus_id = await self._context.hypervisor.usb.bus_id(device)
        for controller in await read_devices(self._context.store, domid, "vusb"):
            for key, plugged in controller.backend.items():
                if key.startswith("port/") and plugged == bus_id:
                    port = int(key.removeprefix("port/"))
                    await self._context.hypervisor.usb.unplug(domid, controller.devid, port)
                    return
        raise InvalidArgument(
            f"USB device {device} is not attached to '{ref}'", argument="device", value=device
        )

    async def _running(self, job: Job, ref: str | int) -> Domid:
        _view, domid = await self._context.running(job, ref, "change USB devices of")
        return domid

    async def _hvm(self, job: Job, ref: str | int, verb: str) -> Domid:
        """The original's conditions, in its words."""
        view = await self._context.snapshot.learn_config(await self._context.current(job, ref))
        if not _is_usb_enabled(view):
            raise InvalidArgument(
                "Can't add usb device to a guest with usb disabled in configure file",
                argument="domain",
                value=str(ref),
                expected="an HVM guest with usb = 1",
            )
        if view.config is None or view.config.kind != "hvm":
            what = "add usb device" if verb == "add" else "del usb"
            raise InvalidArgument(
                f"Can't {what} to a non-hvm guest", argument="domain", value=str(ref)
            )
        if view.domid is None:
            raise not_started(ref, view, f"usb-{verb}")
        return view.domid

    async def _controller(self, domid: Domid, devid: int) -> DeviceView:
        for found in await read_devices(self._context.store, domid, "vusb"):
            if found.devid == devid:
                return found
        raise InvalidArgument(f"Device {devid} not connected", argument="device", value=devid)

    def _check_port(self, controller: DeviceView, port: int) -> None:
        count = controller.backend.get("num-ports", "")
        most = int(count) if count.isdigit() else 31
        if not 1 <= port <= most:
            raise InvalidArgument(
                f"Invalid Port Number '{port}'",
                argument="port",
                value=port,
                expected=f"1 to {most}",
            )


def _is_usb_enabled(view: DomainView) -> bool:
    platform = view.config.platform if view.config is not None else {}
    return str(platform.get("usb", "0")) not in ("", "0", "None")
