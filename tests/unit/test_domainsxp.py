"""`(domain …)` from the model: the original's order; nothing lost on the way to disk and back."""

from __future__ import annotations

from uuid import UUID

from xend.config import sxp
from xend.config.devicesxp import Maker
from xend.config.domainsxp import Observed, decode_managed, encode_domain, encode_managed
from xend.config.vmsxp import decode_vm
from xend.model.domain import DomainConfig, HostAction, ShutdownAction

DEVICE = UUID("deadbeef-0000-4000-8000-000000000001")
MAKER = Maker(new_uuid=lambda: DEVICE, new_mac=lambda: "00:16:3e:00:00:07")

VM = """
(vm (name prospero) (memory 256) (maxmem 512) (on_poweroff destroy) (on_reboot restart)
    (on_crash preserve) (on_xend_start start) (on_xend_stop shutdown) (vcpus 2)
    (uuid 9f5b38cd-143d-77ce-6dd9-28541d89c02f) (cpus 0-1) (cpu_weight 512)
    (bootloader /usr/bin/pygrub) (bootloader_args -q)
    (image (linux (videoram 4) (args 'quiet splash') (tsc_mode 0) (nomigrate 0)))
    (device (tap (uname tap:aio:/images/prospero.img) (dev xvda) (mode w)))
    (device (vif (mac 00:16:3e:63:b7:a0) (bridge xenbr0))))
"""


def prospero() -> DomainConfig:
    return decode_vm(sxp.parse_one(VM), MAKER)


def as_set(device: sxp.Value) -> tuple[object, set[tuple[object, ...]]]:
    """`(device (class (key value)…))`: the keys were a dictionary's, so their order is none."""
    assert isinstance(device, list) and isinstance(device[1], list)
    assert device[0] == "device"
    name, *pairs = device[1]
    return name, {tuple(pair) for pair in pairs if isinstance(pair, list)}


def test_the_answer_of_a_running_domain() -> None:
    seen = Observed(
        domid=7, power_state=2, state="-b----", cpu_time=1.5, online_vcpus=2, memory=256
    )
    tree = encode_domain(prospero(), seen, devices=True, vcpu_avail=False)
    vif, tap = tree[-2:]
    del tree[-2:]
    assert as_set(vif) == (
        "vif",
        {
            ("bridge", "xenbr0"),
            ("mac", "00:16:3e:63:b7:a0"),
            ("backend", 0),
            ("uuid", str(DEVICE)),
        },
    )
    assert as_set(tap) == (
        "tap",
        {
            ("uname", "tap:aio:/images/prospero.img"),
            ("uuid", str(DEVICE)),
            ("bootable", 1),
            ("dev", "xvda:disk"),
            ("mode", "w"),
            ("backend", 0),
            ("VDI", ""),
        },
    )
    shown = sxp.pretty(tree)
    assert shown == (
        "(domain\n"
        "    (domid 7)\n"
        "    (cpu_weight 512)\n"
        "    (cpu_cap 0)\n"
        "    (pool_name Pool-0)\n"
        "    (bootloader /usr/bin/pygrub)\n"
        "    (vcpus 2)\n"
        "    (cpus ((0 1) (0 1)))\n"
        "    (on_poweroff destroy)\n"
        "    (description '')\n"
        "    (on_crash preserve)\n"
        "    (uuid 9f5b38cd-143d-77ce-6dd9-28541d89c02f)\n"
        "    (bootloader_args -q)\n"
        "    (name prospero)\n"
        "    (on_reboot restart)\n"
        "    (maxmem 512)\n"
        "    (memory 256)\n"
        "    (shadow_memory 0)\n"
        "    (features '')\n"
        "    (on_xend_start start)\n"
        "    (on_xend_stop shutdown)\n"
        "    (cpu_time 1.5)\n"
        "    (online_vcpus 2)\n"
        "    (image\n"
        "        (linux\n"
        "            (kernel '')\n"
        "            (args 'quiet splash')\n"
        "            (superpages 0)\n"
        "            (videoram 4)\n"
        "            (nomigrate 0)\n"
        "            (tsc_mode 0)\n"
        "        )\n"
        "    )\n"
        "    (status 2)\n"
        "    (state -b----)\n"
        ")\n"
    )


def test_without_devices_there_are_none() -> None:
    tree = encode_domain(prospero(), devices=False)
    assert sxp.children(tree, "device") == []
    assert sxp.child_value(tree, "status") == 0
    assert sxp.child(tree, "domid") is None


def test_config_sxp_and_back_loses_nothing() -> None:
    config = prospero()
    text = encode_managed(config)
    assert decode_managed(text, MAKER) == config
    assert encode_managed(decode_managed(text, MAKER)) == text
    assert config.on_crash is ShutdownAction.PRESERVE
    assert config.on_xend_start is HostAction.START


def test_config_sxp_has_the_names_of_both_dialects() -> None:
    tree = sxp.parse_one(encode_managed(prospero()))
    assert sxp.child_value(tree, "name_label") == "prospero"
    assert sxp.child_value(tree, "name") == "prospero"
    assert sxp.child_value(tree, "memory_static_max") == str(512 << 20)
    assert sxp.child_value(tree, "maxmem") == "512"
