"""Devices that only xl files have: USB, vTPM, 9pfs, PV calls, displays, channels, keyboards."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

from xend.config.modelbuild import build_device
from xend.config.xlnumbers import atoi
from xend.config.xlsettings import XlSettings
from xend.config.xlwords import Words
from xend.errors import ConfigError
from xend.model.devices import Device, Vkbd
from xend.model.peripherals import (
    P9,
    Channel,
    Connector,
    PvCalls,
    UsbController,
    UsbDevice,
    Vdispl,
    Vtpm,
)

_D = TypeVar("_D", bound=Device)

_INT: Final = 2**31 - 1
_UINT: Final = 2**32 - 1
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CONNECTOR: Final = re.compile(r"([^:]+):+\s*([0-9]{1,9})x\s*([0-9]{1,9})")
_VKB_SWITCHES: Final = {
    f"feature-{name}": f"feature_{name.replace('-', '_')}"
    for name in ("disable-keyboard", "disable-pointer", "abs-pointer", "raw-pointer", "multi-touch")
}
_VKB_NUMBERS: Final = {
    name: name.replace("-", "_")
    for name in (
        *("width", "height", "multi-touch-width", "multi-touch-height"),
        "multi-touch-num-contacts",
    )
}
_TOUCH: Final = ("multi_touch_width", "multi_touch_height", "multi_touch_num_contacts")


def read_peripherals(settings: XlSettings) -> dict[str, Any]:
    """Fields of the model."""
    readers = {
        "usbctrls": ("usbctrl", _usb_controller),
        "usbdevs": ("usbdev", _usb_device),
        "vtpms": ("vtpm", _vtpm),
        "p9s": ("p9", _p9),
        "pvcallsifs": ("pvcalls", _pvcalls),
        "vdispls": ("vdispl", _vdispl),
        "channels": ("channel", _channel),
    }
    found: dict[str, Any] = {}
    for field, (name, reader) in readers.items():
        devices = [reader(Words(settings, name, item)) for item in settings.items(name)]
        if devices:
            found[field] = tuple(device for device in devices if device is not None)
    return found


def read_keyboards(settings: XlSettings) -> list[Vkbd]:
    devices = [_keyboard(Words(settings, "vkb", item)) for item in settings.items("vkb")]
    return [device for device in devices if device is not None]


def _built(words: Words, kind: type[_D], fields: dict[str, Any]) -> _D | None:
    """None after a mistake, of the text or in the eyes of the model."""
    if not words.right:
        return None
    try:
        return build_device(kind, words.field, **fields)
    except ConfigError as error:
        words.wrong(str(error.fields.get("expected") or error.message))
        return None


def _usb_controller(words: Words) -> UsbController | None:
    fields: dict[str, Any] = {}
    for key, value in words.pairs():
        if key == "type":
            fields[key] = words.choice(key, value, ("auto", "pv", "devicemodel", "qusb"))
        elif key in ("version", "ports"):
            fields[key] = words.number(key, value, 3 if key == "version" else 31, base=10)
        else:
            words.unknown(key, ("type", "version", "ports"))
    return _built(words, UsbController, fields)


def _usb_device(words: Words) -> UsbDevice | None:
    fields: dict[str, Any] = {"hostbus": 0, "hostaddr": 0}
    for key, value in words.pairs():
        if key == "type":
            words.choice(key, value, ("hostdev",))
        elif key in ("hostbus", "hostaddr"):
            fields[key] = words.number(key, value, 255)
        elif key in ("controller", "port"):
            fields[key] = words.number(key, value, _INT, base=10)
        else:
            words.unknown(key, ("type", "hostbus", "hostaddr", "controller", "port"))
    return _built(words, UsbDevice, fields)


def _vtpm(words: Words) -> Vtpm | None:
    fields: dict[str, Any] = {}
    for key, value in words.pairs():
        if key not in ("backend", "uuid"):
            words.unknown(key, ("backend", "uuid"))
        elif key == "uuid" and not _UUID.fullmatch(value):
            words.wrong(f"'{value[:40]}' is not a UUID", "as uuidgen prints it")
        else:
            fields[key] = value
    if "backend" not in fields:
        words.wrong("no backend", "backend=DOMAIN, which holds its state")
    return _built(words, Vtpm, fields)


def _p9(words: Words) -> P9 | None:
    known = ("tag", "security_model", "path", "backend")
    fields: dict[str, Any] = {}
    for key, value in words.pairs():
        if key in known:
            fields[key] = value
        else:
            words.unknown(key, known)
    for key in known[:3]:
        if key not in fields:
            words.wrong(f"no {key}", "tag=NAME,security_model=none,path=FOLDER")
    return _built(words, P9, fields)


def _pvcalls(words: Words) -> PvCalls | None:
    fields: dict[str, Any] = {}
    for key, value in words.pairs():
        if key == "backend":
            fields[key] = value
        else:
            words.unknown(key, ("backend",))
    return _built(words, PvCalls, fields)


def _vdispl(words: Words) -> Vdispl | None:
    fields: dict[str, Any] = {}
    connectors: list[Connector] = []
    for key, value in words.pairs():
        if key == "backend":
            fields[key] = value
        elif key == "be-alloc":
            fields["be_alloc"] = words.number(key, value, _UINT) != 0
        elif key == "connectors":
            connectors = [_connector(words, part) for part in value.split(";") if part]
        else:
            words.unknown(key, ("backend", "be-alloc", "connectors"))
    if not connectors:
        words.wrong("no connector", "connectors=ID:1920x1080")
    return _built(words, Vdispl, fields | {"connectors": tuple(connectors)})


def _connector(words: Words, text: str) -> Connector:
    match = _CONNECTOR.match(text)
    if match is None:
        words.wrong(f"'{text[:40]}' is no connector", "ID:WIDTHxHEIGHT")
        return Connector(unique_id="", width=0, height=0)
    return Connector(unique_id=match[1], width=int(match[2]), height=int(match[3]))


def _channel(words: Words) -> Channel | None:
    fields: dict[str, Any] = {"name": ""}
    for untrimmed, value in words.pairs():
        key = untrimmed.strip()
        if key in ("backend", "name", "path"):
            fields[key] = value.strip()
        elif key == "connection":
            fields[key] = words.choice(key, value.strip(), ("pty", "socket"))
        else:
            words.settings.passed_over(
                "channel", words.item, "unknown", f"channel: '{key[:40]}' is not known"
            )
    if "connection" not in fields:
        words.wrong("no connection", "connection=pty, or connection=socket,path=PATH")
    elif fields["connection"] == "socket" and not fields.get("path"):
        words.wrong("a socket without a path", "path=PATH")
    if fields.get("connection") == "pty":
        fields.pop("path", None)
    return _built(words, Channel, fields)


def _keyboard(words: Words) -> Vkbd | None:
    known = ("backend", "backend-type", "unique-id", *_VKB_SWITCHES, *_VKB_NUMBERS)
    fields: dict[str, Any] = {}
    for key, value in words.pairs():
        if key == "backend":
            fields[key] = value
        elif key == "backend-type":
            fields["backend_type"] = words.choice(key, value, ("qemu", "linux"))
        elif key == "unique-id":
            fields["unique_id"] = value
        elif key in _VKB_SWITCHES:
            fields[_VKB_SWITCHES[key]] = words.number(key, value, _UINT) != 0
        elif key in _VKB_NUMBERS:
            fields[_VKB_NUMBERS[key]] = words.number(key, value, _UINT)
        else:
            words.unknown(key, known)
    if words.right and "backend_type" not in fields:
        words.wrong("no backend-type", "backend-type=qemu or backend-type=linux")
    sized = any(fields.get(name) for name in _TOUCH)
    if fields.get("feature_multi_touch") and not sized:
        words.wrong("multi-touch without a size", "multi-touch-width= and multi-touch-height=")
    if sized:
        fields["feature_multi_touch"] = True
    return _built(words, Vkbd, fields)


def screen_number(words: Words, key: str, value: str) -> int:
    """A number of a `vfb`, where xl takes what is none as 0."""
    number = atoi(value)
    if not -_INT <= number <= _INT:
        words.wrong(f"{key}: '{value[:40]}' is too large", f"to {_INT}")
        return 0
    return number
