"""What libxl is asked about USB, and how the host's devices are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xend.errors import InvalidArgument
from xend.libxl.usb import XenUsb
from xend.model.units import Domid

DOMAIN = Domid(7)


def add(devices: Path, name: str, bus: int, address: int, vendor: str, product: str) -> None:
    entry = devices / name
    entry.mkdir(parents=True)
    for file, value in (
        ("busnum", str(bus)),
        ("devnum", str(address)),
        ("idVendor", vendor),
        ("idProduct", product),
    ):
        (entry / file).write_text(value + "\n")


class Calls:
    """Takes the place of the worker processes."""

    def __init__(self, devid: int = 3) -> None:
        self.made: list[tuple[str, Domid, dict[str, Any]]] = []
        self.devid = devid

    async def __call__(self, operation: str, domid: Domid, **arguments: Any) -> str:
        arguments["device"] = json.loads(arguments.get("device", "{}"))
        self.made.append((operation, domid, arguments))
        return json.dumps({"devid": self.devid})


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    add(tmp_path, "1-1", 1, 4, "046d", "c52b")
    add(tmp_path, "2-1.4", 2, 11, "0951", "1666")
    (tmp_path / "1-1:1.0").mkdir()  # an interface of a device
    return tmp_path


@pytest.mark.parametrize(
    ("device", "bus_id"),
    [
        ("1-1", "1-1"),
        ("2-1.4", "2-1.4"),
        ("host:2.11", "2-1.4"),
        ("host:1.4", "1-1"),
        ("host:046D:c52b", "1-1"),
        ("host:951:1666", "2-1.4"),
    ],
)
async def test_a_device_by_each_of_its_names(devices: Path, device: str, bus_id: str) -> None:
    assert await XenUsb(Calls(), devices).bus_id(device) == bus_id


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("9-9", "no USB device 9-9"),
        ("host:1.5", "no USB device host:1.5"),
        ("host:ffff:0001", "no USB device"),
        ("tea", "is not a USB device"),
        ("", "is not a USB device"),
        ("../../etc/passwd", "is not a USB device"),
        ("host:", "is not a USB device"),
    ],
)
async def test_one_that_is_not_there(devices: Path, device: str, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        await XenUsb(Calls(), devices).bus_id(device)


async def test_a_host_without_usb(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"no USB device host:1\.2"):
        await XenUsb(Calls(), tmp_path / "nowhere").bus_id("host:1.2")


async def test_what_libxl_is_asked(devices: Path) -> None:
    calls = Calls()
    usb = XenUsb(calls, devices)
    assert await usb.attach_controller(DOMAIN, 2, 4) == 3
    await usb.plug(DOMAIN, "2-1.4", 3, 1)
    await usb.plug(DOMAIN, "1-1")
    await usb.unplug(DOMAIN, 3, 1)
    await usb.detach_controller(DOMAIN, 3, force=True)
    assert [(operation, arguments["device_class"]) for operation, _, arguments in calls.made] == [
        ("attach", "vusb"),
        ("attach", "usbdev"),
        ("attach", "usbdev"),
        ("detach", "usbdev"),
        ("detach", "vusb"),
    ]
    asked = [arguments["device"] for _, _, arguments in calls.made]
    assert asked[:4] == [
        {"version": 2, "ports": 4},
        {"type.hostdev": {"hostbus": 2, "hostaddr": 11}, "ctrl": 3, "port": 1},
        {"type.hostdev": {"hostbus": 1, "hostaddr": 4}},
        {"port": 1},
    ]
    assert [arguments.get("devid") for _, _, arguments in calls.made[3:]] == [3, 3]
    assert {domid for _, domid, _ in calls.made} == {DOMAIN}
