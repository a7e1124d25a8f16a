"""libxl's JSON → the devices that only xl's files know.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from xend.model.fields import rows
from xend.model.peripherals import (
    P9,
    Channel,
    Peripheral,
    PvCalls,
    UsbController,
    UsbDevice,
    Vdispl,
    VirtualNode,
    Vsnd,
    Vtpm,
)

_CLASSES: Final[tuple[type[Peripheral], ...]] = (
    *(UsbController, UsbDevice, Vtpm, P9, PvCalls, Channel, Vdispl, Vsnd),
)
_NO_UUID: Final = "00000000-0000-0000-0000-000000000000"


def peripherals(tree: Mapping[str, Any]) -> dict[str, Any]:
    """By the fields of `DomainConfig`, without the empty ones."""
    found: dict[str, tuple[Any, ...]] = {
        kind.LIST: tuple([_device(kind, each) for each in tree.get(kind.LIST) or ()])
        for kind in _CLASSES
    }
    found["dtdevs"] = tuple([each["path"] for each in tree.get("dtdevs") or ()])
    return {name: devices for name, devices in found.items() if devices}


def _device(kind: type[Peripheral], tree: Mapping[str, Any]) -> Peripheral:
    given: dict[str, Any] = {}
    for name, row in rows(kind):
        value = tree.get(row.libxl) if row.libxl and name != "backend" else None
        if value is not None:
            given[name] = value
    given["backend"] = backend(tree)
    if kind is UsbDevice:
        given |= tree.get("type.hostdev") or {}
    elif kind is Channel:
        given |= _connection(tree)
    elif kind is Vtpm and tree.get("uuid", _NO_UUID) != _NO_UUID:
        given["uuid"] = tree["uuid"]
    elif kind is UsbController and "type" in given:
        given["type"] = str(given["type"]).lower()
    elif kind is Vsnd:
        given = _lower_types(given)
    return kind.model_validate(given)


def _connection(tree: Mapping[str, Any]) -> dict[str, Any]:
    if "connection.socket" in tree:
        return {"connection": "socket", "path": (tree["connection.socket"] or {}).get("path", "")}
    return {"connection": "pty"}


def _lower_types(given: dict[str, Any]) -> dict[str, Any]:
    """libxl writes enums in lower case, whatever the spelling that it was given."""
    pcms = [
        pcm
        | {
            "streams": [
                stream | ({"type": str(stream["type"]).lower()} if stream.get("type") else {})
                for stream in pcm.get("streams") or ()
            ]
        }
        for pcm in given.get("pcms") or ()
    ]
    return given | {"pcms": pcms}


def virtual_node(tree: Mapping[str, Any]) -> VirtualNode:
    """`pnode` 0 may also be that of a node that names none."""
    return VirtualNode(
        memory=tree.get("memkb") or 0,
        vcpus=tuple(tree.get("vcpus") or ()),
        distances=tuple(tree.get("distances") or ()),
        pnode=tree.get("pnode"),
    )


def backend(tree: Mapping[str, Any]) -> str:
    """The domain that serves a device: its name, its number, or nothing for Domain-0."""
    return str(tree.get("backend_domname") or tree.get("backend_domid") or "")
