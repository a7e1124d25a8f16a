"""`ports.UsbControl` over the simulated machine: every USB device is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xend.model.units import Domid

if TYPE_CHECKING:
    from xend.sim.machine import SimMachine


class SimUsb:
    def __init__(self, machine: SimMachine) -> None:
        self._machine = machine

    async def bus_id(self, device: str) -> str:
        if not device.startswith("host:"):
            return device
        return device.removeprefix("host:").replace(".", "-").replace(":", "-")

    async def attach_controller(self, domid: Domid, version: int, ports: int) -> int:
        domain = self._machine.get(domid)
        used = {int(number) for number in self._machine.publication.attached(domain, "vusb")}
        devid = next(number for number in range(len(used) + 1) if number not in used)
        self._machine.publication.controller(domain, devid, version, ports)
        return devid

    async def detach_controller(self, domid: Domid, devid: int, *, force: bool = False) -> None:
        self._machine.publication.detach(self._machine.get(domid), "vusb", devid)

    async def plug(
        self, domid: Domid, bus_id: str, controller: int | None = None, port: int | None = None
    ) -> None:
        domain = self._machine.get(domid)
        if controller is None:
            controller = await self.attach_controller(domid, 2, 4)
        self._machine.publication.port(domain, controller, port or 1, bus_id)

    async def unplug(self, domid: Domid, controller: int, port: int) -> None:
        self._machine.publication.port(self._machine.get(domid), controller, port, "")
