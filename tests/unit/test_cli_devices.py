"""PCI, SCSI and USB devices as the command line names them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faces.xmdaemon import FakeDaemon, Run, domain
from xend.cli import scsi, sysfs, usb
from xend.cli.failures import OptionError
from xend.cli.pci import parse_devices
from xend.cli.sysfs import ScsiDevice, Usb

ATTACHED = [
    {
        "domain": "0x0000",
        "bus": "0x01",
        "slot": "0x00",
        "func": "0x0",
        "vdevfn": "0x100",
        "key": "01:00.0",
    },
    {
        "domain": "0x0000",
        "bus": "0x02",
        "slot": "0x00",
        "func": "0x1",
        "vdevfn": "0x30",
        "key": "02:00.1",
    },
]
PORTS = ["port", ["1", "1-1"], ["2", ""]]
CONTROLLER = [
    0,
    [["state", "4"], ["backend-id", "0"], ["usb-ver", "1"], ["num-ports", "2"], PORTS],
]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    devices: dict[str, Any] = {"pci": ATTACHED, "vusb": [CONTROLLER]}
    daemon = FakeDaemon(
        tmp_path,
        xend__domain=lambda *_: domain(7, "web"),
        xend__domain__getDeviceSxprs=lambda _name, kind: devices.get(kind, []),
    )
    yield daemon
    daemon.close()


@pytest.fixture
def xm(tmp_path: Path, daemon: FakeDaemon) -> Run:
    return Run(tmp_path, {"XEND_RUN_DIR": str(tmp_path), "XM_CONFIG_FILE": "/nosuch"})


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("03:00.0", [("0000:03:00.0", 0x100)]),
        ("0001:03:1f.7", [("0001:03:1f.7", 0x100)]),
        ("03:00.0@6", [("0000:03:00.0", 0x30)]),
        ("03:00.0-1", [("0000:03:00.1", 0x101), ("0000:03:00.0", 0x100)]),
        ("03:00.1,2", [("0000:03:00.2", 0x102), ("0000:03:00.1", 0x100)]),
        ("03:00.0=1,1=0", [("0000:03:00.0", 0x101), ("0000:03:00.1", 0x100)]),
    ],
)
def test_pci_names(text: str, devices: list[tuple[str, int]]) -> None:
    assert [(device.name, device.vdevfn) for device in parse_devices(text)] == devices


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "Failed to parse pci device: nonsense"),
        ("03:00.0,0", "Duplicate functions: 03:00.0,0"),
        ("03:00.1=2", "Virtual device does not include virtual function 0: 03:00.1=2"),
        ("03:00.0,foo=1", "Invalid pci option foo=1: "),
    ],
)
def test_pci_names_that_are_none(text: str, message: str) -> None:
    with pytest.raises(OptionError) as error:
        parse_devices(text)
    assert str(error.value) == message


def test_pci_options_travel_along() -> None:
    (device,) = parse_devices("03:00.0,msitranslate=1,power_mgmt=0")
    sxp = device.as_sxp("Initialising")
    assert sxp[1][-2:] == [["opts", ["msitranslate", "1"]], ["opts", ["power_mgmt", "0"]]]
    assert sxp[2] == ["state", "Initialising"]


def test_pci_list(xm: Run) -> None:
    assert xm("pci-list", "web")[1] == "Vdev Device\n06.0 0000:02:00.1\n-    0000:01:00.0\n"
    assert xm("pci-list", "--json", "web")[0] == 0


def test_pci_list_without_slots(xm: Run, daemon: FakeDaemon) -> None:
    daemon.methods["xend.domain.getDeviceSxprs"] = lambda *_: ATTACHED[:1]
    assert xm("pci-list", "web")[1] == "Device\n0000:01:00.0\n"


def test_pci_attach_and_detach(xm: Run, daemon: FakeDaemon) -> None:
    assert xm("pci-attach", "web", "03:00.0") == (0, "", "")
    method, (name, config) = daemon.calls[-1]
    assert (method, name) == ("xend.domain.device_configure", "web")
    assert config[1][:4] == ["dev", ["slot", "0x00"], ["domain", "0x0000"], ["key", "03:00.0"]]
    assert xm("pci-attach", "web", "01:00.0")[2] == (
        "Error: pci: device 0000:01:00.0 has been attached! \n"
    )
    assert xm("pci-detach", "web", "02:00.1") == (0, "", "")
    assert daemon.calls[-1][1][1][2] == ["state", "Closing"]
    assert xm("pci-detach", "web", "09:00.0")[2] == (
        "Error: pci: device 0000:09:00.0 is not attached!\n"
    )


def test_assignable_pci_devices(xm: Run, daemon: FakeDaemon) -> None:
    device = ["dev", ["domain", "0x0"], ["bus", "0x3"], ["slot", "0x1f"], ["func", "0x2"]]
    daemon.methods["xend.node.pciinfo"] = lambda: [device]
    assert xm("pci-list-assignable-devices")[1] == "0000:03:1f.2\n"
    daemon.methods["xend.node.pciinfo"] = lambda: None
    assert xm("pci-list-assignable-devices") == (
        0,
        "Error: pciback/pci-stub not loaded?\n",
        "",
    )


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def sys(tmp_path: Path) -> Path:
    """A sysfs with two USB devices, one of them given away, and a hub."""
    root = tmp_path / "sys"
    for bus, kind in (("1-1", "00"), ("2-1.4", "00"), ("1-2", "09")):
        device = root / "bus/usb/devices" / bus
        put(device / "bDeviceClass", f"{kind}\n")
        put(device / "idVendor", "1234\n")
        put(device / "idProduct", "5678\n")
        put(device / "manufacturer", "ACME\n")
        put(device / "product", "Rocket\n")
    put(root / "bus/usb/devices/usb1/bDeviceClass", "09\n")
    put(root / "bus/usb/drivers/usbback/port_ids", "2-1.4:7:0:2\n")
    return root


@pytest.fixture
def usb_host(sys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usb, "Usb", lambda env: Usb(env, str(sys)))


@pytest.mark.usefixtures("usb_host")
def test_usb_lists(xm: Run) -> None:
    assert xm("usb-list-assignable-devices")[1] == "1-1          : ID 1234:5678 ACME Rocket\n"
    assert xm("usb-list", "web")[1].splitlines()[1:] == [
        "0   0   4     USB1.1  ??                              ",
        "port 1: 1-1 [ID 1234:5678 ACME Rocket]",
        "port 2: ",
    ]


@pytest.mark.usefixtures("usb_host")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["1", "1", "1-1"], "Cannot find device '1' in domain 'web'\n"),
        (["0", "3", "1-1"], "Invalid Port Number '3'\n"),
        (["0", "1", "x"], "Invalid Busid 'x'\n"),
        (["0", "1", "2-1.4"], "Cannot assign already attached bus '2-1.4', detach first.\n"),
        (["0", "2", "1-1"], "Cannot override already attached port '2', detach first.\n"),
        (["0", "1", "1-1"], ""),
    ],
)
def test_usb_attach(xm: Run, daemon: FakeDaemon, words: list[str], message: str) -> None:
    assert xm("usb-attach", "web", *words) == (0, message, "")
    attached = ("xend.domain.device_configure", ["web", ["vusb", ["port", ["1", "1-1"]]], "0"])
    assert (daemon.calls[-1] == attached) == (not message)


def test_usb_without_sysfs(tmp_path: Path) -> None:
    host = Usb({}, str(tmp_path / "nosuch"))
    assert (host.devices(), host.assigned(), host.is_connected("1-1")) == ([], [], False)


SCSI = [
    ScsiDevice("0:0:0:0", "sda", "sg0", "id0"),
    ScsiDevice("0:0:1:0", "sdb", "sg1", "id1"),
    ScsiDevice("1:0:0:0", "st0", "sg2", None),
]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["0:0:1:0", "2:0:0:0"], [("0:0:1:0", "2:0:0:0")]),
        (["/dev/sda", "0:0:0:0"], [("0:0:0:0", "0:0:0:0")]),
        (["/dev/sdb3", "0:0:0:1"], [("0:0:1:0", "0:0:0:1")]),
        (["/dev/sg2", "0:0:0:1"], [("1:0:0:0", "0:0:0:1")]),
        (["id1", "0:0:0:1"], [("0:0:1:0", "0:0:0:1")]),
        (["/dev/sda", "host"], [("0:0:0:0", "0:0:0:0"), ("0:0:1:0", "0:0:1:0")]),
    ],
)
def test_scsi_attach(
    xm: Run,
    daemon: FakeDaemon,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    found: list[tuple[str, str]],
) -> None:
    monkeypatch.setattr(scsi, "scsi_devices", lambda *_: SCSI)
    assert xm("scsi-attach", "web", *words) == (0, "", "")
    config = daemon.calls[-1][1][1]
    assert config[1] == ["feature-host", int(words[1] == "host")]
    assert [(dev[3][1], dev[5][1]) for dev in config[2:]] == found


def test_scsi_called_wrongly(xm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scsi, "scsi_devices", lambda *_: SCSI)
    assert xm("scsi-attach", "web", "/dev/sdq", "0:0:0:0")[2] == (
        "Error: Cannot find device '/dev/sdq'\n"
    )
    assert xm("scsi-attach", "web", "/dev/sda", "x")[2] == "Error: Invalid argument: x\n"
    assert xm("scsi-detach", "web", "1:2")[2] == "Error: Invalid argument: 1:2\n"


def test_scsi_devices_of_sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "bus/scsi/devices/0:0:0:0"
    (device / "block/sda").mkdir(parents=True)
    (device / "scsi_generic/sg0").mkdir(parents=True)
    (tmp_path / "bus/scsi/devices/host0").mkdir()
    monkeypatch.setattr(sysfs, "mount_point", lambda: str(tmp_path))
    monkeypatch.setattr(sysfs, "_scsi_id", lambda *_: None)
    (found,) = sysfs.scsi_devices({"PATH": "/nosuch"})
    assert (found.hctl, found.name, found.sg) == ("0:0:0:0", "sda", "sg0")


def test_scsi_list_in_the_order_of_the_domain(xm: Run, daemon: FakeDaemon) -> None:
    def device(virtual: str) -> list[Any]:
        return [
            "dev",
            ["p-dev", "0:0:0:0"],
            ["p-devname", "sda"],
            ["v-dev", virtual],
            ["frontstate", "4"],
        ]

    controller = [0, [["devs", [device("0:0:1:0"), device("0:0:0:2")]], ["feature-host", 0]]]
    daemon.methods["xend.domain.getDeviceSxprs"] = lambda *_: [controller]
    lines = xm("scsi-list", "web")[1].splitlines()
    assert lines[0] == "Idx BE  state host  phy-hctl   phy   vir-hctl   devstate"
    assert [line.split()[6] for line in lines[1:]] == ["0:0:0:2", "0:0:1:0"]
