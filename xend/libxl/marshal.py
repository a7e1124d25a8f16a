"""`DomainConfig` → libxl's JSON of a domain.  Pure: no libxl, no input or output.

What libxl does by itself is left to it: a `tap:aio:` or `file:` disk names no backend, since
libxl chooses phy with the block script and a loop device (libxl_device.c).  on_poweroff and the
rest are written down for other toolstacks to see; libxl acts on none of them.
"""

from __future__ import annotations

import shlex
from typing import Any

from xend.errors import ConfigError, UnsupportedFeature
from xend.libxl import schema
from xend.libxl.marshal_devices import disk, network, passthrough, screen, screen_info
from xend.model.domain import DomainConfig, DomainType, ShutdownAction

DEFAULT_POOL = "Pool-0"
_ANY_CPU = 256
"""As many CPUs as "any" stands for when other vcpus of the domain are bound."""

ACTIONS = {
    ShutdownAction.RESTART: "restart",
    ShutdownAction.RENAME_RESTART: "restart_rename",
    ShutdownAction.PRESERVE: "preserve",
    ShutdownAction.COREDUMP_DESTROY: "coredump_destroy",
    ShutdownAction.COREDUMP_RESTART: "coredump_restart",
    ShutdownAction.SOFT_RESET: "soft_reset",
}
"""Without destroy: it is libxl's default, and defaults do not come back out of libxl."""

_HVM_SWITCHES = ("pae", "nx", "viridian", "hpet", "vpt_align", "acpi_s3", "acpi_s4", "usb")
_HVM_TEXTS = ("boot", "serial", "usbdevice", "soundhw", "keymap")
_COMMON_SWITCHES = ("acpi", "apic", "localtime")
_TSC_MODES = ("", "always_emulate", "native", "native_paravirt")
_TIMER_MODES = (
    "delay_for_missed_ticks",
    "no_delay_for_missed_ticks",
    "no_missed_ticks_pending",
    "one_missed_tick_pending",
)


def defbool(value: Any) -> str:
    """libxl's spelling in JSON of a three-valued boolean; accepts what old configs hold."""
    return "True" if value not in (0, "0", False, "no", "false", "", None) else "False"


def domain(config: DomainConfig) -> dict[str, Any]:
    """The JSON that `libxl_domain_config_from_json` takes, checked.

    Raises ConfigError (naming the setting) and UnsupportedFeature (devices that libxl lacks).
    """
    for device in config.other_devices:
        raise UnsupportedFeature(
            feature=f"A device of class {device.device_class}",
            reason="Xen's current toolstack cannot attach it",
            instead="a configuration without that device",
        )
    tree: dict[str, Any] = {"c_info": _create_info(config), "b_info": _build_info(config)}
    lists = {
        "disks": [disk(each) for each in config.disks],
        "nics": [network(each, number) for number, each in enumerate(config.vifs)],
        "pcidevs": [passthrough(each) for each in config.pcis],
    }
    if config.type is not DomainType.HVM:
        lists["vfbs"] = [screen(each, number) for number, each in enumerate(config.vfbs)]
        keyboards = max(len(config.vfbs), len(config.vkbds))
        lists["vkbs"] = [{"devid": number} for number in range(keyboards)]
    tree.update({key: devices for key, devices in lists.items() if devices})
    for when in ("on_poweroff", "on_reboot", "on_crash"):
        if getattr(config, when) in ACTIONS:
            tree[when] = ACTIONS[getattr(config, when)]
    schema.check(tree)
    return tree


def ignored_settings(config: DomainConfig) -> list[str]:
    """Settings that libxl has no place for: a create goes on without them, but says so."""
    known = {*_HVM_SWITCHES, *_HVM_TEXTS, *_COMMON_SWITCHES, *_PLATFORM_ELSEWHERE}
    ignored = sorted(f"platform.{name}" for name in config.platform if name not in known)
    return ignored + (["features"] if config.features else [])


_PLATFORM_ELSEWHERE = (
    "device_model",
    "hap",
    "nomigrate",
    "rtc_timeoffset",
    "stdvga",
    "timer_mode",
    "tsc_mode",
    "videoram",
    "xen_platform_pci",
)


def _create_info(config: DomainConfig) -> dict[str, Any]:
    info: dict[str, Any] = {
        "type": config.type.value,
        "name": config.name,
        "uuid": str(config.uuid),
    }
    if config.pool not in ("", DEFAULT_POOL):
        info["pool_name"] = config.pool
    if config.type is not DomainType.PV and "hap" in config.platform:
        info["hap"] = defbool(config.platform["hap"])
    return info


def _build_info(config: DomainConfig) -> dict[str, Any]:
    online = config.vcpus if config.vcpus_online is None else config.vcpus_online
    info: dict[str, Any] = {
        "max_vcpus": config.vcpus,
        "avail_vcpus": list(range(min(online, config.vcpus))),
        "max_memkb": config.max_memory,
        "target_memkb": config.memory,
    }
    if config.shadow_memory:
        info["shadow_memkb"] = config.shadow_memory
    if any(config.affinity):
        info["vcpu_hard_affinity"] = _affinity(config)
        info["numa_placement"] = "False"
    schedule = {}
    if config.cpu_weight != 256:
        schedule["weight"] = config.cpu_weight
    if config.cpu_cap:
        schedule["cap"] = config.cpu_cap
    if schedule:
        info["sched_params"] = schedule
    if config.ioports:
        info["ioports"] = [
            {"first": each.first, "number": each.last - each.first + 1} for each in config.ioports
        ]
    if config.irqs:
        info["irqs"] = [each.irq for each in config.irqs]
    info |= _boot(config) | _platform(config)
    info[f"type.{config.type.value}"] = _hvm(config) if config.type is DomainType.HVM else {}
    return info


def _affinity(config: DomainConfig) -> list[list[int]]:
    """One list per vcpu; a config that names fewer repeats them in turn, as the original did.
    A vcpu that may run anywhere has an empty list in ours; Xen drops CPUs that there are not."""
    rows = [sorted(set(row)) or list(range(_ANY_CPU)) for row in config.affinity]
    return [rows[vcpu % len(rows)] for vcpu in range(config.vcpus)]


def _boot(config: DomainConfig) -> dict[str, Any]:
    boot: dict[str, Any] = {}
    if config.kernel and not (config.type is DomainType.HVM and "hvmloader" in config.kernel):
        boot["kernel"] = config.kernel
    if config.ramdisk:
        boot["ramdisk"] = config.ramdisk
    if config.cmdline:
        boot["cmdline"] = config.cmdline
    if config.bootloader and config.type is not DomainType.HVM:
        boot["bootloader"] = config.bootloader
        if config.bootloader_args:
            try:
                boot["bootloader_args"] = shlex.split(config.bootloader_args)
            except ValueError as error:
                raise ConfigError(
                    f"bootargs: {error}", field="bootargs", value=config.bootloader_args
                ) from error
    return boot


def _platform(config: DomainConfig) -> dict[str, Any]:
    platform = config.platform
    common: dict[str, Any] = {
        name: defbool(platform[name]) for name in _COMMON_SWITCHES if name in platform
    }
    if "nomigrate" in platform:
        common["disable_migrate"] = defbool(platform["nomigrate"])
    if platform.get("rtc_timeoffset"):
        common["rtc_timeoffset"] = _number(platform, "rtc_timeoffset")
    for name, modes in (("tsc_mode", _TSC_MODES), ("timer_mode", _TIMER_MODES)):
        if platform.get(name) in (None, ""):
            continue
        number = _number(platform, name)
        if not 0 <= number < len(modes):
            raise ConfigError(
                f"{name} must be between 0 and {len(modes) - 1}", field=name, value=number
            )
        if modes[number] and (name == "tsc_mode" or config.type is DomainType.HVM):
            common[name] = modes[number]
    return common


def _hvm(config: DomainConfig) -> dict[str, Any]:
    platform = config.platform
    hvm: dict[str, Any] = {
        name: defbool(platform[name]) for name in _HVM_SWITCHES if name in platform
    }
    hvm |= {name: str(platform[name]) for name in _HVM_TEXTS if platform.get(name)}
    if "xen_platform_pci" in platform:
        hvm["xen_platform_pci"] = defbool(platform["xen_platform_pci"])
    if platform.get("stdvga"):
        hvm["vga"] = {"kind": "std" if defbool(platform["stdvga"]) == "True" else "cirrus"}
    hvm["vnc"] = {"enable": "False"}
    for vfb in config.vfbs:
        hvm |= screen_info(vfb)
    return hvm


def _number(platform: dict[str, Any], name: str) -> int:
    try:
        return int(platform[name])
    except (TypeError, ValueError):
        raise ConfigError(
            f"{name}: {platform[name]!r} is not a number", field=name, value=platform[name]
        ) from None
