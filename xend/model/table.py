"""Every setting of a domain in one table: what docs/config-options.md shows.

The rows come from the fields of `DomainConfig` and its devices and from `xend.model.platform`;
here are only those that the model keeps without a field of their own (`DomainConfig.other`), the
lists of devices, and what was dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel

from xend.model import peripherals as more
from xend.model.devices import Device, Disk, IoPorts, Irq, Pci, Vfb, Vif, Vkbd
from xend.model.domain import DomainConfig
from xend.model.fields import Kind, Setting, rows
from xend.model.platform import PLATFORM

Face = Literal["xm", "xl", "sxp", "xenapi", "libxl"]
FACES: Final[tuple[Face, ...]] = ("xm", "xl", "sxp", "xenapi", "libxl")


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: `group` is the domain, or the kind of device that it belongs to."""

    group: str
    name: str
    """In the model: a field, `platform.NAME` or `other.NAME`."""
    kind: str
    default: str
    """What the model holds when nothing was said; empty: nothing."""
    setting: Setting


@dataclass(frozen=True, slots=True)
class Dropped:
    """A setting that is read but no longer acts, or that is refused."""

    face: Literal["xm", "xl"]
    name: str
    reason: str
    instead: str


@dataclass(frozen=True, slots=True)
class Alias:
    """An option that stands for others."""

    face: Literal["xm", "xl"]
    name: str
    meaning: str


@dataclass(frozen=True, slots=True)
class DeviceList:
    """An option that holds devices, and what each entry is."""

    field: str
    device: type[BaseModel]
    xm: str = ""
    xl: str = ""
    sxp: str = ""
    libxl: str = ""


DOMAIN: Final = "domain"

DEVICE_LISTS: Final = (
    DeviceList("disks", Disk, xm="disk", xl="disk", sxp="vbd, tap, tap2", libxl="disks"),
    DeviceList("vifs", Vif, xm="vif", xl="vif", sxp="vif", libxl="nics"),
    DeviceList("vfbs", Vfb, xm="vfb", xl="vfb", sxp="vfb", libxl="vfbs"),
    DeviceList("vkbds", Vkbd, xl="vkb", sxp="vkbd", libxl="vkbs"),
    DeviceList("pcis", Pci, xm="pci", xl="pci", sxp="pci", libxl="pcidevs"),
    DeviceList("ioports", IoPorts, xm="ioports", xl="ioports", sxp="ioports", libxl="ioports"),
    DeviceList("irqs", Irq, xm="irq", xl="irqs", sxp="irq", libxl="irqs"),
    DeviceList("iomem", more.IoMemory, xl="iomem", libxl="iomem"),
    DeviceList("usbctrls", more.UsbController, xl="usbctrl", libxl="usbctrls"),
    DeviceList("usbdevs", more.UsbDevice, xl="usbdev", libxl="usbdevs"),
    DeviceList("vtpms", more.Vtpm, xl="vtpm", libxl="vtpms"),
    DeviceList("p9s", more.P9, xl="p9", libxl="p9s"),
    DeviceList("pvcallsifs", more.PvCalls, xl="pvcalls", libxl="pvcallsifs"),
    DeviceList("channels", more.Channel, xl="channel", libxl="channels"),
    DeviceList("vdispls", more.Vdispl, xl="vdispl", libxl="vdispls"),
    DeviceList("vsnds", more.Vsnd, xl="vsnd", libxl="vsnds"),
    DeviceList("vnuma", more.VirtualNode, xl="vnuma", libxl="b_info.vnuma_nodes"),
)

_OTHER: Final[tuple[tuple[str, Setting], ...]] = (
    (
        "cpuid",
        Setting(
            xm="cpuid",
            xl="cpuid",
            sxp="cpuid",
            xenapi="cpuid",
            libxl="b_info.cpuid",
            kind=Kind.SPECIAL,
            note="xm's form `1:ecx=…` is one of xl's two",
        ),
    ),
    (
        "cpuid_check",
        Setting(xm="cpuid_check", sxp="cpuid_check", kind=Kind.SPECIAL, note="kept and shown"),
    ),
    ("target", Setting(xm="target", sxp="target", note="kept: libxl makes stub domains itself")),
    ("backend", Setting(xm="blkif, netif", sxp="backend", note="kept; xl: driver_domain")),
    ("security_label", Setting(sxp="security_label", note="kept; ACM is no longer in Xen")),
    (
        "memory_sharing",
        Setting(xm="memory_sharing", sxp="memory_sharing", note="kept; only for HVM"),
    ),
    ("superpages", Setting(xm="superpages", sxp="image.superpages", note="kept: Xen decides")),
    ("s3_integrity", Setting(xm="s3_integrity", sxp="s3_integrity", note="kept: Xen decides")),
    (
        "machine_address_size",
        Setting(xm="machine_address_size", sxp="machine_address_size", note="kept: Xen decides"),
    ),
    (
        "suppress_spurious_page_faults",
        Setting(
            xm="suppress_spurious_page_faults",
            sxp="suppress_spurious_page_faults",
            note="kept: Xen decides",
        ),
    ),
)

_KEPT_DEVICES: Final = "no longer, or not in this form, in Xen's toolstack: kept, not attached"
_OTHER_DEVICES: Final[tuple[tuple[str, Setting], ...]] = (
    ("vscsi", Setting(xm="vscsi", sxp="vscsi", note=f"paravirtual SCSI: {_KEPT_DEVICES}")),
    ("vusb", Setting(xm="vusb", sxp="vusb", note=f"{_KEPT_DEVICES}; use usbctrl, usbdev")),
    ("vif2", Setting(xm="vif2", sxp="vif2", note=f"netchannel2: {_KEPT_DEVICES}; use vif")),
    ("console", Setting(sxp="console", note="made by itself; channel is one with a name")),
)

DROPPED: Final = (
    Dropped("xm", "bootentry", "it was obsolete already", "bootargs"),
    Dropped("xm", "vncviewer", "it was obsolete already", "vncconsole, or xm create --vncviewer"),
    Dropped(
        "xm", "restart", "read as on_poweroff, on_reboot and on_crash", "on_poweroff, on_reboot …"
    ),
    Dropped("xm", "nics", "it was obsolete already; still read", "an empty entry of vif"),
    Dropped("xm", "cpu", "put before cpus, as it always was", "cpus"),
    Dropped(
        "xm", "access_control", "ACM is no longer in Xen; refused", "xl's seclabel, with Flask"
    ),
    Dropped("xl", "device_model", "xl itself ignores it", "device_model_override"),
    Dropped("xl", "vncviewer", "xl itself ignores it", "xl create -V"),
    Dropped("xl", "vif2", "xl itself ignores it", "vif"),
    Dropped("xl", "slice", "of a scheduler that is no longer in Xen", "cpu_weight, cap"),
    Dropped("xl", "latency", "of a scheduler that is no longer in Xen", "cpu_weight, cap"),
)

ALIASES: Final = (
    Alias(
        "xl",
        "firmware",
        "HVM: `bios` (ovmf, uefi, seabios, rombios, bios) or a path as `firmware_override`; "
        "else `kernel`: pvgrub32 or pvgrub64",
    ),
)


def table() -> Iterator[Row]:
    """All rows: the domain's own first, then device by device."""
    yield from _fields(DomainConfig, DOMAIN)
    for row in PLATFORM:
        yield Row(DOMAIN, f"platform.{row.name}", row.kind.value, "", row.setting)
    for name, setting in _OTHER:
        yield Row(DOMAIN, f"other.{name}", _kept_kind(setting), "", setting)
    for each in DEVICE_LISTS:
        yield from _fields(each.device, each.field)
    for name, setting in _OTHER_DEVICES:
        yield Row("other_devices", name, "device", "", setting)


def names(face: Literal["xm", "xl"]) -> frozenset[str]:
    """The options that a file of this kind may set, dropped ones included."""
    found = {row.name for row in DROPPED if row.face == face}
    found |= {alias.name for alias in ALIASES if alias.face == face}
    found |= {getattr(each, face) for each in DEVICE_LISTS}
    for row in table():
        if row.group in (DOMAIN, "other_devices"):
            found |= set(split(getattr(row.setting, face)))
    return frozenset(found - {""})


def split(given: str | None) -> list[str]:
    """The names in a row's cell."""
    return [name.strip() for name in (given or "").split(",") if name.strip()]


def _kept_kind(setting: Setting) -> str:
    return (setting.kind or Kind.INT).value


def _fields(model: type[BaseModel], group: str) -> Iterator[Row]:
    inherited = {name for name, _ in rows(Device)}
    for name, setting in rows(model):
        if name in inherited and group in ("ioports", "irqs", "pcis", "usbdevs"):
            continue  # these are always Domain-0's
        field = model.model_fields[name]
        default = (
            "" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        )
        yield Row(group, name, _kind(setting, field.annotation), default, setting)


def _kind(setting: Setting, annotation: Any) -> str:
    if setting.kind is not None and setting.kind is not Kind.SPECIAL:
        return setting.kind.value
    if get_origin(annotation) is Literal:
        return " or ".join(str(word) or "''" for word in get_args(annotation))
    arguments = [each for each in get_args(annotation) if each is not type(None)]
    if get_origin(annotation) is tuple:
        return "list"
    if get_origin(annotation) is dict:
        return "texts by name"
    plain = arguments[0] if len(arguments) == 1 else annotation
    return _NAMES.get(plain, "choice")


_NAMES: Final[dict[Any, str]] = {int: "number", str: "text", bool: "boolean", Any: "special"}


def _shown(value: Any) -> str:
    if value is None or value in ("", (), {}):
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)
