"""`(vm …)` of xm and of old clients into the model: shapes, defaults, errors."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xend.config import sxp
from xend.config.devicesxp import Maker
from xend.config.domainsxp import decode_managed, encode_domain, encode_managed
from xend.config.vmsxp import decode_vm
from xend.errors import ConfigError
from xend.model.devices import Disk, IoPorts, Irq, Pci, Vfb, Vif, Vkbd
from xend.model.domain import DomainConfig, DomainType, HostAction, ShutdownAction

MAKER = Maker(new_uuid=lambda: UUID(int=7), new_mac=lambda: "00:16:3e:00:00:07")


def vm(rest: str, *, image: str = "(image (linux (kernel /k)))") -> DomainConfig:
    text = f"(vm (name t) (memory 64) (vcpus 2) {image} {rest})"
    return decode_vm(sxp.parse_one(text), MAKER)


@pytest.mark.parametrize(
    "text", ["(image (linux (kernel /k) (a\udcff 1)))", "(image (linux (a (x\udcff))))"]
)
def test_settings_that_are_not_utf_8(text: str) -> None:
    """They would be lost, or no face could show them."""
    with pytest.raises(ConfigError, match="platform: text that is not UTF-8"):
        decode_vm(sxp.parse_one(f"(vm (name a) (memory 64) {text})"))


def test_numbers_may_come_as_numbers() -> None:
    tree: sxp.Value = ["vm", ["name", "t"], ["memory", 64], ["vcpus", 2], ["cpu_weight", 1.0]]
    config = decode_vm(tree)
    assert (config.memory, config.vcpus, config.cpu_weight) == (64 * 1024, 2, 1)


def test_what_is_left_out_is_made_up() -> None:
    config = vm("(device (vif))")
    assert config.uuid == UUID(int=7)
    assert config.vifs[0].mac == "00:16:3e:00:00:07"
    assert config.pool == "Pool-0"
    assert config.platform == {"tsc_mode": 0, "nomigrate": 0}
    assert (config.on_crash, config.on_xend_start) == (ShutdownAction.RESTART, HostAction.IGNORE)


def test_an_old_fully_virtualised_domain() -> None:
    image = (
        "(image (hvm (kernel /usr/lib/xen/boot/hvmloader) (vcpus 2) (boot dc) (acpi 1)"
        " (cdrom /root/boot.iso) (parallel none) (serial (none /dev/ttyS1)) (keymap '')"
        " (vnc 1) (vncunused 0) (vncdisplay 6)))"
    )
    config = vm("(localtime 0) (device (vbd (dev hdc:cdrom) (mode r)))", image=image)
    assert config.type is DomainType.HVM
    assert config.kernel == ""
    assert config.platform["serial"] == ["none", "/dev/ttyS1"]
    assert config.platform["cdrom"] == "/root/boot.iso"
    assert "keymap" not in config.platform
    assert (config.platform["acpi"], config.platform["timer_mode"]) == (1, 1)
    assert (config.vfbs[0].vncdisplay, config.vfbs[0].vncunused) == (6, False)
    assert (config.disks[0].vdev, config.disks[0].device_type) == ("hdc", "cdrom")


def test_a_firmware_of_its_own_is_kept() -> None:
    config = vm("", image="(image (hvm (kernel /opt/hvmloader) (boot c)))")
    assert config.platform["loader"] == "/opt/hvmloader"
    direct = vm("", image="(image (hvm (kernel /boot/vmlinuz) (loader hvmloader) (boot c)))")
    assert (direct.kernel, "loader" in direct.platform) == ("/boot/vmlinuz", False)


def test_kernel_arguments() -> None:
    config = vm("", image="(image (linux (kernel /k) (ip 1.2.3.4::) (root /dev/x) (args 'a b')))")
    assert config.cmdline == "root=/dev/x ip=1.2.3.4:: a b"


@pytest.mark.parametrize(
    ("uname", "scheme", "path", "form"),
    [
        ("phy:/dev/x", "phy", "/dev/x", "raw"),
        ("file:/a:b", "file", "/a:b", "raw"),
        ("tap:aio:/x", "tap:aio", "/x", "raw"),
        ("tap:tapdisk:vhd:/x", "tap:tapdisk:vhd", "/x", "vhd"),
        ("tap2:qcow:/x", "tap2:qcow", "/x", "qcow"),
        ("", "", "", "empty"),
        ("/dev/disk/by-id/a:b", "", "/dev/disk/by-id/a:b", "raw"),
    ],
)
def test_unames(uname: str, scheme: str, path: str, form: str) -> None:
    kind = uname.partition(":")[0] if uname.startswith("tap") else "vbd"
    (disk,) = vm(f"(device ({kind} (uname '{uname}') (dev xvda) (mode w)))").disks
    assert (disk.scheme, disk.path, disk.format, disk.uname) == (scheme, path, form, uname)


def test_the_first_disk_is_booted_from() -> None:
    config = vm("(device (vbd (uname phy:a) (dev a))) (device (vbd (uname phy:b) (dev b)))")
    assert [disk.bootable for disk in config.disks] == [True, False]


def test_a_cd_replaces_the_one_in_the_same_drive() -> None:
    config = vm(
        "(device (vbd (uname file:/one.iso) (dev hdc:cdrom) (mode r)))"
        "(device (vbd (uname file:/two.iso) (dev hdc:cdrom) (mode r)))"
    )
    assert [disk.path for disk in config.disks] == ["/two.iso"]


def test_pci_functions() -> None:
    config = vm(
        "(device (pci (dev (domain 0x0001) (bus 0x0c) (slot 0x1b) (func 0x2) (vdevfn 0x100)"
        " (opts (msitranslate 1))) (dev (domain 0) (bus 1) (slot 0) (func 0) (vdevfn 0x28))))"
    )
    first, second = config.pcis
    assert (first.bdf, first.vslot, first.vfunc) == ("0001:0c:1b.2", None, 0)
    assert first.options == {"msitranslate": "1"}
    assert (second.bdf, second.vslot) == ("0000:01:00.0", 5)


def test_xms_quotes_around_an_interrupt() -> None:
    assert vm("(device (irq (irq \"'7'\")))").irqs[0].irq == 7


@pytest.mark.parametrize(
    ("rest", "affinity"),
    [
        ("(cpus 0-3,^1)", ((0, 2, 3), (0, 2, 3))),
        ("(cpus ('0' '1,2'))", ((0,), (1, 2))),
        ("(cpus (() ()))", ()),
        ("(cpus ((0 1) (2)))", ((0, 1), (2,))),
        ("(cpu 3)", ((3,), (3,))),
        ("(cpu 3) (cpus 1)", ((3, 1), (3, 1))),
    ],
)
def test_cpus(rest: str, affinity: tuple[tuple[int, ...], ...]) -> None:
    assert vm(rest).affinity == affinity


@pytest.mark.parametrize(
    ("rest", "field", "message"),
    [
        ("(cpus x)", "cpus", "cpus = x: invalid literal for int() with base 10: 'x'"),
        ("(cpus (1))", "cpus", "vcpus and the item number of cpus are not same"),
        ("(cpus 0-999999)", "cpus", "cpus = 0-999999: 0-999999: more than 4095 CPUs"),
        ("(maxmem 32)", "memory", "memory_dynamic_max must be less than or equal to"),
        ("(on_crash explode)", "on_crash", "Invalid event handling mode: crash"),
        ("(restart never)", "on_poweroff", "Invalid event handling mode: shutdown"),
        ("(on_xend_start now)", "on_xend_start", "on_xend_start: 'now' is not an action"),
        ("(shadow_memory much)", "shadow_memory", "shadow_memory: 'much' is not a whole number"),
        ("(uuid 12)", "uuid", "uuid: '12' is not a UUID"),
        ("(device (vtpm))", "device", "XendConfig: vtpm not a valid device type"),
        ("(device (vif (mac zz)))", "vif.mac", "vif.mac: 'zz' is not a MAC address"),
        ("(device (tap (uname tap:x:/y)))", "tap.uname", "tap:x not a valid disk type"),
        ("(device (vbd (dev xvda) (mode x)))", "disk.mode", "mode: 'x' is not the mode of a disk"),
        ("(device (pci (dev (bus zz))))", "pci.bus", "pci: bus: 'zz' is not hexadecimal"),
        ("(device (vfb (vncdisplay a)))", "vfb.vncdisplay", "vfb.vncdisplay: 'a' is not a whole"),
        ("(memory_sharing 1)", "memory_sharing", "memory_sharing can only be enabled for HVM"),
        (
            "(device (vbd (uname phy:a) (dev xvda))) (device (vbd (uname phy:b) (dev 51712)))",
            "disk.dev",
            'The device "51712" is already defined',
        ),
        (
            "(device (vbd (uname phy:a) (dev xvda))) (device (vbd (uname file:/dev/a) (dev b1)))"
            "(device (vbd (uname file:/dev/a) (dev xvdb)))",
            "disk.uname",
            'The file "/dev/a" is already used',
        ),
    ],
)
def test_errors_name_the_field(rest: str, field: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        vm(rest)
    assert str(caught.value).startswith(f"Invalid Configuration: {message}")
    assert caught.value.fields["field"] == field


def test_an_invalid_name() -> None:
    with pytest.raises(ConfigError) as caught:
        decode_vm(sxp.parse_one("(vm (name 'a b') (memory 1) (vcpus 1))"))
    assert (str(caught.value), caught.value.fields["field"]) == ("Invalid VM Name", "name")


@pytest.mark.parametrize("text", ["()", "x", "(pool)", "(vm (name (a)) (memory 1))", "(vm)"])
def test_what_is_no_configuration(text: str) -> None:
    with pytest.raises(ConfigError):
        decode_vm(sxp.parse_one(text))


NAMES = st.from_regex(r"[a-z][a-z0-9_.-]{0,10}", fullmatch=True)
TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
UUIDS = st.uuids()
MACS = st.from_regex(r"00:16:3e(:[0-9a-f]{2}){3}", fullmatch=True)
DISKS = st.builds(
    Disk,
    uuid=UUIDS,
    device_class=st.sampled_from(["vbd", "tap", "tap2"]),
    scheme=st.sampled_from(["tap:aio", "tap2:vhd"]),
    path=TEXTS,
    vdev=st.sampled_from(["xvda", "hdc", "51712", "sda1"]),
    access=st.sampled_from(["r", "w", "w!"]),
    device_type=st.sampled_from(["disk", "cdrom"]),
    backend=NAMES | st.just(""),
    bootable=st.booleans(),
    script=TEXTS,
    qdisk=st.booleans(),
)
VIFS = st.builds(Vif, uuid=UUIDS, mac=MACS, bridge=NAMES, ip=TEXTS, rate=TEXTS)
VFBS = st.builds(
    Vfb,
    uuid=UUIDS,
    type=st.sampled_from(["vnc", "sdl"]),
    vncdisplay=st.none() | st.integers(0, 99),
    vncunused=st.booleans(),
    vncpasswd=TEXTS,
    keymap=NAMES,
)
PCIS = st.builds(
    Pci,
    uuid=UUIDS,
    domain=st.integers(0, 0xFFFF),
    bus=st.integers(0, 0xFF),
    slot=st.integers(0, 0x1F),
    func=st.integers(0, 7),
    vslot=st.none() | st.integers(0, 0x1F),
    options=st.dictionaries(NAMES, NAMES, max_size=2),
)
JSON = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXTS | st.lists(TEXTS)


def few(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, max_size=2).map(tuple)


CONFIGS = st.builds(
    DomainConfig,
    name=NAMES,
    uuid=UUIDS,
    type=st.sampled_from(DomainType),
    description=TEXTS,
    memory=st.integers(1, 2**30),
    maxmem=st.just(0) | st.just(2**31),
    vcpus=st.integers(1, 64),
    vcpus_online=st.none() | st.integers(1, 64),
    cpu_weight=st.integers(1, 65535),
    cpu_cap=st.integers(0, 400),
    pool=NAMES,
    kernel=TEXTS,
    ramdisk=TEXTS,
    cmdline=TEXTS,
    bootloader=TEXTS,
    on_poweroff=st.sampled_from(ShutdownAction),
    on_xend_stop=st.sampled_from(HostAction),
    features=TEXTS,
    platform=st.dictionaries(st.sampled_from(["acpi", "boot", "loader", "new_thing"]), JSON),
    other=st.dictionaries(st.sampled_from(["target", "anything"]), JSON, max_size=2),
    disks=few(DISKS),
    vifs=few(VIFS),
    vfbs=few(VFBS),
    vkbds=few(st.builds(Vkbd, uuid=UUIDS)),
    pcis=few(PCIS),
    ioports=few(st.builds(IoPorts, uuid=UUIDS, first=st.integers(0, 9), last=st.integers(0, 9))),
    irqs=few(st.builds(Irq, uuid=UUIDS, irq=st.integers(0, 255))),
)


@settings(max_examples=60, deadline=None)
@given(CONFIGS)
def test_config_sxp_loses_nothing_whatever_the_configuration(config: DomainConfig) -> None:
    assert decode_managed(encode_managed(config)) == config


@settings(max_examples=60, deadline=None)
@given(CONFIGS)
def test_every_configuration_can_be_shown(config: DomainConfig) -> None:
    tree = encode_domain(config, devices=True)
    assert sxp.child_value(tree, "name") == config.name
    sxp.parse_one(sxp.show(tree))
