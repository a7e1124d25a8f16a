"""Devices that change while a domain runs, through the old XML-RPC interface, simulated."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.faces.conftest import Host
from tests.faces.test_xmlrpc import fault, started, vm
from tests.faces.unixrpc import Xend, get


@pytest_asyncio.fixture
async def xend(host: Host) -> AsyncIterator[Xend]:
    client = Xend(host.xmlrpc)
    yield client
    client.close()


def drive(path: str) -> list[Any]:
    kind = "tap" if path.startswith("tap:") else "vbd"
    return [kind, ["uname", path], ["dev", "hdc:cdrom"], ["mode", "r"], ["backend", "0"]]


async def with_drive(xend: Xend, name: str, *, hvm: bool) -> None:
    devices = [
        ["device", ["vbd", ["uname", "file:/srv/a.iso"], ["dev", "hdc:cdrom"], ["mode", "r"]]]
    ]
    if hvm:
        image = ["image", ["hvm", ["kernel", "hvmloader"], ["boot", "c"], ["usb", 1]]]
        config = ["vm", ["name", name], ["memory", 64], ["vcpus", 1], image, *devices]
    else:
        config = vm(name, *devices)
    await xend("xend.domain.create", config)
    await xend("xend.domain.unpause", name)


async def medium(xend: Xend, name: str) -> str:
    full = await xend("xend.domain", name, 1)
    disks = [child[1] for child in full[1:] if child[0] == "device"]
    return next(str(get(disk, "uname")) for disk in disks if ["dev", "hdc:cdrom"] in disk)


@pytest.mark.parametrize("hvm", [True, False], ids=["hvm", "pv"])
async def test_another_medium(xend: Xend, host: Host, hvm: bool) -> None:
    await with_drive(xend, "cd", hvm=hvm)
    assert await xend("xend.domain.device_configure", "cd", drive("tap:aio:/srv/b.iso")) is True
    assert await medium(xend, "cd") == "tap:aio:/srv/b.iso"
    [found] = [
        view
        for view in await host.service.devices("cd", "vbd")
        if view.backend["device-type"] == "cdrom"
    ]
    assert found.backend["params"] == "/srv/b.iso"


async def test_a_halted_domain_gets_another_medium_in_its_configuration(xend: Xend) -> None:
    disk = ["device", ["vbd", ["uname", "file:/srv/a.iso"], ["dev", "hdc:cdrom"], ["mode", "r"]]]
    await xend("xend.domain.new", vm("gonzalo", disk))
    assert await xend("xend.domain.device_configure", "gonzalo", drive("file:/srv/b.iso")) is True
    assert await medium(xend, "gonzalo") == "file:/srv/b.iso"


async def test_only_a_medium_can_be_changed(xend: Xend) -> None:
    await started(xend)
    disk = ["vbd", ["uname", "phy:vg/b"], ["dev", "xvda"], ["mode", "w"]]
    code, text = await fault(xend, "xend.domain.device_configure", "prospero", disk)
    assert (code, text.partition(":")[0]) == (
        2,
        "Refusing to reconfigure device xvda to phy",
    )
    code, text = await fault(xend, "xend.domain.device_configure", "prospero", drive("file:/x"))
    assert (code, text) == (2, "Device hdc not connected")
    code, text = await fault(xend, "xend.domain.device_configure", "prospero", ["vif"])
    assert (code, text.partition(":")[0]) == (2, "Refusing to reconfigure a device of class vif")


def pci(state: str, slot: str = "0x00") -> list[Any]:
    address = [["slot", slot], ["domain", "0x0000"], ["key", "03:00.0"], ["bus", "0x03"]]
    return ["pci", ["dev", *address, ["vdevfn", "0x100"], ["func", "0x0"]], ["state", state]]


async def test_a_pci_device_comes_and_goes(xend: Xend) -> None:
    await started(xend)
    assert await xend("xend.domain.device_configure", "prospero", pci("Initialising")) is True
    [device] = await xend("xend.domain.getDeviceSxprs", "prospero", "pci")
    assert (device["bus"], device["slot"], device["key"]) == ("0x03", "0x00", "03:00.0")
    code, _text = await fault(
        xend, "xend.domain.device_configure", "prospero", pci("Closing", "0x01")
    )
    assert code == 2
    await started(xend, "second")
    code, text = await fault(xend, "xend.domain.device_configure", "second", pci("Initialising"))
    assert code == 2 and "already assigned" in text
    assert await xend("xend.domain.device_configure", "prospero", pci("Closing")) is True
    assert await xend("xend.domain.getDeviceSxprs", "prospero", "pci") == []
    code, text = await fault(xend, "xend.domain.device_configure", "prospero", pci("Closing"))
    assert (code, text) == (2, "Device 0000:03:00.0 is not connected")
    assert (await fault(xend, "xend.domain.device_configure", "prospero", pci("Dancing")))[0] == 2


async def test_a_usb_controller_and_what_is_in_it(xend: Xend) -> None:
    await started(xend)
    controller = ["vusb", ["usb-ver", "2"], ["num-ports", "2"], ["port", ["1", ""], ["2", ""]]]
    await xend("xend.domain.device_create", "prospero", controller)
    [[devid, pairs]] = await xend("xend.domain.getDeviceSxprs", "prospero", "vusb")
    assert devid == 0
    assert pairs[-3:] == [["usb-ver", "2"], ["num-ports", "2"], ["port", ["1", ""], ["2", ""]]]
    plug = ["vusb", ["port", ["2", "1-1.4"]]]
    assert await xend("xend.domain.device_configure", "prospero", plug, "0") is True
    [[_, pairs]] = await xend("xend.domain.getDeviceSxprs", "prospero", "vusb")
    assert pairs[-1] == ["port", ["1", ""], ["2", "1-1.4"]]
    unplug = ["vusb", ["port", ["2", ""]]]
    assert await xend("xend.domain.device_configure", "prospero", unplug, "0") is True
    for port, text in (("2", "There is nothing in port 2"), ("9", "Invalid Port Number '9'")):
        wrong = ["vusb", ["port", [port, ""]]]
        code, told = await fault(xend, "xend.domain.device_configure", "prospero", wrong, "0")
        assert code == 2 and told.startswith(text)
    await xend("xend.domain.destroyDevice", "prospero", "vusb", "0")
    assert await xend("xend.domain.getDeviceSxprs", "prospero", "vusb") == []
    assert await fault(xend, "xend.domain.destroyDevice", "prospero", "vusb", "0") == (
        2,
        "Device 0 not connected",
    )


async def test_usb_devices_of_a_device_model(xend: Xend) -> None:
    await with_drive(xend, "cd", hvm=True)
    await xend("xend.domain.usb_add", "cd", "host:1.4")
    [[_, pairs]] = await xend("xend.domain.getDeviceSxprs", "cd", "vusb")
    assert ["1", "1-4"] in pairs[-1]
    await xend("xend.domain.usb_del", "cd", "host:1.4")
    code, text = await fault(xend, "xend.domain.usb_del", "cd", "host:1.4")
    assert (code, text) == (2, "USB device host:1.4 is not attached to 'cd'")
    await started(xend)
    for method in ("usb_add", "usb_del"):
        code, text = await fault(xend, f"xend.domain.{method}", "prospero", "host:1.4")
        assert code == 2
        assert text == "Can't add usb device to a guest with usb disabled in configure file"


async def test_virtual_scsi_hosts_are_gone(xend: Xend) -> None:
    await started(xend)
    scsi = ["vscsi", ["feature-host", 0], ["dev", ["state", 1], ["v-dev", "0:0:0:0"]]]
    for method, params in (
        ("device_create", [scsi]),
        ("device_configure", [scsi]),
        ("destroyDevice", ["vscsi", "0"]),
    ):
        code, text = await fault(xend, f"xend.domain.{method}", "prospero", *params)
        assert code == 2
        assert "xm block-attach" in text
