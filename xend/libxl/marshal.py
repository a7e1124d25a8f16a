"""`DomainConfig` → libxl's JSON of a domain.  Pure: no libxl, no input or output.

What libxl does by itself is left to it: a `tap:aio:` or `file:` disk names no backend, since
libxl chooses phy with the block script and a loop device (libxl_device.c).  on_poweroff and the
rest are written down for other toolstacks to see; libxl acts on none of them.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from xend.core.validate import PYGRUB_PATHS
from xend.errors import ConfigError, UnsupportedFeature
from xend.libxl import schema
from xend.libxl.marshal_devices import (
    disk,
    keyboard,
    network,
    passthrough,
    screen,
    screen_info,
)
from xend.libxl.marshal_peripherals import peripherals, virtual_node
from xend.libxl.marshal_platform import cpuid, has_place, place_platform
from xend.model.devices import Vfb, Vkbd
from xend.model.domain import DomainConfig, DomainType, ShutdownAction
from xend.model.pools import DEFAULT_POOL

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


def domain(config: DomainConfig) -> dict[str, Any]:
    """The JSON that `libxl_domain_config_from_json` takes, checked.

    Raises ConfigError (naming the setting) and UnsupportedFeature (devices that libxl lacks).
    """
    for device in config.other_devices:
        if device.device_class == "console":
            continue  # old configurations name them; libxl makes them by itself
        raise UnsupportedFeature(
            feature=f"A device of class {device.device_class}",
            reason="Xen's current toolstack cannot attach it",
            instead="a configuration without that device",
        )
    tree: dict[str, Any] = {"c_info": _create_info(config), "b_info": _build_info(config)}
    place_platform(tree, config)
    lists = {
        "disks": [disk(each) for each in config.disks],
        "nics": [network(each, number) for number, each in enumerate(config.vifs)],
        "pcidevs": [passthrough(each) for each in config.pcis],
    }
    lists["vfbs"] = [screen(each, number) for number, each in enumerate(_frame_buffers(config))]
    lists["vkbs"] = [keyboard(each, number) for number, each in enumerate(_keyboards(config))]
    tree.update({key: devices for key, devices in lists.items() if devices})
    tree.update(peripherals(config))
    for when in ("on_poweroff", "on_reboot", "on_crash", "on_watchdog", "on_soft_reset"):
        if getattr(config, when) in ACTIONS:
            tree[when] = ACTIONS[getattr(config, when)]
    schema.check(tree)
    return tree


def ignored_settings(config: DomainConfig) -> list[str]:
    """Settings that libxl has no place for: a create goes on without them, but says so."""
    ignored = sorted(f"platform.{name}" for name in config.platform if not has_place(name))
    return ignored + (["features"] if config.features else [])


def _frame_buffers(config: DomainConfig) -> list[Vfb]:
    """What an HVM guest's emulated card shows is no frame buffer."""
    return [each for each in config.vfbs if config.type is not DomainType.HVM or each.paravirtual]


def _keyboards(config: DomainConfig) -> list[Vkbd]:
    """One for each frame buffer, and those of xl's `vkb`; an HVM guest has an emulated one."""
    wanted = len(_frame_buffers(config))
    if config.type is DomainType.HVM:
        plain = [each for each in config.vkbds if not each.backend_type]
        others = [each for each in config.vkbds if each.backend_type]
        return [*(plain + [Vkbd()] * wanted)[:wanted], *others]
    return [*config.vkbds, *(Vkbd() for _ in range(wanted - len(config.vkbds)))]


def _create_info(config: DomainConfig) -> dict[str, Any]:
    info: dict[str, Any] = {
        "type": config.type.value,
        "name": config.name,
        "uuid": str(config.uuid),
    }
    if config.pool not in ("", DEFAULT_POOL):
        info["pool_name"] = config.pool
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
        hard = info["vcpu_hard_affinity"] = _affinity(config.affinity, config.vcpus)
        # As xl: not when one mask is meant for all (parse_vcpu_affinity); libxl asks for neither.
        if len(hard) < config.vcpus or any(row != hard[0] for row in hard):
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
    if config.iomem:
        info["iomem"] = [each.model_dump(exclude_none=True) for each in config.iomem]
    policies = cpuid(config)
    if policies:
        info["cpuid"] = policies
    info |= _boot(config) | _numa(config)
    info[f"type.{config.type.value}"] = _hvm(config) if config.type is DomainType.HVM else {}
    return info


def _numa(config: DomainConfig) -> dict[str, Any]:
    """Soft affinity and the guest's own nodes."""
    info: dict[str, Any] = {}
    if any(config.affinity_soft):
        info["vcpu_soft_affinity"] = _affinity(config.affinity_soft, config.vcpus)
        info["numa_placement"] = "False"
    if config.vnuma:
        info["vnuma_nodes"] = [virtual_node(each) for each in config.vnuma]
        if any(each.pnode is not None for each in config.vnuma):
            info["numa_placement"] = "False"
    return info


def _affinity(wanted: tuple[tuple[int, ...], ...], vcpus: int) -> list[list[int]]:
    """One list per vcpu; a config that names fewer repeats them in turn, as the original did.
    A vcpu that may run anywhere has an empty list in ours; Xen drops CPUs that there are not.
    The last of those are left out: libxl leaves vcpus without a list alone."""
    rows = [tuple(sorted(set(wanted[vcpu % len(wanted)]))) for vcpu in range(vcpus)]
    while rows and not rows[-1]:
        rows.pop()
    return [list(row or range(_ANY_CPU)) for row in rows]


def _boot(config: DomainConfig) -> dict[str, Any]:
    boot: dict[str, Any] = {}
    if config.kernel and not (config.type is DomainType.HVM and "hvmloader" in config.kernel):
        boot["kernel"] = config.kernel
    if config.ramdisk:
        boot["ramdisk"] = config.ramdisk
    if config.cmdline:
        boot["cmdline"] = config.cmdline
    if config.bootloader and config.type is not DomainType.HVM:
        boot["bootloader"] = _present(config.bootloader)
        if config.bootloader_args:
            try:
                boot["bootloader_args"] = shlex.split(config.bootloader_args)
            except ValueError as error:
                raise ConfigError(
                    f"bootargs: {error}", field="bootargs", value=config.bootloader_args
                ) from error
    return boot


def _present(bootloader: str) -> str:
    """pygrub's bare name where a file names a place that this host's Xen does not put it in.

    libxl looks for that in its own folder (libxl_bootloader.c); Debian 13 has no /usr/bin/pygrub.
    """
    return "pygrub" if bootloader in PYGRUB_PATHS and not Path(bootloader).exists() else bootloader


def _hvm(config: DomainConfig) -> dict[str, Any]:
    hvm: dict[str, Any] = {"vnc": {"enable": "False"}}
    for vfb in config.vfbs:
        if not vfb.paravirtual:
            hvm |= screen_info(vfb)
    return hvm
