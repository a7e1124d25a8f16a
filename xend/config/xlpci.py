"""PCI devices of an xl file (xl-pci-configuration(5))."""

from __future__ import annotations

import re
from typing import Any, Final

from xend.config.modelbuild import build_device
from xend.config.xlgrammar import XlText
from xend.config.xlnumbers import atoi
from xend.config.xlsettings import XlSettings
from xend.config.xlwords import Words
from xend.errors import ConfigError
from xend.model.devices import Pci

_ADDRESS: Final = re.compile(
    r"(?:([0-9a-fA-F]{1,8}):)?([0-9a-fA-F]{1,8}):([0-9a-fA-F]{1,8})\.(\*|[0-9a-fA-F]{1,8})"
)
_SWITCHES: Final = ("msitranslate", "power_mgmt", "permissive", "seize")
_KNOWN: Final = ("bdf", "vslot", *_SWITCHES, "rdm_policy", "name")
_POLICIES: Final = ("strict", "relaxed", "invalid")
ALL_FUNCTIONS: Final = "all_functions"
"""The option of a device whose address ends in `.*`."""


def read_pcis(settings: XlSettings, rdm_policy: str) -> tuple[Pci, ...]:
    """`pci`, with what pci_permissive and the like say of all of them."""
    common = {name: settings.flag(f"pci_{name}") for name in _SWITCHES}
    options = {name: "1" for name, value in common.items() if value}
    if rdm_policy:
        options["rdm_policy"] = rdm_policy
    found = [_read(settings, item, options) for item in settings.items("pci")]
    return tuple(device for device in found if device is not None)


def _read(settings: XlSettings, item: XlText, common: dict[str, str]) -> Pci | None:
    words = Words(settings, "pci", item)
    fields: dict[str, Any] = {}
    options = dict(common)
    text = item.text
    position = _ADDRESS.match(text)
    if position is not None:
        fields |= _address(words, position)
        vslot = re.compile(r"@([0-9a-fA-F]+)").match(text, position.end())
        end = position.end() if vslot is None else vslot.end()
        if vslot is not None:
            fields["vslot"] = _slot(words, vslot[1])
        if text[end : end + 1] not in ("", ","):
            words.wrong(f"'{text[:40]}' is no address", "0000:03:00.0, 03:00.0@7")
        text = text[end + 1 :]
    for word in text.split(",") if text else ():
        _option(words, word, fields, options)
    named = "name" in options
    if words.right and ("bus" in fields) == named:
        expected = "one of both" if named else "an address such as 0000:03:00.0, or name=NAME"
        words.wrong(f"'{item.text[:40]}' has {'both an' if named else 'no'} address", expected)
    return _built(words, fields, options)


def _option(words: Words, word: str, fields: dict[str, Any], options: dict[str, str]) -> None:
    key, equals, value = word.partition("=")
    if not equals:
        words.wrong(f"'{word[:40]}' is no option", "such as permissive=1")
    elif key == "bdf":
        match = _ADDRESS.fullmatch(value)
        if match is None:
            words.wrong(f"'{value[:40]}' is no address", "such as 0000:03:00.0")
        else:
            fields |= _address(words, match)
    elif key == "vslot":
        fields["vslot"] = _slot(words, value)
    elif key in _SWITCHES:
        options[key] = "1" if atoi(value) else "0"
    elif key == "rdm_policy":
        options[key] = words.choice(key, value, _POLICIES)
    elif key == "name":
        options[key] = value
    else:
        words.unknown(key, _KNOWN)


def _address(words: Words, match: re.Match[str]) -> dict[str, Any]:
    domain, bus, slot = (int(part or "0", 16) for part in match.groups()[:3])
    every = match[4] == "*"
    function = 0 if every else int(match[4], 16)
    if domain > 0xFFFF or bus > 0xFF or slot > 0x1F or function > 7:
        words.wrong(f"there is no address '{match.group()[:40]}'", "0:00:00.0 to ffff:ff:1f.7")
    key = match.group() if every else ""
    return {"domain": domain, "bus": bus, "slot": slot, "func": function, "key": key}


def _slot(words: Words, text: str) -> int:
    return words.number("vslot", text, 0x1F, base=16)


def _built(words: Words, fields: dict[str, Any], options: dict[str, str]) -> Pci | None:
    if not words.right:
        return None
    if fields.get("key"):
        options[ALL_FUNCTIONS] = "1"
    if options.get("rdm_policy") == "invalid":
        del options["rdm_policy"]
    given = {"bus": 0, "slot": 0, "func": 0} | fields
    try:
        return build_device(Pci, "pci", **given, options=options)
    except ConfigError as error:
        words.wrong(error.message)
        return None
