"""The model as a file of xl: what is written is read again, by the reader of such files."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.configurations import MACS, NAMES, PERIPHERALS, PLAIN, UUIDS, few, platforms
from xend.config.xlcfg import read
from xend.config.xltext import XlText, list_of
from xend.config.xlwrite import text_of
from xend.libxl import marshal
from xend.libxl.marshal_platform import OF_THE_SCREEN
from xend.model.devices import Disk, Pci, Vfb, Vif
from xend.model.domain import DomainConfig, DomainType, ShutdownAction
from xend.model.peripherals import UsbController
from xend.model.platform import PLATFORM

UUID = "12345678-1234-1234-1234-123456789abc"
WORDS = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_/.-]{0,9}", fullmatch=True)
DISKS = st.builds(
    Disk,
    path=WORDS.map(lambda word: f"/{word}"),
    vdev=st.sampled_from(["xvda", "hdc", "xvdb1"]),
    access=st.sampled_from(["r", "w"]),
    image_format=st.sampled_from(["raw", "qcow2", "vhd"]),
    script=st.just("") | WORDS,
    backend=st.just("") | NAMES,
    discard=st.sampled_from([None, True, False]),
    direct_io_safe=st.booleans(),
)
VIFS = st.builds(
    Vif,
    mac=MACS,
    bridge=NAMES,
    script=st.just("") | WORDS,
    ip=st.just("") | st.just("10.0.0.1"),
    model=st.just("") | st.just("e1000"),
    rate=st.sampled_from(["", "10Mb/s@20ms"]),
    mtu=st.none() | st.integers(68, 9000),
)
PCIS = st.builds(
    Pci,
    domain=st.integers(0, 0xFFFF),
    bus=st.integers(0, 0xFF),
    slot=st.integers(0, 0x1F),
    func=st.integers(0, 7),
    options=st.fixed_dictionaries({}, optional={"permissive": st.just("1")}),
)
OF_XL = [
    row
    for row in PLATFORM
    if row.setting.xl
    and row.setting.libxl
    and row.name not in OF_THE_SCREEN
    and row.name not in ("videoram", "stdvga", "loader", "bios", "usbversion", "usb", "vga", "rdm")
    and row.name != "apic"  # xl reads it for HVM only, and libxl asks for it there only
    and row.name not in ("gic_version", "vuart", "tee", "device_tree", "altp2mhvm", "acpi_firmware")
    and not row.name.startswith("spice")
]
SIMPLE = {name: PERIPHERALS[name] for name in ("p9s", "pvcallsifs", "dtdevs", "iomem")} | {
    "usbctrls": few(st.builds(UsbController, version=st.integers(1, 3), ports=st.integers(1, 31)))
}


def again(config: DomainConfig) -> DomainConfig:
    text = XlText(config).text({}, [])
    return read(text, filename="again").config


@settings(max_examples=30, deadline=None, phases=[Phase.generate])
@given(
    st.builds(
        DomainConfig,
        name=NAMES,
        uuid=UUIDS,
        type=st.sampled_from(DomainType),
        memory=st.integers(64, 4096).map(lambda mib: mib * 1024),
        vcpus=st.integers(1, 8),
        vcpus_online=st.none() | st.integers(1, 8),
        affinity=st.just(()) | st.just(((0, 1), (2,))),
        cpu_weight=st.integers(1, 65535),
        cpu_cap=st.integers(0, 400),
        pool=NAMES,
        kernel=PLAIN,
        cmdline=PLAIN,
        on_poweroff=st.sampled_from(ShutdownAction),
        on_crash=st.sampled_from(ShutdownAction),
        on_watchdog=st.sampled_from(ShutdownAction),
        platform=platforms(OF_XL),
        disks=st.lists(DISKS, max_size=2, unique_by=lambda disk: disk.vdev).map(tuple),
        vifs=st.lists(VIFS, max_size=2, unique_by=lambda vif: vif.mac).map(tuple),
        pcis=few(PCIS),
        **SIMPLE,
    )
)
def test_xl_would_build_the_same_domain(config: DomainConfig) -> None:
    """Compared as libxl is told of it, since a file has no words for the model's spellings."""
    read_again = marshal.domain(again(config))
    meant = marshal.domain(config)
    for tree in (read_again, meant):  # a display and e820_host are what xl adds by itself
        tree["b_info"][f"type.{config.kind}"].pop("vnc", None)
        tree["b_info"][f"type.{config.kind}"].pop("e820_host", None)
        # a file can only say that one is to be made up
        assert bool(tree["b_info"][f"type.{config.kind}"].pop("ms_vm_genid", None)) == (
            config.kind == "hvm" and "ms_vm_genid" in config.platform
        )
    assert read_again == meant


@settings(max_examples=200)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_any_text_can_be_written(text: str) -> None:
    lines = f"name = 'a'\nkernel = 'k'\nmemory = 64\ncmdline = {text_of(text)}\n"
    assert read(lines, filename="x").config.cmdline == text


def test_lists_are_one_entry_a_line() -> None:
    assert list_of([]) == "[ ]"
    assert list_of(["a"]) == '[ "a" ]'
    assert list_of(["a", "b"]) == '[\n    "a",\n    "b",\n]'


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"platform": {"vga": "std"}}, 'vga = "stdvga"'),
        ({"platform": {"device_model_version": "qemu_xen"}}, 'device_model_version = "qemu-xen"'),
        ({"platform": {"timer_mode": 1}}, 'timer_mode = "no_delay_for_missed_ticks"'),
        ({"vfbs": (Vfb(type="sdl"),)}, "vnc = 0"),
        ({"vfbs": (Vfb(vncdisplay=3),)}, "vncdisplay = 3"),
        ({}, "vnc = 0"),
    ],
)
def test_words_of_xl(given: dict[str, Any], line: str) -> None:
    config = DomainConfig(
        name="a",
        uuid=UUID,  # type: ignore[arg-type]
        type=DomainType.HVM,
        **given,
    )
    assert line in XlText(config).text({}, []).splitlines()


def test_what_a_file_cannot_say_is_told() -> None:
    config = DomainConfig(
        name="a",
        uuid=UUID,  # type: ignore[arg-type]
        features="pae",
        description="mine",
        platform={"isa": 1, "odd": 2},
        other={"target": 3},
    )
    assert [name for name, _ in XlText(config).lost] == [
        *("description", "features", "isa", "odd", "target"),
    ]
