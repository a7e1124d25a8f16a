"""Network interfaces of an xl file (xl-network-configuration(5))."""

from __future__ import annotations

import re
from typing import Any, Final

from xend.config.modelbuild import build_device
from xend.config.problems import suggestion
from xend.config.xlgrammar import XlText
from xend.config.xlsettings import XlSettings
from xend.config.xlwords import Words
from xend.errors import ConfigError
from xend.model.devices import Vif

_TEXTS: Final = {
    **{name: name for name in ("bridge", "gatewaydev", "ip", "script", "backend", "model")},
    "vifname": "vifname",
    "netdev": "gatewaydev",
}
_SOCKETS: Final = (
    *("mirror", "compare_sec_in", "redirector0", "redirector1", "redirector2"),
    *("compare_pri_in", "compare_notify", "sec_redirector0", "sec_redirector1"),
)
_FILTERS: Final = {
    "mirror": ("queue", "outdev"),
    "sec_rewriter0": ("queue",),
    **dict.fromkeys(
        ("redirector0", "redirector1", "sec_redirector0", "sec_redirector1"),
        ("queue", "indev", "outdev"),
    ),
}
COLO: Final = {
    "forwarddev": "coloft_forwarddev",
    **{
        f"colo_sock_{name}_{part}": f"colo_sock_{name}_{part}"
        for name in _SOCKETS
        for part in ("id", "ip", "port")
    },
    **{
        f"colo_filter_{name}_{part}": f"colo_filter_{name}_{part}"
        for name, parts in _FILTERS.items()
        for part in parts
    },
    **{
        name: name
        for name in (
            *("colo_compare_pri_in", "colo_compare_sec_in", "colo_compare_out"),
            *("colo_compare_notify_dev", "colo_checkpoint_host", "colo_checkpoint_port"),
        )
    },
}
"""COLO's keys and what libxl calls them."""
_KNOWN: Final = (*_TEXTS, "type", "mac", "rate", "mtu", "devid", "trusted", "untrusted", *COLO)
_RATE: Final = re.compile(r"(0*[1-9][0-9]*)[GMK]?[Bb]/s")
_INTERVAL: Final = re.compile(r"(0*[1-9][0-9]*)([mu]?)s?")
_MAC: Final = re.compile(r"[0-9a-fA-F]{1,2}([:-][0-9a-fA-F]{1,2}){5}")
_INT: Final = 2**31 - 1
_UINT: Final = 2**32 - 1


def read_vif(settings: XlSettings, item: XlText) -> Vif | None:
    """None if it is wrong, which is then reported."""
    words = Words(settings, "vif", item)
    fields: dict[str, Any] = {}
    colo: dict[str, str] = {}
    for word in words.words():
        key, equals, value = word.partition("=")
        if word in ("trusted", "untrusted"):
            fields["trusted"] = word == "trusted"
        elif equals and key in COLO:
            colo[COLO[key]] = value
        elif equals and key in _TEXTS:
            fields[_TEXTS[key]] = value
            if key == "netdev":
                settings.note("vif", item, "deprecated", "vif: netdev is called gatewaydev now")
        elif equals and key == "accel":
            settings.note("vif", item, "ignored", "vif: accel is no longer in Xen")
        elif equals and key in _KNOWN:
            fields |= _special(words, key, value)
        else:
            settings.passed_over(
                "vif", item, "unknown", f"vif: '{word[:40]}' is not known{suggestion(key, _KNOWN)}"
            )
    if not words.right:
        return None
    try:
        return build_device(Vif, "vif", **fields, **({"colo": colo} if colo else {}))
    except ConfigError as error:
        words.wrong(str(error.fields.get("expected") or error.message))
        return None


def _special(words: Words, key: str, value: str) -> dict[str, Any]:
    if key == "type":
        return {"type": words.choice("type", value, ("vif", "ioemu"))}
    if key == "mac":
        if not _MAC.fullmatch(value):
            words.wrong(f"mac: '{value[:40]}' is no MAC address", "00:16:3e:xx:xx:xx")
            return {}
        return {"mac": ":".join(f"{int(part, 16):02x}" for part in re.split("[:-]", value))}
    if key == "rate":
        return {"rate": _rate(words, value)}
    return {key: words.number(key, value, _INT, base=10)}


def _rate(words: Words, value: str) -> str:
    """With the unit that libxlu_vif.c takes a bare interval in: seconds."""
    rate, at, interval = value.partition("@")
    speed, time = _RATE.fullmatch(rate), _INTERVAL.fullmatch(interval)
    if speed is None or (at and time is None):
        words.wrong(f"rate: '{value[:40]}' is no rate", "such as 10Mb/s, 1MB/s@20ms")
        return ""
    micro = 50_000
    if time is not None:
        micro = int(time[1][-20:]) * {"m": 1000, "u": 1, "": 1_000_000}[time[2]]
    if int(speed[1][-20:]) > _UINT or micro > _UINT:
        words.wrong(f"rate: '{value[:40]}' is too large", f"numbers to {_UINT}")
        return ""
    return f"{rate}@{time[1]}{time[2]}s" if time is not None else rate
