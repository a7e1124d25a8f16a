"""How devices are read from XenStore: USB controllers as libxl keeps them (libxl_usb.c), and
frontends with several queues."""

from __future__ import annotations

import pytest

from xend.core.devices import read_devices
from xend.model.units import Domid
from xend.sim.xenstore import SimXenStore
from xend.sim.xenstored import SimXenstored

RECORD = "/libxl/5/device/vusb/0"
BACKEND = "/local/domain/0/backend/qusb/5/0"


@pytest.mark.parametrize("kind", ["qusb", "devicemodel"])
async def test_a_controller_with_and_without_a_backend(kind: str) -> None:
    daemon = SimXenstored()
    home = RECORD
    daemon.write(f"{RECORD}/type", kind)
    if kind == "qusb":
        home = BACKEND
        daemon.write(f"{RECORD}/backend", BACKEND)
    for node, value in (
        ("usb-ver", "2"),
        ("num-ports", "2"),
        ("port", ""),
        ("port/1", "1-1.4"),
        ("port/2", ""),
    ):
        daemon.write(f"{home}/{node}", value)
    store = SimXenStore(daemon)
    await store.start()
    [found] = await read_devices(store, Domid(5), "vusb")
    assert (found.devid, found.backend["usb-ver"], found.backend["num-ports"]) == (0, "2", "2")
    assert (found.backend["port/1"], found.backend["port/2"]) == ("1-1.4", "")
    assert found.frontend.get("backend") == (BACKEND if kind == "qusb" else None)
    await store.close()


async def test_of_several_queues_the_first_is_shown() -> None:
    """A guest with more VCPUs has a ring for each; clients look for `tx-ring-ref`."""
    daemon = SimXenstored()
    home = "/local/domain/5/device/vif/0"
    daemon.write("/libxl/5/device/vif/0/frontend", home)
    for node, value in (
        ("state", "4"),
        ("multi-queue-num-queues", "2"),
        ("queue-0/tx-ring-ref", "520"),
        ("queue-0/rx-ring-ref", "521"),
        ("queue-1/tx-ring-ref", "522"),
    ):
        daemon.write(f"{home}/{node}", value)
    store = SimXenStore(daemon)
    await store.start()
    [found] = await read_devices(store, Domid(5), "vif")
    assert (found.frontend["tx-ring-ref"], found.frontend["rx-ring-ref"]) == ("520", "521")
    assert found.frontend["state"] == "4"
    await store.close()
