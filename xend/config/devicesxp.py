"""Devices as old clients send them, `(vbd (uname …) (dev …) …)`, into the model."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, cast
from uuid import UUID, uuid4

from xend.config import sxp
from xend.config.modelbuild import build_device
from xend.config.pydict import ordered
from xend.config.sxpkeys import DEVICE_ORDER, TAP_TYPES
from xend.config.sxpvalues import flag, invalid, pairs, text, whole
from xend.model.devices import (
    Device,
    Disk,
    IoPorts,
    Irq,
    OtherDevice,
    Pci,
    Vfb,
    Vif,
    Vkbd,
)

Fields = dict[str, sxp.Value]

AUTO_SLOT: Final = 0x100
"""AUTO_PHP_SLOT: the device model chooses the virtual slot."""

VIF_KEYS: Final = (
    *("mac", "bridge", "script", "ip", "vifname", "type", "model", "rate", "accel"),
    *("security_label", "backend"),
)
VFB_TEXTS: Final = ("vnclisten", "vncpasswd", "display", "xauthority", "keymap", "location")
VFB_FLAGS: Final = ("vncunused", "opengl")
VFB_NUMBERS: Final = ("vncdisplay", "videoram")


def random_mac() -> str:
    """An address of the range that belongs to Xen."""
    tail = (random.randint(0, 0x7F), random.randint(0, 0xFF), random.randint(0, 0xFF))
    return "00:16:3e:" + ":".join(f"{byte:02x}" for byte in tail)


class Maker:
    """Gives devices what their configuration leaves out; tests give their own."""

    def __init__(
        self,
        new_uuid: Callable[[], UUID] = uuid4,
        new_mac: Callable[[], str] = random_mac,
    ) -> None:
        self.new_uuid = new_uuid
        self.new_mac = new_mac


def decode_device(tree: sxp.Value, maker: Maker | None = None) -> list[Device]:
    """The devices that `(class …)` or `(device (class …))` stands for: PCI ones may be several."""
    maker = maker or Maker()
    if sxp.name_of(tree) == "device" and isinstance(tree, list) and len(tree) > 1:
        tree = tree[1]
    kind = sxp.name_of(tree)
    if not isinstance(tree, list) or kind not in DEVICE_ORDER:
        invalid(
            f"XendConfig: {kind} not a valid device type",
            field="device",
            value=kind,
            expected=", ".join(sorted(DEVICE_ORDER)),
        )
    decoder = _DECODERS.get(str(kind))
    if decoder is None:
        return [_decode_other(tree, str(kind), maker)]
    return decoder(tree, maker)


def _fields(tree: list[sxp.Value]) -> Fields:
    """The pairs of a device; like the original, what is no pair is left out."""
    return pairs(tree[1:])


def _take(fields: Fields, name: str) -> str:
    return text(fields.pop(name, ""), name)


def _uuid(fields: Fields, maker: Maker) -> UUID:
    given = _take(fields, "uuid")
    try:
        return UUID(given) if given else maker.new_uuid()
    except ValueError:
        invalid(f"uuid: '{given}' is not a UUID", field="uuid", value=given)


def _rest(fields: Fields) -> dict[str, str]:
    """Whatever else was given, kept as text."""
    return {
        name: sxp.show(value) if isinstance(value, list) else text(value, name)
        for name, value in fields.items()
    }


def split_uname(uname: str) -> tuple[str, str]:
    """Scheme and path of a `uname`; `tap:tapdisk:vhd:/x` has the scheme `tap:tapdisk:vhd`."""
    first, colon, path = uname.partition(":")
    if not colon or not first.isalnum():
        return "", uname
    scheme = first
    if first in ("tap", "tap2"):
        kind, colon, rest = path.partition(":")
        if colon:
            scheme, path = f"{scheme}:{kind}", rest
        if kind == "tapdisk":
            driver, colon, rest = path.partition(":")
            if colon:
                scheme, path = f"{scheme}:{driver}", rest
    return scheme, path


def _decode_disk(tree: list[sxp.Value], maker: Maker) -> list[Device]:
    fields = _fields(tree)
    kind = cast(Literal["vbd", "tap", "tap2"], str(tree[0]))
    uname = _take(fields, "uname")
    if kind != "vbd":
        _check_tap_type(kind, uname)
    scheme, path = split_uname(uname)
    dev = _take(fields, "dev").strip()
    vdev, _, suffix = dev.removeprefix("ioemu:").partition(":")
    vdev = vdev.removeprefix("/dev/")
    device_type: Literal["disk", "cdrom"] = "cdrom" if suffix == "cdrom" else "disk"
    plain = f"{vdev}:cdrom" if device_type == "cdrom" else vdev
    given: dict[str, Any] = {
        "device_class": kind,
        "scheme": scheme,
        "path": path,
        "vdev": vdev,
        "dev": dev if dev != plain else "",
        "device_type": device_type,
        "access": _access(_take(fields, "mode").strip()),
        "backend": _take(fields, "backend"),
        "protocol": _take(fields, "protocol"),
        "uuid": _uuid(fields, maker),
    }
    if "bootable" in fields:
        given["bootable"] = flag(fields.pop("bootable"))
    fields.pop("driver", None)
    return [build_device(Disk, str(kind), **given, other=_rest(fields))]


def _check_tap_type(kind: str, uname: str) -> None:
    parts = uname.split(":")
    found = parts[1] if len(parts) > 1 else ""
    if found == "tapdisk":
        found = parts[2] if len(parts) > 2 else ""
    if found not in TAP_TYPES:
        invalid(
            f"tap:{found} not a valid disk type",
            field=f"{kind}.uname",
            value=uname,
            expected=", ".join(sorted(TAP_TYPES)),
        )


def _access(mode: str) -> Literal["r", "w", "w!", "r!"]:
    known: dict[str, Literal["r", "w", "w!", "r!"]] = {
        "": "r",
        "r": "r",
        "ro": "r",
        "w": "w",
        "rw": "w",
        "w!": "w!",
        "r!": "r!",
    }
    if mode not in known:
        invalid(
            f"mode: '{mode}' is not the mode of a disk",
            field="disk.mode",
            value=mode,
            expected="r, w, w! or r! (a disk is UNAME,DEV,MODE)",
        )
    return known[mode]


def _decode_vif(tree: list[sxp.Value], maker: Maker) -> list[Device]:
    fields = _fields(tree)
    given: dict[str, Any] = {name: _take(fields, name) for name in VIF_KEYS if name in fields}
    if not given.get("mac"):
        given["mac"] = maker.new_mac()
    given["uuid"] = _uuid(fields, maker)
    return [build_device(Vif, "vif", **given, other=_rest(fields))]


def _decode_vfb(tree: list[sxp.Value], maker: Maker) -> list[Device]:
    """The old `(type vnc)` is `(vnc 1)`, and so is nothing: some clients insist on one.

    What the type alone does not say (both, or neither wanted) stays as it was given.
    """
    fields = _fields(tree)
    if fields.get("type") in ("vnc", "sdl"):
        fields[_take(fields, "type")] = "1"
    given: dict[str, Any] = {name: _take(fields, name) for name in VFB_TEXTS if name in fields}
    for name in VFB_FLAGS:
        if name in fields:
            given[name] = flag(fields.pop(name))
    for name in VFB_NUMBERS:
        if name in fields:
            given[name] = whole(fields.pop(name), f"vfb.{name}")
    if flag(fields.get("sdl")) and not flag(fields.get("vnc")):
        given["type"] = "sdl"
    shown = {name: text(fields[name], name) for name in ("vnc", "sdl") if name in fields}
    if shown == {str(given.get("type", "vnc")): "1"}:
        fields = {name: value for name, value in fields.items() if name not in shown}
    given["backend"] = _take(fields, "backend")
    given["uuid"] = _uuid(fields, maker)
    return [build_device(Vfb, "vfb", **given, other=_rest(fields))]


def character_devices(vfb: Vfb, maker: Maker) -> list[Device]:
    """A stub domain's serial port and monitor each come as a console, after one of its own."""
    count = len({"serial", "monitor"} & vfb.other.keys())
    return [
        _decode_other(
            ["console", ["protocol", "vt100"], ["location", str(place)]], "console", maker
        )
        for place in range(count + 1 if count else 0)
    ]


def _decode_vkbd(tree: list[sxp.Value], maker: Maker) -> list[Device]:
    fields = _fields(tree)
    backend = _take(fields, "backend")
    return [
        build_device(Vkbd, "vkbd", backend=backend, uuid=_uuid(fields, maker), other=_rest(fields))
    ]


def _decode_pci(tree: list[sxp.Value], maker: Maker) -> list[Device]:
    return [
        _decode_pci_function(dev, maker)
        for dev in sxp.children(tree, "dev")
        if isinstance(dev, list)
    ]


def _decode_pci_function(tree: list[sxp.Value], maker: Maker) -> Device:
    fields = _fields(tree)
    options = {
        str(pair[0]): text(pair[1], "opts")
        for child in sxp.children(tree, "opts")
        if isinstance(child, list) and isinstance(pair := child[-1], list) and len(pair) == 2
    }
    fields.pop("opts", None)
    address = {name: _hexadecimal(_take(fields, name), name) for name in PCI_ADDRESS}
    given: dict[str, Any] = {**address, "options": options}
    vdevfn = _hexadecimal(_take(fields, "vdevfn") or "0x100", "vdevfn")
    vfunc = vdevfn & 7
    if vfunc != address["func"]:
        given["vfunc"] = vfunc
    if not vdevfn & AUTO_SLOT:
        given["vslot"] = vdevfn >> 3
    key = _take(fields, "key")
    if key != pci_key(address):
        given["key"] = key
    given["uuid"] = _uuid(fields, maker)
    return build_device(Pci, "pci", **given, other=_rest(fields))


PCI_ADDRESS: Final = ("domain", "bus", "slot", "func")


def pci_key(address: Mapping[str, int]) -> str:
    return f"{address['bus']:02x}:{address['slot']:02x}.{address['func']:x}"


def _hexadecimal(value: str, field: str) -> int:
    try:
        return int(value or "0", 16)
    except ValueError:
        invalid(
            f"pci: {field}: '{value}' is not hexadecimal",
            field=f"pci.{field}",
            value=value,
            expected="a hexadecimal number",
        )


def _decode_ioports(tree: list[sxp.Value], maker: Maker) -> list[Device]:
    fields = _fields(tree)
    ends = [_take(fields, "from"), _take(fields, "to")]
    first, last = (_hexadecimal(end, "ioports") for end in ends)
    return [
        build_device(
            IoPorts,
            "ioports",
            first=first,
            last=last,
            uuid=_uuid(fields, maker),
            other=_rest(fields)
            | {
                name: end
                for name, end, number in zip(("from", "to"), ends, (first, last), strict=True)
                if end != f"0x{number:04x}"
            },
        )
    ]


def _decode_irq(tree: list[sxp.Value], maker: Maker) -> list[Device]:
    """xm sent a number that was a text with its quotes."""
    fields = _fields(tree)
    number = whole(_take(fields, "irq").strip("'\""), "irq")
    return [build_device(Irq, "irq", irq=number, uuid=_uuid(fields, maker), other=_rest(fields))]


def _decode_other(tree: list[sxp.Value], kind: str, maker: Maker) -> Device:
    uuid = _uuid(_fields(tree), maker)
    if kind in ("vscsi", "vusb"):
        body = [child for child in tree[1:] if sxp.name_of(child) != "uuid"]
        whole_tree: list[sxp.Value] = [kind, ["uuid", str(uuid)]]
        for child in body:
            whole_tree.append(_with_uuid(child, maker) if sxp.name_of(child) == "dev" else child)
    else:
        fields = _fields(tree) | {"uuid": str(uuid)}
        whole_tree = [kind, *in_order(fields)]
    return build_device(OtherDevice, kind, device_class=kind, sxp=sxp.show(whole_tree), uuid=uuid)


def _with_uuid(child: sxp.Value, maker: Maker) -> sxp.Value:
    """One device of a SCSI host adapter."""
    fields = pairs(child[1:] if isinstance(child, list) else None)
    fields.setdefault("uuid", str(maker.new_uuid()))
    return ["dev", *in_order(fields)]


_DECODERS: Final[dict[str, Callable[[list[sxp.Value], Maker], list[Device]]]] = {
    "vbd": _decode_disk,
    "tap": _decode_disk,
    "tap2": _decode_disk,
    "vif": _decode_vif,
    "vfb": _decode_vfb,
    "vkbd": _decode_vkbd,
    "pci": _decode_pci,
    "ioports": _decode_ioports,
    "irq": _decode_irq,
}


def in_order(fields: Mapping[str, sxp.Value]) -> list[sxp.Value]:
    """Pairs in the order in which the original's dictionary showed them."""
    return [[name, fields[name]] for name in ordered(fields)]
