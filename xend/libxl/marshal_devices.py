"""Devices → libxl's JSON.  Pure."""

from __future__ import annotations

import re
from typing import Any

from xend.errors import ConfigError, InvalidArgument
from xend.libxl import schema
from xend.model.devices import Device, Disk, Pci, Vfb, Vif, Vkbd, bytes_per_window
from xend.model.fields import rows

_QEMU_FORMATS = ("qcow", "qcow2", "vhd", "qed")
ALL_FUNCTIONS = 2**32 - 1
"""LIBXL_PCI_FUNC_ALL."""
_NIC_TYPES = {"ioemu": "vif_ioemu", "vif": "vif", "front": "vif", "netfront": "vif"}


def disk(wanted: Disk) -> dict[str, Any]:
    """A libxl_device_disk.

    file:, tap:aio: and phy: are all format raw, and libxl picks phy and the block script (a loop
    device for a file); formats that only QEMU reads get its backend, qdisk.
    """
    tree: dict[str, Any] = {
        "vdev": wanted.vdev.removeprefix("/dev/"),
        "format": wanted.format,
        "readwrite": int(wanted.readwrite and wanted.device_type != "cdrom"),
    }
    if wanted.path:
        tree["pdev_path"] = wanted.target
    if wanted.qdisk or wanted.format in _QEMU_FORMATS:
        tree["backend"] = "qdisk"
    elif wanted.backend_type:
        tree["backend"] = wanted.backend_type
    if wanted.device_type == "cdrom":
        tree |= {"is_cdrom": 1, "removable": 1}
    if wanted.direct_io_safe:
        tree["direct_io_safe"] = True
    for key, value in (("discard_enable", wanted.discard), ("trusted", wanted.trusted)):
        if value is not None:
            tree[key] = str(value)
    texts = {"script": wanted.script, "specification": wanted.specification}
    tree |= {key: text for key, text in texts.items() if text}
    return tree | wanted.colo | backend(wanted)


def network(wanted: Vif, number: int | None = None) -> dict[str, Any]:
    """A libxl_device_nic; `number` becomes its devid, unless it has one (None: libxl's next)."""
    number = number if wanted.devid is None else wanted.devid
    tree: dict[str, Any] = {} if number is None else {"devid": number}
    texts = {
        "mac": wanted.mac,
        "bridge": wanted.bridge,
        "script": wanted.script,
        "ip": wanted.ip,
        "ifname": wanted.vifname,
        "model": wanted.model,
        "nictype": _NIC_TYPES.get(wanted.type, ""),
        "gatewaydev": wanted.gatewaydev,
    }
    tree |= {key: value for key, value in texts.items() if value}
    if wanted.rate:
        tree |= rate(wanted.rate)
    if wanted.mtu is not None:
        tree["mtu"] = wanted.mtu
    if wanted.trusted is not None:
        tree["trusted"] = str(wanted.trusted)
    return tree | wanted.colo | backend(wanted)


def rate(text: str) -> dict[str, int]:
    """`10Mb/s`, `250KB/s@20ms` (xl-network-configuration(5))."""
    try:
        amount, window = bytes_per_window(text)
    except ValueError as error:
        raise ConfigError(
            f"rate: {error}", field="rate", value=text, expected="10Mb/s@50ms"
        ) from error
    return {"rate_bytes_per_interval": amount, "rate_interval_usecs": window}


def screen(wanted: Vfb, number: int | None = None) -> dict[str, Any]:
    """A libxl_device_vfb."""
    tree: dict[str, Any] = {} if number is None else {"devid": number}
    return tree | screen_info(wanted) | backend(wanted)


def screen_info(wanted: Vfb) -> dict[str, Any]:
    """The part that a vfb and the emulated card of an HVM guest share."""
    tree: dict[str, Any] = {"vnc": _vnc(wanted) if wanted.type == "vnc" else {"enable": "False"}}
    if wanted.type == "sdl" or wanted.sdl_too:
        tree["sdl"] = _window(wanted)
    if wanted.keymap:
        tree["keymap"] = wanted.keymap
    return tree


def _vnc(wanted: Vfb) -> dict[str, Any]:
    vnc: dict[str, Any] = {"enable": "True", "findunused": str(wanted.vncunused)}
    texts = {"listen": wanted.vnclisten, "passwd": wanted.vncpasswd}
    vnc |= {key: value for key, value in texts.items() if value}
    if wanted.vncdisplay:
        vnc["display"] = wanted.vncdisplay
    return vnc


def _window(wanted: Vfb) -> dict[str, Any]:
    texts = {"display": wanted.display, "xauthority": wanted.xauthority}
    given = {key: value for key, value in texts.items() if value}
    return {"enable": "True", "opengl": str(wanted.opengl)} | given


def passthrough(wanted: Pci) -> dict[str, Any]:
    """A libxl_device_pci."""
    tree: dict[str, Any] = {
        "domain": wanted.domain,
        "bus": wanted.bus,
        "dev": wanted.slot,
        "func": wanted.func,
    }
    if not wanted.options.get("name"):
        tree["vfunc_mask"] = ALL_FUNCTIONS if wanted.options.get("all_functions") else 1
    if wanted.vslot is not None:
        tree["vdevfn"] = wanted.vslot << 3
    for name in ("msitranslate", "power_mgmt", "permissive", "seize"):
        if name in wanted.options:
            tree[name] = wanted.options[name] not in ("0", "no", "")
    for name in ("rdm_policy", "name"):
        if wanted.options.get(name):
            tree[name] = wanted.options[name]
    return tree


def keyboard(wanted: Vkbd, number: int | None = None) -> dict[str, Any]:
    """A libxl_device_vkb."""
    tree: dict[str, Any] = {} if number is None else {"devid": number}
    for field, row in rows(Vkbd):
        value = getattr(wanted, field)
        if row.libxl and value and field != "backend":
            tree[row.libxl] = value
    return tree | backend(wanted)


def backend(device: Device) -> dict[str, Any]:
    """The domain that serves the device; nothing stands for Domain-0."""
    if device.backend in ("", "0", "Domain-0"):
        return {}
    if device.backend.isdigit():
        return {"backend_domid": int(device.backend)}
    return {"backend_domname": device.backend}


_SCHEMA_OF = {
    "vbd": "device_disk",
    "vif": "device_nic",
    "vfb": "device_vfb",
    "vkbd": "device_vkb",
    "pci": "device_pci",
}


def hot_plugged(device_class: str, device: Any) -> dict[str, Any]:
    """JSON of one device of the model, checked; raises InvalidArgument and ConfigError."""
    tree: dict[str, Any]
    if device_class == "vbd" and isinstance(device, Disk):
        tree = disk(device)
    elif device_class == "vif" and isinstance(device, Vif):
        tree = network(device)
    elif device_class == "vfb" and isinstance(device, Vfb):
        tree = screen(device)
    elif device_class == "pci" and isinstance(device, Pci):
        tree = passthrough(device)
    elif device_class == "vkbd":
        tree = keyboard(device) if isinstance(device, Vkbd) else {}
    else:
        raise InvalidArgument(
            f"{device!r} is not a {device_class}", argument="device", value=device_class
        )
    schema.check(tree, _SCHEMA_OF[device_class])
    return tree


_DISK_NAME = re.compile(r"(xvd|sd|hd)([a-z]+)(\d*)")
_IDE_MAJORS = (3, 22, 33, 34, 56, 57, 88, 89, 90, 91)


def disk_number(vdev: str) -> int:
    """The devid of a virtual disk by its name (Xen's misc/vbd-interface.txt), e.g. xvda → 51712.

    Raises ConfigError for names that have no number.
    """
    if vdev.isdigit():
        return int(vdev)
    match = _DISK_NAME.fullmatch(vdev.removeprefix("/dev/"))
    if not match:
        raise ConfigError(f"vdev: {vdev!r} is not a disk name", field="dev", value=vdev)
    family, letters, partition_text = match.groups()
    disk_index = 0
    for letter in letters:
        disk_index = disk_index * 26 + ord(letter) - ord("a") + 1
    disk_index -= 1
    partition = int(partition_text or 0)
    if family == "xvd":
        if disk_index < 16 and partition < 16:
            return 202 << 8 | disk_index << 4 | partition
        return 1 << 28 | disk_index << 8 | partition
    if family == "sd" and disk_index < 16 and partition < 16:
        return 8 << 8 | disk_index << 4 | partition
    if family == "hd" and disk_index < 2 * len(_IDE_MAJORS) and partition < 64:
        return _IDE_MAJORS[disk_index // 2] << 8 | (disk_index & 1) << 6 | partition
    raise ConfigError(f"vdev: there is no disk {vdev!r}", field="dev", value=vdev)
