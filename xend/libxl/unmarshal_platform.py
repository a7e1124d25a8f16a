"""libxl's JSON → `DomainConfig.platform`, by its rows, and CPUID policies.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from xend.libxl.marshal_platform import OF_THE_SCREEN
from xend.model.domain import DomainType
from xend.model.fields import Kind
from xend.model.platform import PLATFORM, VIRIDIAN, PlatformSetting

_MEMKB_DEFAULT: Final = 2**64 - 1
_UNSET: Final[tuple[Any, ...]] = (None, "", [], "<default>", _MEMKB_DEFAULT)
_ZERO_IS_SAID: Final = frozenset(
    (*("max_grant_frames", "max_maptrack_frames", "max_grant_version"), "extratime")
)
"""Numbers whose default is another than 0."""


def platform(tree: Mapping[str, Any], kind: DomainType) -> dict[str, Any]:
    """Every setting that the JSON holds, by its row's name."""
    found: dict[str, Any] = {}
    for row in PLATFORM:
        if row.setting.libxl is None or row.name in OF_THE_SCREEN or row.setting.xm == "pci":
            continue
        value = _read(tree, row, kind)
        if value not in _UNSET:
            found[row.name] = value
    return found | _labels(tree)


def _read(tree: Mapping[str, Any], row: PlatformSetting, kind: DomainType) -> Any:
    path = row.setting.libxl or ""
    if path == "b_info.extra_hvm" and row.kind is not Kind.TEXTS:
        return None  # xm's settings that are QEMU's options: they stay options
    value = at(tree, path, kind)
    match row.kind:
        case Kind.SPECIAL:
            return _special(tree, row.name, kind)
        case Kind.FLAG:
            return int(value == "True") if value in ("True", "False") else None
        case Kind.MIB:
            return value // 1024 if value not in _UNSET and value else None
        case Kind.INT:
            return _number(row.name, value)
        case Kind.TEXT_OR_TEXTS:
            return value or at(tree, f"{path}_list", kind)
        case Kind.CHOICE:
            return None if value is None else _choice(row, str(value).lower())
        case _:
            return value


def _number(name: str, value: Any) -> Any:
    if name == "rtc_timeoffset" and value is not None:
        return value - 2**32 if value >= 2**31 else value or None
    if value in (-1, 2**32 - 1):
        return None  # the defaults of sched_params and of the limits
    return None if value == 0 and name not in _ZERO_IS_SAID else value


def _choice(row: PlatformSetting, value: str) -> Any:
    """Choices that xm has too are numbers there."""
    choices = row.setting.choices
    if value == row.unsaid or value not in choices:
        return None
    return choices.index(value) if row.setting.xm else value


def at(tree: Mapping[str, Any], path: str, kind: DomainType) -> Any:
    """The value at a row's path; None if there is none."""
    first, *rest = path.split(".")
    place: Any = tree
    if first in ("hvm", "pv", "pvh"):
        if first != kind.value:
            return None
        place = (tree.get("b_info") or {}).get(f"type.{first}")
    else:
        rest = [first, *rest]
    for key in rest:
        place = place.get(key) if isinstance(place, Mapping) else None
    return place


def _special(tree: Mapping[str, Any], name: str, kind: DomainType) -> Any:
    part = at(tree, "hvm", kind) if kind is not DomainType.HVM else None
    part = (tree.get("b_info") or {}).get("type.hvm") if kind is DomainType.HVM else part
    hvm: Mapping[str, Any] = part or {}
    match name:
        case "viridian":
            return _viridian(hvm)
        case "gfx_passthru":
            if str(hvm.get("gfx_passthru_kind")).lower() == "igd":
                return "igd"
            state = hvm.get("gfx_passthru")
            return int(state == "True") if state in ("True", "False") else None
        case "rdm":
            reserve = hvm.get("rdm") or {}
            parts = [f"{key}={reserve[key]}" for key in ("strategy", "policy") if reserve.get(key)]
            return ",".join(parts).lower() if reserve.get("strategy") else None
        case "mca_caps":
            return ["lmce"] if hvm.get("mca_caps") else None
        case "ms_vm_genid":
            octets = hvm.get("ms_vm_genid") or []
            return bytes(octets).hex() if any(octets) else None
    return None


def _viridian(hvm: Mapping[str, Any]) -> Any:
    enabled, disabled = hvm.get("viridian_enable") or [], hvm.get("viridian_disable") or []
    if not enabled and not disabled:
        state = hvm.get("viridian")
        return int(state == "True") if state in ("True", "False") else None
    words = ["defaults"] if hvm.get("viridian") == "True" else []
    if len(enabled) > len(VIRIDIAN):  # bits of groups that there are not (yet): of `all`
        words.append("all")
        enabled = []
    words += [VIRIDIAN[bit] for bit in enabled if bit < len(VIRIDIAN)]
    return words + [f"!{VIRIDIAN[bit]}" for bit in disabled if bit < len(VIRIDIAN)]


def _labels(tree: Mapping[str, Any]) -> dict[str, Any]:
    first = (tree.get("c_info") or {}).get("ssid_label")
    then = (tree.get("b_info") or {}).get("exec_ssid_label")
    if first and then:
        return {"init_seclabel": first, "seclabel": then}
    return {"seclabel": first} if first else {}


def policies(build: Mapping[str, Any]) -> dict[str, Any]:
    """`cpuid` and `msr` of `DomainConfig.other`; an old libxl's list has only the first."""
    shown = build.get("cpuid") or {}
    leaves = shown if isinstance(shown, list) else shown.get("cpuid") or []
    msrs = [] if isinstance(shown, list) else shown.get("msr") or []
    found: dict[str, Any] = {}
    if leaves:
        found["cpuid"] = dict(map(_leaf, leaves))
    if msrs:
        found["msr"] = {str(each["index"]): each["policy"] for each in msrs}
    return found


def _leaf(entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    numbers = [str(entry[key]) for key in ("leaf", "subleaf") if key in entry]
    registers = {key: entry[key] for key in ("eax", "ebx", "ecx", "edx") if key in entry}
    return ",".join(numbers), registers
