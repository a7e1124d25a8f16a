"""The settings of an xl file that are kept in `DomainConfig.platform`, by their rows there."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

from xend.config.problems import suggestion
from xend.config.xlgrammar import XlList, XlText
from xend.config.xlnumbers import whole
from xend.config.xlsettings import XlSettings
from xend.model.domain import DomainType
from xend.model.fields import Kind
from xend.model.platform import PLATFORM, VIRIDIAN, PlatformSetting

_ELSEWHERE: Final = frozenset(
    (
        *("vnc", "vnclisten", "vncdisplay", "vncunused", "vncpasswd", "sdl", "opengl"),
        *("pci_msitranslate", "pci_power_mgmt", "pci_permissive", "pci_seize"),
        *("budget", "blkdev_start", "claim_mode"),
    )
)
"""Rows whose setting is read with the screen or the PCI devices, or that no xl file has."""
_BY_NUMBER: Final = frozenset(("tsc_mode", "timer_mode", "altp2m"))
_KEPT_AS_NUMBER: Final = frozenset(("tsc_mode", "timer_mode"))
"""As xm and its clients have them."""
_VGA: Final = {"stdvga": "std", "cirrus": "cirrus", "none": "none", "qxl": "qxl"}
_VERSIONS: Final = ("qemu-xen", "qemu-xen-traditional")
_INT: Final = 2**31 - 1
_UINT: Final = 2**32 - 1
_MIB: Final = 2**53

ROWS: Final = {
    row.setting.xl: row for row in PLATFORM if row.setting.xl and row.name not in _ELSEWHERE
}
"""By the name in an xl file."""


def read_platform(settings: XlSettings, kind: DomainType) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, row in ROWS.items():
        if name not in settings:
            continue
        if not _applies(row, kind):
            wanted = "pv" if _part(row) == "pv" else "pvh" if _part(row) == "pvh" else "hvm"
            settings.note(
                name,
                settings.at(name),
                "ignored",
                f"{name}: without effect for a {kind.value} domain, only for type = '{wanted}'",
            )
            continue
        value = _read(settings, name, row)
        if value not in (None, "", []):
            found[row.name] = value
    if kind is DomainType.HVM:
        _firmware(settings, found)
        if "stdvga" in found:
            found.setdefault("vga", "std" if found["stdvga"] else "cirrus")
        if "vga" in found:
            found["stdvga"] = int(found["vga"] == "std")  # for those who know xm's name only
    else:
        _refuse_timer_mode(settings, kind)
    return found


def _refuse_timer_mode(settings: XlSettings, kind: DomainType) -> None:
    if kind is DomainType.PV and "timer_mode" in settings:
        settings.wrong(
            "timer_mode",
            settings.at("timer_mode"),
            "timer_mode: a paravirtual domain has none",
            "type = 'pvh' or 'hvm', or no timer_mode",
        )


def _part(row: PlatformSetting) -> str:
    return (row.setting.libxl or "").partition(".")[0]


def _applies(row: PlatformSetting, kind: DomainType) -> bool:
    """xl reads some settings for one type of domain only."""
    if row.name in ("apic", "stdvga"):
        return kind is DomainType.HVM
    return _part(row) not in ("hvm", "pv", "pvh") or _part(row) == kind.value


def _read(settings: XlSettings, name: str, row: PlatformSetting) -> Any:
    if row.name in _SPECIAL:
        return _SPECIAL[row.name](settings)
    match row.kind:
        case Kind.FLAG:
            return settings.flag(name)
        case Kind.INT | Kind.MIB:
            return _number(settings, name, row)
        case Kind.CHOICE:
            return _choice(settings, name, row)
        case Kind.TEXTS:
            return [item.text for item in settings.items(name)]
        case Kind.TEXT_OR_TEXTS:
            value = settings.value(name)
            if isinstance(value, XlList):
                return [item.text for item in settings.texts_of(name, value)]
            return settings.text(name)
        case _:
            return settings.text(name)


def _number(settings: XlSettings, name: str, row: PlatformSetting) -> int | None:
    low, high = row.setting.low, row.setting.high
    if row.kind is Kind.MIB:
        return settings.number(name, low or 0, _MIB if high is None else high)
    least = -_INT - 1 if low is None else low
    return settings.number(name, least, (_UINT if low == 0 else _INT) if high is None else high)


def _choice(settings: XlSettings, name: str, row: PlatformSetting) -> Any:
    choices = row.setting.choices
    atom = settings.atom(name)
    number = whole(atom.text) if atom is not None and row.name in _BY_NUMBER else None
    if atom is None or number is None:
        chosen = settings.choice(name, [each for each in choices if each != "unknown"])
    elif 0 <= number < len(choices):
        chosen = choices[number]
        settings.note(
            name, atom, "deprecated", f"{name}: numbers are deprecated; {name} = '{chosen}'"
        )
    else:
        settings.wrong(name, atom, f"{name}: there is no {number}", ", ".join(choices))
        return None
    if row.name in _KEPT_AS_NUMBER and chosen:
        return choices.index(chosen)
    return chosen


def _vga(settings: XlSettings) -> str | None:
    return _VGA.get(settings.choice("vga", tuple(_VGA)))


def _model_version(settings: XlSettings) -> str:
    return settings.choice("device_model_version", _VERSIONS).replace("-", "_")


def _vmtrace(settings: XlSettings) -> int | None:
    """KiB; 0 is nothing."""
    return _number(settings, "vmtrace_buf_kb", ROWS["vmtrace_buf_kb"]) or None


def _altp2mhvm(settings: XlSettings) -> int | None:
    settings.note(
        "altp2mhvm",
        settings.at("altp2mhvm"),
        "deprecated",
        "altp2mhvm: deprecated; altp2m = 'mixed'",
    )
    return settings.flag("altp2mhvm")


def _viridian(settings: XlSettings) -> Any:
    """0, 1 or a list of groups."""
    value = settings.value("viridian")
    if not isinstance(value, XlList):
        return settings.flag("viridian")
    known = ("all", "defaults", *VIRIDIAN)
    found = []
    for item in settings.texts_of("viridian", value):
        word = item.text.removeprefix("!")
        if word.lower() not in known or (word != item.text and word in known[:2]):
            hint = suggestion(word, known)
            settings.wrong(
                "viridian",
                item,
                f"viridian: there is no '{item.text[:40]}'{hint}",
                ", ".join(known),
            )
        else:
            found.append(item.text.lower())
    return found


def _rdm(settings: XlSettings) -> str:
    """`strategy=host,policy=relaxed`.  xl reads no policy here (libxlu_pci.c takes a right one
    for wrong, and passes over what it does not understand), but the manual says so."""
    text = settings.text("rdm")
    for part in text.split(",") if text else ():
        if part not in ("strategy=host", "policy=strict", "policy=relaxed"):
            settings.wrong(
                "rdm",
                settings.at("rdm"),
                f"rdm: '{part[:40]}' is not right",
                "strategy=host,policy=strict or relaxed",
            )
    return text


def _mca_caps(settings: XlSettings) -> list[str]:
    found = []
    for item in settings.items("mca_caps"):
        if item.text == "lmce":
            found.append(item.text)
        else:
            settings.wrong("mca_caps", item, f"mca_caps: there is no '{item.text[:40]}'", "lmce")
    return found


def _ms_vm_genid(settings: XlSettings) -> str:
    """16 bytes in hexadecimal."""
    if settings.choice("ms_vm_genid", ("generate", "none")) != "generate":
        return ""
    settings.note(
        "ms_vm_genid",
        settings.at("ms_vm_genid"),
        "computed",
        "ms_vm_genid: a new identification for each reading of the file",
    )
    return secrets.token_hex(16)


def _gfx_passthru(settings: XlSettings) -> Any:
    """0, 1, or the kind of the card."""
    atom = settings.atom("gfx_passthru")
    if isinstance(atom, XlText) and whole(atom.text) is not None:
        return settings.flag("gfx_passthru")
    kind = settings.choice("gfx_passthru", ("default", "igd"))
    return 1 if kind == "default" else kind


_SPECIAL: Final[dict[str, Callable[[XlSettings], Any]]] = {
    "vga": _vga,
    "device_model_version": _model_version,
    "altp2mhvm": _altp2mhvm,
    "vmtrace_buf_kb": _vmtrace,
    "viridian": _viridian,
    "rdm": _rdm,
    "mca_caps": _mca_caps,
    "ms_vm_genid": _ms_vm_genid,
    "gfx_passthru": _gfx_passthru,
}


def _firmware(settings: XlSettings, found: dict[str, Any]) -> None:
    """`firmware` is short for `bios`, or the path of another firmware."""
    name = settings.text("firmware")
    if name.lower() in ("rombios", "seabios", "ovmf"):
        found["bios"] = name.lower()
    elif name == "uefi":
        found["bios"] = "ovmf"
    elif name and name != "bios":
        found["loader"] = name
    if "bios_path_override" in found and "bios" not in found:
        settings.note(
            "bios_path_override",
            settings.at("bios_path_override"),
            "ignored",
            "bios_path_override: without bios = '...', libxl may not take it",
        )
