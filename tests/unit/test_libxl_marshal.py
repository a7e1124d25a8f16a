"""DomainConfig to libxl's JSON and back, without libxl."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xend.errors import ConfigError, UnsupportedFeature
from xend.libxl import marshal, marshal_devices, unmarshal
from xend.model.devices import Disk, IoPorts, Irq, OtherDevice, Pci, Vfb, Vif
from xend.model.domain import DomainConfig, DomainType, ShutdownAction

ID = UUID("9f5b38cd-143d-77ce-6dd9-28541d89c02f")


def config(**more: Any) -> DomainConfig:
    fields: dict[str, Any] = {"name": "prospero", "uuid": ID, "memory": 256 * 1024}
    return DomainConfig(**(fields | more))


def test_pygrub_is_found_where_a_book_does_not_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = tmp_path / "pygrub"
    monkeypatch.setattr(marshal, "PYGRUB_PATHS", {str(book)})
    assert marshal.domain(config(bootloader=str(book)))["b_info"]["bootloader"] == "pygrub"
    book.touch()
    assert marshal.domain(config(bootloader=str(book)))["b_info"]["bootloader"] == str(book)


def test_the_quick_starts_domain() -> None:
    tree = marshal.domain(
        config(
            maxmem=256 * 1024,
            bootloader="/opt/pygrub",
            disks=(Disk(scheme="tap:aio", path="/var/lib/xen/images/p.img", vdev="xvda"),),
            vifs=(Vif(mac="00:16:3E:63:B7:A0", bridge="xenbr0"),),
        )
    )
    assert tree["c_info"] == {"type": "pv", "name": "prospero", "uuid": str(ID)}
    assert tree["b_info"]["bootloader"] == "/opt/pygrub"
    assert tree["b_info"]["max_memkb"] == tree["b_info"]["target_memkb"] == 262144
    assert tree["disks"] == [
        {
            "vdev": "xvda",
            "format": "raw",
            "readwrite": 1,
            "pdev_path": "/var/lib/xen/images/p.img",
        }
    ], "no backend: libxl takes the block script and a loop device"
    assert tree["nics"] == [{"devid": 0, "mac": "00:16:3e:63:b7:a0", "bridge": "xenbr0"}]
    assert "vfbs" not in tree
    assert tree["on_reboot"] == tree["on_crash"] == "restart"
    assert "on_poweroff" not in tree, "a default would not come back out of libxl"


@pytest.mark.parametrize(
    ("scheme", "form", "backend"),
    [
        ("phy", "raw", None),
        ("file", "raw", None),
        ("tap:aio", "raw", None),
        ("", "raw", None),
        ("tap2:qcow2", "qcow2", "qdisk"),
        ("tap:qcow", "qcow", "qdisk"),
        ("tap2:vhd", "vhd", "qdisk"),
    ],
)
def test_disk_schemes(scheme: str, form: str, backend: str | None) -> None:
    tree = marshal_devices.disk(Disk(scheme=scheme, path="/x", vdev="/dev/xvda"))
    assert (tree["format"], tree.get("backend"), tree["vdev"]) == (form, backend, "xvda")


def test_cdrom_and_read_only_disks() -> None:
    empty = marshal_devices.disk(Disk(vdev="hdc", device_type="cdrom"))
    assert empty == {
        "vdev": "hdc",
        "format": "empty",
        "readwrite": 0,
        "is_cdrom": 1,
        "removable": 1,
    }
    assert marshal_devices.disk(Disk(path="/x", vdev="xvdb", access="r"))["readwrite"] == 0


@pytest.mark.parametrize(
    ("text", "amount", "window"),
    [
        ("10Mb/s", 62_500, 50_000),
        ("1GB/s@10ms", 10_000_000, 10_000),
        ("250KB/s@20ms", 5_000, 20_000),
        ("800b/s@1s", 100, 1_000_000),
    ],
)
def test_rates(text: str, amount: int, window: int) -> None:
    assert marshal_devices.rate(text) == {
        "rate_bytes_per_interval": amount,
        "rate_interval_usecs": window,
    }


@pytest.mark.parametrize("text", ["fast", "10", "10Mb", "10Mb/s@", "1b/s@5000s", "0Mb/s"])
def test_wrong_rates_are_named(text: str) -> None:
    with pytest.raises(ConfigError, match="rate"):
        marshal_devices.rate(text)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("xvda", 51712),
        ("xvda1", 51713),
        ("xvdb", 51728),
        ("xvdp15", 51967),
        ("xvdq", (1 << 28) | (16 << 8)),
        ("sda", 2048),
        ("sdb2", 2066),
        ("hda", 768),
        ("hdb", 832),
        ("hdc1", 5633),
        ("51712", 51712),
        ("/dev/xvda", 51712),
    ],
)
def test_disk_numbers(name: str, number: int) -> None:
    assert marshal_devices.disk_number(name) == number


@pytest.mark.parametrize("name", ["", "floppy", "xvd", "hdz99", "sdzz"])
def test_names_without_a_number(name: str) -> None:
    with pytest.raises(ConfigError):
        marshal_devices.disk_number(name)


def test_bootloader_arguments_are_split_as_a_shell_does() -> None:
    tree = marshal.domain(config(bootloader="pygrub", bootloader_args='-q --entry "a b"'))
    assert tree["b_info"]["bootloader_args"] == ["-q", "--entry", "a b"]
    with pytest.raises(ConfigError, match="bootargs"):
        marshal.domain(config(bootloader="pygrub", bootloader_args='"open'))


def test_screens_bring_keyboards() -> None:
    tree = marshal.domain(config(vfbs=(Vfb(vnclisten="0.0.0.0", vncpasswd="s", vncdisplay=3),)))
    assert tree["vkbs"] == [{"devid": 0}]
    assert tree["vfbs"][0]["vnc"] == {
        "enable": "True",
        "findunused": "True",
        "listen": "0.0.0.0",
        "passwd": "s",
        "display": 3,
    }
    sdl = marshal.domain(config(vfbs=(Vfb(type="sdl", opengl=True),)))["vfbs"][0]
    assert sdl["sdl"]["enable"] == "True" and sdl["vnc"] == {"enable": "False"}


def test_vcpus_affinity_and_schedule() -> None:
    tree = marshal.domain(
        config(vcpus=3, vcpus_online=2, affinity=((1, 0), ()), cpu_weight=512, cpu_cap=50)
    )["b_info"]
    assert tree["avail_vcpus"] == [0, 1]
    assert tree["vcpu_hard_affinity"][0] == [0, 1]
    assert len(tree["vcpu_hard_affinity"][1]) == 256
    assert tree["vcpu_hard_affinity"][2] == [0, 1]
    assert tree["sched_params"] == {"weight": 512, "cap": 50}
    assert "sched_params" not in marshal.domain(config())["b_info"]


def test_hvm_settings() -> None:
    tree = marshal.domain(
        config(
            type=DomainType.HVM,
            kernel="/usr/lib/xen/boot/hvmloader",
            platform={"acpi": 1, "pae": "1", "boot": "dc", "stdvga": 0, "tsc_mode": 2, "hap": 0},
            vfbs=(Vfb(),),
        )
    )
    assert "kernel" not in tree["b_info"] and "vfbs" not in tree
    hvm = tree["b_info"]["type.hvm"]
    assert hvm["pae"] == "True" and hvm["boot"] == "dc" and hvm["vnc"]["enable"] == "True"
    assert tree["b_info"]["acpi"] == "True" and tree["b_info"]["tsc_mode"] == "native"
    assert tree["c_info"]["hap"] == "False"


def test_what_libxl_has_no_place_for_is_said() -> None:
    odd = config(platform={"acpi": 1, "guest_os_type": "default"}, features="pae")
    assert marshal.ignored_settings(odd) == ["platform.guest_os_type", "features"]
    assert marshal.ignored_settings(config()) == []


def test_devices_that_cannot_be_attached_are_refused() -> None:
    with pytest.raises(UnsupportedFeature, match="vscsi"):
        marshal.domain(config(other_devices=(OtherDevice(device_class="vscsi", sxp="()"),)))


def test_wrong_modes_are_named() -> None:
    with pytest.raises(ConfigError, match="tsc_mode"):
        marshal.domain(config(platform={"tsc_mode": 9}))
    with pytest.raises(ConfigError, match="rtc_timeoffset"):
        marshal.domain(config(platform={"rtc_timeoffset": "soon"}))


ACTIONS = st.sampled_from(list(ShutdownAction))
NAMES = st.text("abcXYZ019-_.", min_size=1, max_size=20)


@given(
    name=NAMES,
    memory=st.integers(1, 2**40),
    extra=st.integers(0, 2**20),
    vcpus=st.integers(1, 64),
    weight=st.integers(1, 65535),
    poweroff=ACTIONS,
    crash=ACTIONS,
    cmdline=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40),
)
def test_a_configuration_survives_the_way_through_json(
    name: str,
    memory: int,
    extra: int,
    vcpus: int,
    weight: int,
    poweroff: ShutdownAction,
    crash: ShutdownAction,
    cmdline: str,
) -> None:
    wanted = config(
        name=name,
        memory=memory,
        maxmem=memory + extra,
        vcpus=vcpus,
        cpu_weight=weight,
        on_poweroff=poweroff,
        on_crash=crash,
        kernel="/boot/k",
        cmdline=cmdline,
        disks=(Disk(scheme="phy", path="/dev/vg/x", vdev="xvda", access="r"),),
        vifs=(Vif(mac="00:16:3e:00:00:01", bridge="br0", script="vif-route", ip="10.0.0.2"),),
        vfbs=(Vfb(vnclisten="::1"),),
        pcis=(Pci(bus=2, slot=3, func=1, vslot=5, options={"permissive": "1"}),),
        ioports=(IoPorts(first=0x3F8, last=0x3FF),),
        irqs=(Irq(irq=7),),
    )
    back = unmarshal.domain(marshal.domain(wanted))
    assert back.model_copy(update={"vkbds": ()}) == wanted


def test_a_foreign_configuration_with_nothing_in_it_is_an_error() -> None:
    with pytest.raises(ConfigError):
        unmarshal.domain({"c_info": {"type": "pv"}, "b_info": {}})


def test_defaults_of_libxl_are_understood() -> None:
    tree = {
        "c_info": {"type": "pv", "name": "x", "uuid": str(ID), "domid": 4294967295},
        "b_info": {
            "max_vcpus": 1,
            "avail_vcpus": [0],
            "max_memkb": 65536,
            "target_memkb": 65536,
            "shadow_memkb": 2**64 - 1,
            "sched_params": {"sched": "credit2", "weight": -1},
            "type.pv": {"kernel": "/old/place"},
        },
    }
    found = unmarshal.domain(tree)
    assert (found.kernel, found.shadow_memory, found.cpu_weight) == ("/old/place", 0, 256)
    assert found.on_reboot is ShutdownAction.DESTROY
