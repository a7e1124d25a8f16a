"""`(domain …)`: what is answered about a domain, and what is kept of a managed one in config.sxp.

The order of the children is the original's: clients that read line by line rely on it
(`(domid N)` comes before `(name N)`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from xend.config import sxp
from xend.config.beyond import encode_beyond
from xend.config.deviceanswer import encode_device, encode_pcis
from xend.config.devicesxp import Maker
from xend.config.kept import showable
from xend.config.pydict import ordered
from xend.config.sxpkeys import (
    DEVICE_MODEL,
    DEVICE_ORDER,
    KEPT_DEFAULTS,
    LOADER,
    LONG_ORDER,
    PLATFORM_ORDER,
)
from xend.config.vmsxp import Decoder
from xend.model.devices import Device, Disk, OtherDevice
from xend.model.domain import DomainConfig, DomainType

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Observed:
    """What is seen of a domain; the defaults are those of a halted one."""

    domid: int | None = None
    power_state: int = 0
    state: str = ""
    """`r-----`; shown only with a domid."""
    start_time: float | None = None
    cpu_time: float | None = None
    """Seconds."""
    online_vcpus: int | None = None
    memory: int | None = None
    """MiB that it has; None: what it is configured with."""
    maxmem: int | None = None
    store_mfn: int | None = None
    console_mfn: int | None = None


def encode_domain(
    config: DomainConfig,
    observed: Observed | None = None,
    *,
    devices: bool,
    vcpu_avail: bool = True,
) -> list[sxp.Value]:
    """The short form.  On the wire `vcpu_avail` is left out: XML-RPC has no integer that wide."""
    observed = observed or Observed()
    tree: list[sxp.Value] = ["domain"]
    if observed.domid is not None:
        tree.append(["domid", observed.domid])
    tree += [["cpu_weight", config.cpu_weight], ["cpu_cap", config.cpu_cap]]
    tree += _common(config, observed, vcpu_avail=vcpu_avail)
    if devices:
        tree += devices_tree(config, running=observed.domid is not None)
    return tree + tail_tree(config)


def encode_managed(config: DomainConfig) -> str:
    """Text of config.sxp: the long form."""
    tree: list[sxp.Value] = ["domain"]
    long = _long(config)
    tree += [[name, long[name]] for name in LONG_ORDER if name in long]
    tree += _common(config, Observed(), vcpu_avail=True)
    tree += devices_tree(config, running=False)
    tree += tail_tree(config)
    again = Decoder(sxp.parse_one(sxp.show(tree)), Maker(), fresh=False).config()
    return sxp.pretty(tree + encode_beyond(config, again), sxp.CONFIG_WIDTH)


def decode_managed(text: str, maker: Maker | None = None) -> DomainConfig:
    """config.sxp of this xend or of the original.  Raises ConfigError."""
    return Decoder(sxp.parse_one(text), maker or Maker(), fresh=False).config()


def _common(config: DomainConfig, seen: Observed, *, vcpu_avail: bool) -> list[sxp.Value]:
    cpus: list[sxp.Value] = cpus_tree(config)
    tree: list[sxp.Value] = [
        ["pool_name", config.pool],
        ["bootloader", config.bootloader],
        ["vcpus", config.vcpus],
        ["cpus", cpus],
        ["on_poweroff", config.on_poweroff.value],
        ["description", config.description],
        ["on_crash", config.on_crash.value],
        ["uuid", str(config.uuid)],
        ["bootloader_args", config.bootloader_args],
        ["name", config.name],
        ["on_reboot", config.on_reboot.value],
        ["maxmem", _or(seen.maxmem, _mib(config.max_memory))],
        ["memory", _or(seen.memory, _mib(config.memory))],
        ["shadow_memory", config.shadow_memory // 1024],
    ]
    if vcpu_avail:
        tree.append(["vcpu_avail", online_mask(config)])
    tree += [
        ["features", config.features],
        ["on_xend_start", config.on_xend_start.value],
        ["on_xend_stop", config.on_xend_stop.value],
    ]
    for name in ("start_time", "cpu_time", "online_vcpus"):
        value = getattr(seen, name)
        if value is not None:
            tree.append([name, value])
    label = _kept(config).get("security_label")
    if label:
        tree.append(["security_label", label])
    tree.append(["image", image_tree(config)])
    tree.append(["status", seen.power_state])
    if seen.domid is not None:
        tree.append(["state", seen.state])
        for name in ("store_mfn", "console_mfn"):
            if getattr(seen, name) is not None:
                tree.append([name, getattr(seen, name)])
    return tree


def cpus_tree(config: DomainConfig) -> list[sxp.Value]:
    """The CPUs of each VCPU; an empty list for any."""
    affinity = config.affinity or ((),) * config.vcpus
    return [[*one] for one in affinity]


def _kept(config: DomainConfig) -> dict[str, Any]:
    return showable(config.other) if config.other else {}


def _mib(kib: int) -> int:
    """Rounded down, but never to nothing, which no reader accepts."""
    return max(1, kib // 1024)


def _or(seen: int | None, configured: int) -> int:
    return configured if seen is None else seen


def online_mask(config: DomainConfig) -> int:
    """`vcpu_avail`: a bit for each VCPU that is there from the start."""
    online = config.vcpus if config.vcpus_online is None else config.vcpus_online
    return int(_kept(config).get("vcpu_avail", (1 << online) - 1))


def image_tree(config: DomainConfig) -> list[sxp.Value]:
    """`(linux (kernel …) …)`: how it boots, and its machine."""
    kind = "hvm" if config.type is DomainType.HVM else "linux"
    if config.type is DomainType.PVH:
        kind = "pvh"
    tree: list[sxp.Value] = [_kept(config).get("image_type", kind), ["kernel", config.kernel]]
    if config.ramdisk:
        tree.append(["ramdisk", config.ramdisk])
    if config.cmdline:
        tree.append(["args", config.cmdline])
    tree.append(["superpages", _kept(config).get("superpages", 0)])
    shown = _platform(config)
    tree += [[name, shown[name]] for name in PLATFORM_ORDER if name in shown]
    notes = _kept(config).get("notes")
    if notes:
        tree.append(["notes", *([name, value] for name, value in notes.items())])
    return tree


def _platform(config: DomainConfig) -> dict[str, Any]:
    """With the firmware and the device model that old clients expect to be told of."""
    shown = dict(config.platform)
    if config.type is DomainType.HVM:
        shown.setdefault("loader", LOADER)
    if config.type is DomainType.HVM or config.vfbs:
        shown.setdefault("device_model", DEVICE_MODEL)
    return shown


def devices_tree(config: DomainConfig, *, running: bool) -> list[sxp.Value]:
    """`(device …)`, by the classes' order."""
    every: list[Device] = [
        *config.disks,
        *config.vifs,
        *config.vfbs,
        *config.vkbds,
        *config.ioports,
        *config.irqs,
        *config.other_devices,
    ]
    tree: list[sxp.Value] = []
    for wanted in DEVICE_ORDER:
        if wanted == "pci" and config.pcis:
            uuid = str(_kept(config).get("pci_uuid", config.pcis[0].uuid or ""))
            tree.append(["device", encode_pcis(config.pcis, uuid)])
        for device in every:
            if _class_of(device) == wanted:
                tree.append(["device", encode_device(device, running=running)])
    return tree


def _class_of(device: Device) -> str:
    if isinstance(device, (Disk, OtherDevice)):
        return device.device_class
    return type(device).__name__.lower()


def tail_tree(config: DomainConfig) -> list[sxp.Value]:
    """What the original put at the very end."""
    tree: list[sxp.Value] = []
    for name in ("cpuid", "cpuid_check"):
        leaves = _kept(config).get(name)
        if leaves:
            tree.append([name, [[leaf, _pairs(leaves[leaf])] for leaf in leaves]])
    home = _kept(config).get("change_home_server")
    if home is not None:
        tree.append(["change_home_server", home])
    return tree


def _pairs(values: dict[str, Any]) -> list[sxp.Value]:
    return [[name, values[name]] for name in ordered(values)]


def _long(config: DomainConfig) -> dict[str, sxp.Value]:
    """The Xen-API's names; memory in bytes.  The original left VCPUs_live and VCPUs_at_startup at
    1; what counts is vcpu_avail."""
    hvm = config.type is DomainType.HVM
    boot = config.platform.get("boot")
    kept = _kept(config)
    image_type = {name: kept[name] for name in ("image_type",) if name in kept}
    params: dict[str, Any] = {"cap": config.cpu_cap, "weight": config.cpu_weight}
    params |= kept.get("vcpus_params", {})
    long: dict[str, sxp.Value] = {
        **KEPT_DEFAULTS,  # type: ignore[dict-item]
        "vcpus_params": _pairs(params),
        "PV_args": config.cmdline,
        "memory_static_min": 0,
        "HVM_boot_policy": "BIOS order" if hvm else "",
        "PV_bootloader": config.bootloader,
        "pool_name": config.pool,
        "memory_static_max": _mib(config.max_memory) * _MIB,
        "cpus": cpus_tree(config),
        "actions_after_shutdown": config.on_poweroff.value,
        "memory_dynamic_max": _mib(config.memory) * _MIB,
        "PV_bootloader_args": config.bootloader_args,
        "memory_dynamic_min": _mib(config.memory) * _MIB,
        "VCPUs_live": 1,
        "actions_after_crash": config.on_crash.value,
        "uuid": str(config.uuid),
        "PV_ramdisk": config.ramdisk,
        "other_config": _pairs(kept.get("other_config", {})),
        "name_label": config.name,
        "PV_kernel": config.kernel,
        "actions_after_reboot": config.on_reboot.value,
        "VCPUs_at_startup": 1,
        "HVM_boot_params": [["order", boot]] if hvm and boot else [],
        "platform": _pairs(_platform(config) | image_type),
        "VCPUs_max": config.vcpus,
        "Description": config.description,
    }
    for name in LONG_ORDER:
        if name in kept and name not in ("vcpus_params", "other_config"):
            value = kept[name]
            long[name] = _pairs(value) if isinstance(value, dict) else value
    return long
