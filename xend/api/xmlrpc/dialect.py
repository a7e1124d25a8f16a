"""Between the model and the S-expressions of old calls."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID, uuid4

from xend.config import sxp
from xend.core.ports import DeviceClass
from xend.core.views import DomainView
from xend.errors import ConfigError, InvalidArgument
from xend.model.devices import Device, Disk, Vif
from xend.model.domain import DomainConfig
from xend.model.units import mib


def encode_domain(view: DomainView, *, devices: bool) -> list[Any]:
    found: list[Any] = ["domain"]
    if view.domid is not None:
        found.append(["domid", view.domid])
    config = view.config
    found += [
        ["cpu_weight", config.cpu_weight if config else 256],
        ["cpu_cap", config.cpu_cap if config else 0],
        ["pool_name", view.pool],
        ["bootloader", config.bootloader if config else ""],
        ["vcpus", view.vcpus],
        ["cpus", [[] for _ in range(view.vcpus)]],
        ["on_poweroff", config.on_poweroff.value if config else "destroy"],
        ["description", ""],
        ["on_crash", config.on_crash.value if config else "destroy"],
        ["uuid", view.uuid],
        ["bootloader_args", ""],
        ["name", view.name],
        ["on_reboot", config.on_reboot.value if config else "destroy"],
        ["maxmem", mib(view.max_memory)],
        ["memory", mib(view.memory)],
        ["shadow_memory", 0],
        ["features", ""],
        ["on_xend_start", "ignore"],
        ["on_xend_stop", "ignore"],
    ]
    if view.started:
        found.append(["start_time", view.started])
    found += [["cpu_time", view.cpu_time / 1e9], ["online_vcpus", view.vcpus_online]]
    found += [["image", ["linux", ["kernel", config.kernel if config else ""]]]]
    found.append(["status", int(view.power_state)])
    if view.running:
        found.append(["state", view.flags])
    if devices and config is not None:
        found += [["device", encode_device(d)] for d in (*config.disks, *config.vifs)]
    return found


def encode_device(device: Device) -> list[Any]:
    if isinstance(device, Disk):
        return [
            device.device_class,
            ["uname", device.uname],
            ["dev", device.vdev],
            ["mode", device.access],
        ]
    if isinstance(device, Vif):
        return ["vif", ["mac", device.mac], ["bridge", device.bridge]]
    return [type(device).__name__.lower()]


def decode_vm(config: list[Any]) -> DomainConfig:
    if not config or config[0] not in ("vm", "domain"):
        raise ConfigError("expected (vm ...)", expected="(vm ...)")
    value = sxp.child_value
    memory = int(str(value(config, "memory", 128))) * 1024
    image = sxp.child_value(config, "image")
    devices = [
        decode_device(d[1])[1] for d in sxp.children(config, "device") if isinstance(d, list)
    ]
    try:
        return DomainConfig(
            name=str(value(config, "name", "Domain-Unnamed")),
            uuid=UUID(str(value(config, "uuid") or uuid4())),
            memory=memory,
            maxmem=int(str(value(config, "maxmem", 0))) * 1024,
            vcpus=int(str(value(config, "vcpus", 1))),
            kernel=str(sxp.child_value(image, "kernel", "") or ""),
            disks=tuple(d for d in devices if isinstance(d, Disk)),
            vifs=tuple(d for d in devices if isinstance(d, Vif)),
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def decode_device(config: Any) -> tuple[DeviceClass, Device]:
    kind = sxp.name_of(config)

    def value(name: str) -> str:
        return str(sxp.child_value(config, name, "") or "")

    if kind in ("vbd", "tap", "tap2"):
        scheme, _, path = value("uname").rpartition(":")
        return "vbd", Disk(
            device_class=kind,  # type: ignore[arg-type]
            scheme=scheme,
            path=path,
            vdev=value("dev"),
            access=value("mode") or "w",  # type: ignore[arg-type]
        )
    if kind == "vif":
        return "vif", Vif(mac=value("mac"), bridge=value("bridge"))
    raise InvalidArgument(f"Unknown device type: {kind}", argument="device", value=str(kind))


_DISK = re.compile(r"(?:/dev/)?(xvd|hd|sd)([a-z])(\d*)\Z")


def vdev_number(vdev: str) -> int | None:
    if vdev.isdigit():
        return int(vdev)
    found = _DISK.match(vdev.split(":")[0])
    if not found:
        return None
    kind, letter, part = found.groups()
    index, partition = ord(letter) - ord("a"), int(part or 0)
    if kind == "xvd":
        return (202 << 8) + index * 16 + partition
    if kind == "sd":
        return (8 << 8) + index * 16 + partition
    return ((3 if index < 2 else 22) << 8) + (index & 1) * 64 + partition
