"""`DomainConfig.platform`, by its rows, and CPUID policies → libxl's JSON.  Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from xend.model.domain import DomainConfig, DomainType
from xend.model.fields import Kind
from xend.model.platform import BY_NAME, VIRIDIAN, PlatformSetting
from xend.model.values import choice, number, refuse

OF_THE_SCREEN: Final = frozenset(
    (
        *("vnc", "vnclisten", "vncdisplay", "vncunused", "vncpasswd", "sdl", "opengl"),
        *("display", "xauthority"),
    )
)
"""Settings of an HVM guest's screen: the model has them in its vfb."""

_NOT_FOR_PV: Final = frozenset(("hap", "oos", "timer_mode"))
_LEAST_VIDEORAM: Final = {"std": 16}
_LEAST_VIDEORAM_OTHERS: Final = 8
"""MiB; libxl_create.c refuses less.  xm's own default is 4, which old QEMU took."""

_QEMU_OPTIONS: Final = {
    "fda": "-fda",
    "fdb": "-fdb",
    "parallel": "-parallel",
    "monitor_path": "-monitor",
}
_RDM_POLICIES: Final = ("strict", "relaxed")
_LMCE: Final = 1
"""XEN_HVM_MCA_CAP_LMCE."""
_EVERYTHING: Final = 64
"""Width of libxl's viridian masks, LIBXL_BUILDINFO_HVM_VIRIDIAN_ENABLE_DISABLE_WIDTH."""

_SAID_ELSEWHERE: Final = frozenset(
    (
        *("stdvga", "device_model", "vncconsole", "pci"),
        *("pci_msitranslate", "pci_power_mgmt", "pci_permissive", "pci_seize", "monitor"),
    )
)
"""Not to be complained of: what the guest can do without, or what a device carries itself."""

_BITS: Final = frozenset("01xks")


def has_place(name: str) -> bool:
    """Whether libxl has a place for this setting, or it says nothing about the machine."""
    row = BY_NAME.get(name)
    return row is not None and (row.setting.libxl is not None or name in _SAID_ELSEWHERE)


def place_platform(tree: dict[str, Any], config: DomainConfig) -> None:
    """Puts each setting where its row says.  Raises ConfigError for values that libxl lacks."""
    platform = config.platform
    for name, value in platform.items():
        row = BY_NAME.get(name)
        if row is None or row.setting.libxl is None or value in (None, ""):
            continue
        if name in OF_THE_SCREEN or (name in _NOT_FOR_PV and config.type is DomainType.PV):
            continue
        _place(tree, config, row, value)
    if config.type is DomainType.HVM and platform.get("stdvga") and not platform.get("vga"):
        kind = "std" if defbool(platform["stdvga"]) == "True" else "cirrus"
        put(tree, "hvm.vga.kind", kind, config.type)


def _place(tree: dict[str, Any], config: DomainConfig, row: PlatformSetting, value: Any) -> None:
    path = row.setting.libxl or ""
    match row.kind:
        case Kind.SPECIAL:
            _SPECIAL[row.name](tree, config, value)
        case Kind.FLAG:
            put(tree, path, defbool(value), config.type)
        case Kind.INT | Kind.MIB:
            _place_number(tree, config, row, value)
        case Kind.CHOICE:
            word = choice(row.name, row.setting, value)
            if word != row.unsaid:
                put(tree, path, word, config.type)
        case Kind.TEXTS:
            texts = [value] if isinstance(value, str) else value
            _append(tree, path.removeprefix("b_info."), [str(text) for text in texts])
        case Kind.TEXT_OR_TEXTS if isinstance(value, list):
            put(tree, f"{path}_list", [str(text) for text in value], config.type)
        case _:
            _place_text(tree, config, row, str(value))


def _place_text(
    tree: dict[str, Any], config: DomainConfig, row: PlatformSetting, value: str
) -> None:
    if row.name in _QEMU_OPTIONS:
        if config.type is DomainType.HVM:
            _append(tree, "extra_hvm", [_QEMU_OPTIONS[row.name], value])
    elif row.name != "loader" or value.rpartition("/")[2] != "hvmloader":
        put(tree, row.setting.libxl or "", value, config.type)


def _append(tree: dict[str, Any], key: str, texts: list[str]) -> None:
    tree["b_info"].setdefault(key, []).extend(texts)


def _place_number(
    tree: dict[str, Any], config: DomainConfig, row: PlatformSetting, value: Any
) -> None:
    amount = number(row.name, row.setting, value)
    if row.name == "rtc_timeoffset":
        if not amount:
            return
        amount &= 0xFFFFFFFF  # a uint32 in libxl, though it stands for a signed number
    if row.name == "videoram":
        kind = config.platform.get("vga") or ("std" if config.platform.get("stdvga") else "")
        least = _LEAST_VIDEORAM.get(str(kind), _LEAST_VIDEORAM_OTHERS)
        if config.type is not DomainType.HVM or amount < least:
            return
    factor = 1024 if row.kind is Kind.MIB else 1
    put(tree, row.setting.libxl or "", amount * factor, config.type)


def put(tree: dict[str, Any], path: str, value: Any, kind: DomainType) -> None:
    """`value` at `path`; nothing if that is a part of another type's `b_info`."""
    first, *rest = path.split(".")
    place: dict[str, Any] = tree
    if first in ("hvm", "pv", "pvh"):
        if first != kind.value:
            return
        place = tree.setdefault("b_info", {}).setdefault(f"type.{first}", {})
    else:
        rest = [first, *rest]
    for key in rest[:-1]:
        place = place.setdefault(key, {})
    place[rest[-1]] = value


def defbool(value: Any) -> str:
    """libxl's spelling in JSON of a three-valued boolean; accepts what old configs hold."""
    return "True" if value not in (0, "0", False, "no", "false", "", None) else "False"


def _viridian(tree: dict[str, Any], config: DomainConfig, value: Any) -> None:
    """0, 1, or groups as xl takes them: the last mention of a group counts."""
    if not isinstance(value, list):
        put(tree, "hvm.viridian", defbool(value), config.type)
        return
    wanted: set[int] = set()
    unwanted: set[int] = set()
    for word in value:
        if word == "all":
            wanted = set(range(_EVERYTHING))
        elif word == "defaults":
            put(tree, "hvm.viridian", "True", config.type)
        else:
            group = str(word).removeprefix("!")
            if group not in VIRIDIAN:
                refuse("viridian", word, f"one of {', '.join(VIRIDIAN)}")
            adding, losing = (unwanted, wanted) if str(word)[:1] == "!" else (wanted, unwanted)
            adding.add(VIRIDIAN.index(group))
            losing.discard(VIRIDIAN.index(group))
    for key, bits in (("viridian_enable", wanted), ("viridian_disable", unwanted)):
        if bits:
            put(tree, f"hvm.{key}", sorted(bits), config.type)


def _gfx_passthru(tree: dict[str, Any], config: DomainConfig, value: Any) -> None:
    if value == "igd":
        put(tree, "hvm.gfx_passthru_kind", "igd", config.type)
    put(tree, "hvm.gfx_passthru", defbool(value), config.type)


def _rdm(tree: dict[str, Any], config: DomainConfig, value: Any) -> None:
    """`strategy=host,policy=relaxed`; both may be left out."""
    reserve: dict[str, str] = {}
    for part in str(value).split(","):
        key, _, word = part.strip().partition("=")
        right = {"strategy": ("host",), "policy": _RDM_POLICIES}.get(key, ())
        if word not in right:
            refuse("rdm", value, "strategy=host[,policy=strict|relaxed]")
        reserve[key] = word
    put(tree, "hvm.rdm", reserve, config.type)


def _mca_caps(tree: dict[str, Any], config: DomainConfig, value: Any) -> None:
    for word in value if isinstance(value, list) else [value]:
        if word != "lmce":
            refuse("mca_caps", word, "lmce")
        put(tree, "hvm.mca_caps", _LMCE, config.type)


def _ms_vm_genid(tree: dict[str, Any], config: DomainConfig, value: Any) -> None:
    """32 hexadecimal digits: who reads a file makes them of `generate`."""
    if value == "none":
        return
    try:
        octets = list(bytes.fromhex(str(value)))
    except ValueError:
        octets = []
    if len(octets) != 16:
        refuse("ms_vm_genid", value, "32 hexadecimal digits, generate or none")
    put(tree, "hvm.ms_vm_genid", octets, config.type)


def _label(tree: dict[str, Any], config: DomainConfig, value: Any) -> None:
    """With a label for its building, the other is the one that it then runs with."""
    building = config.platform.get("init_seclabel")
    put(tree, "c_info.ssid_label", str(building or value), config.type)
    if building and config.platform.get("seclabel"):
        put(tree, "b_info.exec_ssid_label", str(config.platform["seclabel"]), config.type)


_SPECIAL: Final[dict[str, Callable[[dict[str, Any], DomainConfig, Any], None]]] = {
    "viridian": _viridian,
    "gfx_passthru": _gfx_passthru,
    "rdm": _rdm,
    "mca_caps": _mca_caps,
    "ms_vm_genid": _ms_vm_genid,
    "seclabel": _label,
    "init_seclabel": _label,
}


def cpuid(config: DomainConfig) -> dict[str, Any]:
    """libxl's CPUID and MSR policies; empty if the configuration has none."""
    leaves, msrs = config.other.get("cpuid"), config.other.get("msr")
    if not leaves and not msrs:
        return {}
    return {
        "cpuid": [_leaf(leaf, registers) for leaf, registers in (leaves or {}).items()],
        "msr": [{"index": int(index), "policy": bits} for index, bits in (msrs or {}).items()],
    }


def _leaf(leaf: str, registers: dict[str, str]) -> dict[str, Any]:
    """`4,1` is subleaf 1 of leaf 4.  Each register has 32 of 0, 1, x, k and s."""
    try:
        parts = [int(part, 0) for part in str(leaf).split(",")]
    except ValueError:
        refuse("cpuid", leaf, "a leaf, or a leaf and a subleaf")
    tree: dict[str, Any] = dict(zip(("leaf", "subleaf"), parts, strict=False))
    for register, bits in registers.items():
        if register not in ("eax", "ebx", "ecx", "edx") or len(bits) != 32 or set(bits) - _BITS:
            refuse(f"cpuid {leaf} {register}", bits, "32 characters of 0, 1, x, k, s")
        tree[register] = bits
    return tree
