"""xm with a Xen-API server: devices, and domains made with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faces.xenapiserver import FakeXenApi, XenApiError
from tests.faces.xmdaemon import Run
from xend.cli.xenapi.devices import disk_label

Xm = Callable[..., tuple[int, str, str]]
WEB = "vm-web"
PCI = {"domain": "0", "bus": "3", "slot": "16", "func": "1", "name": "0000:03:10.1"}


@pytest.fixture(autouse=True)
def _loop_never_blocked() -> None:
    """No event loop runs here."""


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeXenApi]:
    server = FakeXenApi(
        tmp_path / "xen-api.sock",
        VM={
            WEB: {
                "name_label": "web",
                "domid": "7",
                "VIFs": ["f1", "f2"],
                "VBDs": ["b1", "b2"],
                "DPCIs": ["d1"],
                "DSCSIs": ["s2", "s1"],
            }
        },
        VIF={
            "f1": {"MAC": "00:16:3E:00:00:01", "runtime_properties": {"handle": "4", "state": "4"}},
            "f2": {"MAC": "00:16:3e:00:00:02", "runtime_properties": {"handle": "5"}},
        },
        VBD={
            "b1": {
                "device": "xvda",
                "VDI": "i1",
                "runtime_properties": {
                    "virtual-device": "51712",
                    "backend-id": "0",
                    "backend": "/local/x",
                },
            },
            "b2": {"device": "hdc", "VDI": "i2", "runtime_properties": {}},
        },
        VDI={
            "i1": {"VBDs": [], "other_config": {"location": "phy:/dev/web"}},
            "i2": {"VBDs": ["b9"], "other_config": {}},
        },
        SR={"sr0": {"type": "qcow_file"}, "sr1": {"type": "local"}},
        network={"n1": {"name_label": "xenbr0"}, "n2": {"name_label": "xenbr1"}},
        DPCI={"d1": {"PPCI": "p1", "hotplug_slot": "48", "key": "03:10.1"}},
        PPCI={"p1": PCI, "p2": {**PCI, "func": "2", "name": "0000:03:10.2"}},
        DSCSI={
            "s1": scsi("0:0:0:1", "sdb"),
            "s2": scsi("0:0:0:2", "sdc"),
        },
        DSCSI_HBA={"h1": {"assignment_mode": "LUN"}, "h2": {"assignment_mode": "HOST"}},
        PSCSI={"ps1": {"physical_HCTL": "1:0:0:0"}},
        PSCSI_HBA={"ph1": {"physical_host": "1"}},
        console={},
    )
    yield server
    server.close()


def scsi(place: str, name: str) -> dict[str, Any]:
    device = {"devid": "0", "v-dev": place, "p-dev": place, "p-devname": name, "frontstate": "4"}
    return {
        "virtual_HCTL": place,
        "HBA": "h1",
        "runtime_properties": {"backend-id": "0", "state": "4", "dev": device},
    }


@pytest.fixture
def xm(tmp_path: Path, api: FakeXenApi) -> Run:
    file = tmp_path / "xm-config.xml"
    file.write_text(
        f'<xm><server type="Xen-API" uri="httpu://{tmp_path}/xen-api.sock" username="root" '
        'password="secret"/></xm>'
    )
    scripts = tmp_path / "bin"
    scripts.mkdir()
    (scripts / "lsscsi").write_text("#!/bin/sh\necho '[1:0:0:0]  disk  A  A  1  /dev/sda'\n")
    (scripts / "lsscsi").chmod(0o755)
    return Run(tmp_path, {"XM_CONFIG_FILE": str(file), "PATH": f"{scripts}:/usr/bin:/bin"})


def changes(api: FakeXenApi) -> list[list[Any]]:
    """Calls that are not questions."""
    return [call for call in api.said() if ".get_" not in call[0]]


def test_lists(xm: Xm) -> None:
    status, out, err = xm("block-list", "web")
    assert (status, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines] == ["Vdev", "51712", "5632"]
    assert lines[1][-1] == "/local/x"
    lines = [line.split() for line in xm("network-list", "web")[1].splitlines()]
    assert [line[0] for line in lines] == ["Idx", "4", "5"]
    assert "00:16:3E:00:00:01" in xm("network-list", "web")[1]
    assert "(mac 00:16:3e:00:00:02)" in xm("network-list", "-l", "web")[1]
    assert xm("pci-list", "web") == (0, "Vdev Device\n06.0 0000:03:10.1\n", "")
    lines = [line.split() for line in xm("scsi-list", "web")[1].splitlines()]
    assert [line[4:7] for line in lines[1:]] == [
        ["0:0:0:1", "sdb", "0:0:0:1"],
        ["0:0:0:2", "sdc", "0:0:0:2"],
    ]


def test_a_disk_comes_and_goes(api: FakeXenApi, xm: Xm) -> None:
    assert xm("block-attach", "web", "phy:/dev/y", "xvdb", "w") == (0, "", "")
    image, disk = changes(api)
    assert (image[0], disk[0]) == ("VDI.create", "VBD.create")
    record = image[1]
    assert (record["SR"], record["read_only"]) == ("sr1", False)
    assert record["other_config"] == {"location": "phy:/dev/y"}
    assert record["name_label"] == disk_label("phy:/dev/y")
    record = disk[1]
    assert (record["VM"], record["VDI"]) == (WEB, "VDI-2")
    assert (record["device"], record["mode"], record["type"]) == ("xvdb", "RW", "Disk")
    api.calls.clear()
    assert xm("block-detach", "web", "xvda") == (0, "", "")
    assert changes(api) == [["VBD.destroy", "b1"], ["VDI.destroy", "i1"]]
    api.calls.clear()
    assert xm("block-detach", "web", "hdc") == (0, "", "")
    assert changes(api) == [["VBD.destroy", "b2"]]


def test_a_disk_that_is_not_there(api: FakeXenApi, xm: Xm) -> None:
    status, out, err = xm("block-detach", "web", "xvdq")
    assert (status, err) == (1, "Error: Cannot find device 'xvdq' in domain 'web'\n")
    assert out.startswith("Usage: xm block-detach ")
    api.objects["SR"].pop("sr1")
    assert xm("block-attach", "web", "phy:/dev/y", "xvdb", "w")[0] == 1


def test_an_interface_comes_and_goes(api: FakeXenApi, xm: Xm) -> None:
    words = ("mac=00:16:3e:00:00:09", "bridge=xenbr1", "ip=10.0.0.9", "rate=1Mb/s", "model=e1000")
    assert xm("network-attach", "web", *words) == (0, "", "")
    assert changes(api) == [
        [
            "VIF.create",
            {
                "device": "eth0",
                "network": "n2",
                "VM": WEB,
                "MAC": "00:16:3e:00:00:09",
                "MTU": "",
                "qos_algorithm_type": "",
                "qos_algorithm_params": {"rate": "1Mb/s"},
                "other_config": {"ip": "10.0.0.9"},
            },
        ]
    ]
    status, _, err = xm("network-attach", "web", "bridge=br9")
    assert (status, err) == (1, "Error: Network br9 doesn't exist\n")
    assert xm("network-attach", "web", "colour=red")[0] == 1
    api.calls.clear()
    assert xm("network-detach", "web", "5") == (0, "", "")
    api.objects["VM"][WEB]["VIFs"] = ["f1"]
    assert xm("network-detach", "web", "00:16:3e:00:00:01") == (0, "", "")
    assert changes(api) == [["VIF.destroy", "f2"], ["VIF.destroy", "f1"]]
    api.objects["VM"][WEB]["VIFs"] = []
    status, _, err = xm("network-detach", "web", "5")
    assert (status, err) == (1, "Error: Cannot find device '5' in domain 'web'\n")


def test_a_pci_device_comes_and_goes(api: FakeXenApi, xm: Xm) -> None:
    assert xm("pci-attach", "-o", "msitranslate=1", "web", "03:10.2", "6") == (0, "", "")
    assert changes(api) == [
        [
            "DPCI.create",
            {
                "VM": WEB,
                "PPCI": "p2",
                "hotplug_slot": 48,
                "options": {"msitranslate": "1"},
                "key": "03:10.2@6",
            },
        ]
    ]
    api.calls.clear()
    assert xm("pci-detach", "web", "03:10.1") == (0, "", "")
    assert changes(api) == [["DPCI.destroy", "d1"]]
    status, _, err = xm("pci-attach", "web", "04:00.0")
    assert (status, err) == (1, "Error: Device 0000:04:00.0 not found\n")


def test_a_scsi_device_comes_and_goes(api: FakeXenApi, xm: Xm) -> None:
    assert xm("scsi-attach", "web", "1:0:0:0", "0:0:0:3") == (0, "", "")
    assert xm("scsi-attach", "web", "1:0:0:0", "host") == (0, "", "")
    assert xm("scsi-detach", "web", "0:0:0:1") == (0, "", "")
    api.objects["DSCSI"]["s2"]["HBA"] = "h2"
    api.objects["VM"][WEB]["DSCSIs"] = ["s2"]
    assert xm("scsi-detach", "web", "0:0:0:2") == (0, "", "")
    assert changes(api) == [
        ["DSCSI.create", {"VM": WEB, "PSCSI": "ps1", "virtual_HCTL": "0:0:0:3"}],
        ["DSCSI_HBA.create", {"VM": WEB, "PSCSI_HBA": "ph1", "assignment_mode": "HOST"}],
        ["DSCSI.destroy", "s1"],
        ["DSCSI_HBA.destroy", "h2"],
    ]
    status, _, err = xm("scsi-detach", "web", "0:0:0:9")
    assert (status, err) == (1, "Error: Device 0:0:0:9 not assigned\n")


GUEST = """
name = "new"
memory = 64
maxmem = 128
vcpus = 2
cpus = ["0", "1"]
kernel = "/proc/version"
extra = "quiet"
root = "/dev/xvda ro"
disk = ["phy:/dev/web,xvda,w", "file:/srv/cd.iso,xvdc:cdrom,r"]
vif = ["mac=00:16:3e:00:00:05,bridge=xenbr1", ""]
vfb = ["type=vnc,vncpasswd=x"]
on_crash = "rename-restart"
"""


def test_a_new_domain(api: FakeXenApi, xm: Xm, tmp_path: Path) -> None:
    file = tmp_path / "guest"
    file.write_text(GUEST)

    def started(_session: str, ref: str, _paused: bool) -> str:
        api.objects["VM"][ref]["domid"] = "9"
        return ""

    api.methods["VM.start"] = started
    status, out, err = xm("create", str(file))
    assert (status, err) == (0, "")
    assert out == f'Using config file "{file}".\nStarted domain new (id=9)\n'
    made = changes(api)
    assert [call[0] for call in made] == [
        *("VM.create", "VBD.create", "VDI.create", "VBD.create", "VIF.create", "VIF.create"),
        *("console.create", "VM.start", "VM.unpause"),
    ]
    vm = made[0][1]
    assert (vm["name_label"], vm["VCPUs_max"]) == ("new", "2")
    assert (vm["memory_dynamic_max"], vm["memory_static_max"]) == (str(64 << 20), str(128 << 20))
    assert vm["PV_args"] == "root=/dev/xvda ro quiet"
    assert (vm["HVM_boot_policy"], vm["HVM_boot_params"]) == ("", {})
    assert vm["VCPUs_params"]["cpumap1"] == "1"
    assert vm["actions_after_crash"] == "rename_restart"
    assert vm["other_config"] == {"transient": "True"}
    assert (made[1][1]["VDI"], made[1][1]["mode"]) == ("i1", "RW")
    assert (made[3][1]["device"], made[3][1]["type"], made[3][1]["mode"]) == ("xvdc", "CD", "RO")
    assert [call[1]["device"] for call in made[4:6]] == ["eth0", "eth1"]
    assert [call[1]["network"] for call in made[4:6]] == ["n2", "n1"]
    assert made[6][1]["other_config"]["vncpasswd"] == "x"
    assert made[7][1:] == ["VM-1", True]


def test_a_new_hvm_domain_that_is_only_registered(api: FakeXenApi, xm: Xm, tmp_path: Path) -> None:
    file = tmp_path / "guest"
    file.write_text(
        'name = "new"\nbuilder = "hvm"\nkernel = "/proc/version"\nmemory = 64\nboot = "dc"\n'
        'vnc = 1\npae = 1\npci = ["03:10.2"]\n'
    )
    status, _, err = xm("new", str(file))
    assert (status, err) == (0, "")
    made = changes(api)
    assert made[0][0] == "VM.create"
    assert "VM.start" not in [call[0] for call in made]
    vm = made[0][1]
    assert (vm["HVM_boot_policy"], vm["HVM_boot_params"]) == ("BIOS order", {"order": "dc"})
    assert (vm["PV_kernel"], vm["platform"]["pae"], vm["other_config"]) == ("", "1", {})
    assert "DPCI.create" in [call[0] for call in made]


def test_nothing_is_left_of_a_domain_that_cannot_be_made(
    api: FakeXenApi, xm: Xm, tmp_path: Path
) -> None:
    file = tmp_path / "guest"
    file.write_text(GUEST.replace("xenbr1", "br9"))
    status, _, err = xm("create", str(file))
    assert (status, err) == (1, "Error: Network br9 doesn't exist\n")
    assert changes(api)[-2:] == [["VM.destroy", "VM-1"], ["VDI.destroy", "VDI-2"]]

    def refused(*_: Any) -> None:
        raise XenApiError("INTERNAL_ERROR", "no memory")

    api.methods["VM.start"] = refused
    file.write_text(GUEST)
    status, _, err = xm("create", str(file))
    assert (status, err) == (1, "Error: Internal error: no memory.\n")
    assert changes(api)[-1] == ["VM.destroy", "VM-1"]
