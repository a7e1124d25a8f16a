"""USB, vTPM, 9P, channels, displays, sound cards and virtual NUMA nodes → libxl's JSON.  Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from xend.errors import ConfigError
from xend.libxl.marshal_devices import backend
from xend.model.domain import DomainConfig
from xend.model.fields import rows
from xend.model.peripherals import (
    Channel,
    Peripheral,
    SoundParameters,
    UsbDevice,
    Vdispl,
    VirtualNode,
    Vsnd,
    Vtpm,
)

FIELDS: Final = (
    *("usbctrls", "usbdevs", "vtpms", "p9s", "pvcallsifs", "channels", "vdispls", "vsnds"),
)
"""The fields of `DomainConfig` that hold peripherals; libxl's lists are called the same."""

_NO_NODE: Final = 0
"""libxl's pnode of a virtual node that names none."""


def peripherals(config: DomainConfig) -> dict[str, Any]:
    """libxl's lists of them, without the empty ones."""
    lists: dict[str, Any] = {
        name: [_device(each, number) for number, each in enumerate(getattr(config, name))]
        for name in FIELDS
    }
    lists["dtdevs"] = [{"path": path} for path in config.dtdevs]
    return {name: devices for name, devices in lists.items() if devices}


def _device(device: Peripheral, number: int) -> dict[str, Any]:
    tree: dict[str, Any] = {"devid": number} if device.NUMBERED else {}
    special = _SPECIAL.get(type(device))
    tree |= _plain(device) if special is None else special(device)
    return tree | backend(device)


def _plain(device: Peripheral) -> dict[str, Any]:
    """What is not the default, each under its row's key."""
    tree: dict[str, Any] = {}
    for name, row in rows(type(device)):
        value = getattr(device, name)
        if name != "backend" and row.libxl and value not in (None, "", 0, False, "auto"):
            tree[row.libxl] = value
    return tree


def _usb_device(device: UsbDevice) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "type.hostdev": {"hostbus": device.hostbus, "hostaddr": device.hostaddr}
    }
    if device.controller is not None:
        tree["ctrl"] = device.controller
    if device.port:
        tree["port"] = device.port
    return tree


def _vtpm(device: Vtpm) -> dict[str, Any]:
    return {} if device.uuid is None else {"uuid": str(device.uuid)}


def _channel(device: Channel) -> dict[str, Any]:
    if device.connection == "socket" and not device.path:
        raise ConfigError(
            f"channel {device.name}: a socket needs a path", field="channel.path", expected="path="
        )
    path = {"path": device.path} if device.connection == "socket" else {}
    return {"name": device.name, f"connection.{device.connection}": path}


def _display(device: Vdispl) -> dict[str, Any]:
    tree: dict[str, Any] = {"connectors": [each.model_dump() for each in device.connectors]}
    return tree | ({"be_alloc": True} if device.be_alloc else {})


def _sound(device: Vsnd) -> dict[str, Any]:
    tree: dict[str, Any] = _named(short_name=device.short_name, long_name=device.long_name)
    tree |= _sound_parameters(device.params)
    pcms = [
        _named(name=pcm.name)
        | _sound_parameters(pcm.params)
        | {
            "streams": [
                _named(unique_id=stream.unique_id, type=stream.type)
                | _sound_parameters(stream.params)
                for stream in pcm.streams
            ]
        }
        for pcm in device.pcms
    ]
    return tree | ({"pcms": pcms} if pcms else {})


def _sound_parameters(params: SoundParameters) -> dict[str, Any]:
    found = {name: value for name, value in params.model_dump(mode="json").items() if value}
    return {"params": found} if found else {}


def _named(**texts: str) -> dict[str, Any]:
    return {name: text for name, text in texts.items() if text}


_SPECIAL: Final[dict[type, Callable[[Any], dict[str, Any]]]] = {
    UsbDevice: _usb_device,
    Vtpm: _vtpm,
    Channel: _channel,
    Vdispl: _display,
    Vsnd: _sound,
}


def virtual_node(node: VirtualNode) -> dict[str, Any]:
    """A libxl_vnode_info."""
    return {
        "memkb": node.memory,
        "distances": list(node.distances),
        "pnode": _NO_NODE if node.pnode is None else node.pnode,
        "vcpus": sorted(set(node.vcpus)),
    }
