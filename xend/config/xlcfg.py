"""Files of xl (xl.cfg(5) of Xen 4.17) to the model.

What xl refuses is refused, all of it in one error.  What xl takes means the same here; where it
cannot, docs/compatibility.md says so.  Nothing is executed, and nothing but the text is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from xend.config.devicelists import mark_bootable
from xend.config.modelbuild import build_config
from xend.config.problems import Note, Report
from xend.config.xlboot import read_boot, read_events, read_identity, read_type
from xend.config.xlcpuid import read_cpuid
from xend.config.xlcpus import CpuReader, Nodes
from xend.config.xldisk import read_disk
from xend.config.xlgrammar import MAX_TEXT, parse
from xend.config.xlmachine import ROWS, read_platform
from xend.config.xlnetwork import read_vif
from xend.config.xlpci import read_pcis
from xend.config.xlperipherals import read_peripherals
from xend.config.xlports import read_ports
from xend.config.xlscreen import read_screens
from xend.config.xlsettings import XlSettings
from xend.config.xlsound import read_sound
from xend.errors import ConfigError
from xend.model.domain import DomainConfig, DomainType

_INT: Final = 2**31 - 1
_MIB: Final = 2**43
_LEAST_MEMORY: Final = 32
"""MiB that libxl gives to a domain whose file says nothing (libxl_create.c)."""
_WITHOUT_EFFECT: Final = {
    "device_model": "Xen's own is taken; device_model_override names another",
    "latency": "there is no scheduler any more that has it",
    "slice": "there is no scheduler any more that has it",
    "vif2": "netchannel2 is no longer in Xen",
    "vncviewer": "xm create -V opens a viewer",
}
"""Settings that xl reads and does nothing with."""

NAMES: Final = frozenset(
    (
        *ROWS,
        *_WITHOUT_EFFECT,
        *("name", "type", "builder", "uuid", "pool", "memory", "maxmem", "shadow_memory"),
        *("vcpus", "maxvcpus", "cpus", "cpus_soft", "vnuma", "cpu_weight", "cap", "cpuid"),
        *("kernel", "ramdisk", "cmdline", "root", "extra", "bootloader", "bootloader_args"),
        *("firmware", "on_poweroff", "on_reboot", "on_watchdog", "on_crash", "on_soft_reset"),
        *("disk", "vif", "vfb", "vkb", "pci", "usbctrl", "usbdev", "vtpm", "p9", "pvcalls"),
        *("vdispl", "vsnd", "channel", "dtdev", "ioports", "irqs", "iomem"),
        *("pci_msitranslate", "pci_power_mgmt", "pci_permissive", "pci_seize"),
        *("vnc", "vnclisten", "vncdisplay", "vncunused", "vncpasswd", "sdl", "opengl"),
        *("display", "xauthority"),
    )
)
"""Every setting of xl.cfg(5)."""


@dataclass(frozen=True, slots=True)
class XlResult:
    """A domain, and what there is to say of its file."""

    config: DomainConfig
    notes: tuple[Note, ...]


def read(
    text: str,
    *,
    filename: str,
    strict: bool = False,
    nodes: Nodes | None = None,
    new_uuid: Callable[[], UUID] = uuid4,
) -> XlResult:
    """The domain that `text` describes.  Raises InvalidFile with every mistake that is in it.

    `strict` makes a mistake of what xl passes over (settings that it does not know, words of a
    `vif` or of `cpuid`); else there is a note.  `nodes` is needed for `cpus = "node:0"`.
    """
    report = Report(filename, strict=strict)
    if len(text) <= MAX_TEXT:
        _check_text(text, report)
        report.check()
    settings = XlSettings(parse(text, report), report)
    settings.check_names(NAMES)
    for name in sorted(_WITHOUT_EFFECT.keys() & set(settings.names())):
        message = f"{name}: without effect: {_WITHOUT_EFFECT[name]}"
        settings.note(name, settings.at(name), "ignored", message)
    fields = _fields(settings, nodes, new_uuid)
    report.check()
    config = _built(settings, fields)
    notes = sorted(report.notes, key=lambda note: (note.line, note.column))
    return XlResult(config, tuple(notes))


def _check_text(text: str, report: Report) -> None:
    """Bytes that are no UTF-8 come as lone surrogates."""
    for number, line in enumerate(text.split("\n"), 1):
        if "\0" in line:
            column = line.index("\0") + 1
            report.problem(number, column, "a NUL byte", text=line, expected="a text file")
        if number == 1 and line.startswith("\ufeff"):
            expected = "plain UTF-8 (xl refuses it, too)"
            report.problem(1, 1, "a byte order mark in front", expected=expected)
        for column, letter in enumerate(line, 1) if not line.isascii() else ():
            if 0xD800 <= ord(letter) <= 0xDFFF:
                report.problem(
                    number, column, "a byte that is no UTF-8", text=line, expected="text in UTF-8"
                )
                break


def _fields(
    settings: XlSettings, nodes: Nodes | None, new_uuid: Callable[[], UUID]
) -> dict[str, Any]:
    kind = read_type(settings)
    platform = read_platform(settings, kind)
    policies = read_cpuid(settings)
    fields: dict[str, Any] = {
        "type": kind,
        **read_identity(settings, new_uuid),
        **CpuReader(settings, nodes).fields(),
        **_shares(settings),
        **read_boot(settings, kind),
        **read_events(settings),
        **_devices(settings, kind, platform),
    }
    fields |= _memory(settings, fields.get("maxmem"))
    if fields["pcis"] and kind is DomainType.PV:
        platform["e820_host"] = 1  # as xl: guests need the host's holes for the devices' memory
    return fields | {"platform": platform, "other": policies}


def _memory(settings: XlSettings, of_nodes: int | None) -> dict[str, int]:
    """KiB.  `of_nodes` is what the nodes of vnuma have."""
    most = of_nodes or (settings.number("maxmem", 1, _MIB) or 0) * 1024
    now = (settings.number("memory", 1, _MIB) or 0) * 1024
    if not now:  # absent, or wrong
        now = most or _LEAST_MEMORY * 1024
        settings.note("memory", settings.at("memory"), "computed", f"memory: {now // 1024} MiB")
    if most and now > most:
        settings.wrong(
            "memory",
            settings.at("memory"),
            f"memory: {now // 1024} MiB, but at most {most // 1024} (maxmem)",
        )
    shadow = (settings.number("shadow_memory", 0, _MIB) or 0) * 1024
    return {"memory": now, "maxmem": most, "shadow_memory": shadow}


def _shares(settings: XlSettings) -> dict[str, int]:
    weight, cap = settings.number("cpu_weight", 1, _INT), settings.number("cap", 0, _INT)
    given = {"cpu_weight": weight, "cpu_cap": cap}
    return {name: value for name, value in given.items() if value is not None}


def _devices(settings: XlSettings, kind: DomainType, platform: dict[str, Any]) -> dict[str, Any]:
    disks = [read_disk(settings, item) for item in settings.items("disk")]
    vifs = [read_vif(settings, item) for item in settings.items("vif")]
    _check_twice(settings, "disk", [disk.vdev if disk else None for disk in disks])
    _check_twice(settings, "vif", [vif.mac if vif else None for vif in vifs])
    policy = str(platform.get("rdm", "")).partition("policy=")[2].partition(",")[0]
    return {
        "disks": tuple(mark_bootable([disk for disk in disks if disk is not None])),
        "vifs": tuple(vif for vif in vifs if vif is not None),
        "pcis": read_pcis(settings, policy),
        "vsnds": read_sound(settings),
        "dtdevs": tuple(item.text for item in settings.items("dtdev")),
        **read_screens(settings, kind),
        **read_peripherals(settings),
        **read_ports(settings),
    }


def _check_twice(settings: XlSettings, field: str, names: Sequence[str | None]) -> None:
    """No two devices are the same; xl finds out when it attaches the second."""
    known: set[str] = set()
    for item, name in zip(settings.items(field), names, strict=True):
        if name and name in known:
            settings.wrong(field, item, f"{field}: there are two of '{name}'", "another")
        known.add(name or "")


def _built(settings: XlSettings, fields: dict[str, Any]) -> DomainConfig:
    """What only the model knows to be wrong is reported at its setting."""
    try:
        return build_config(fields)
    except ConfigError as error:
        name = str(error.fields.get("field") or "").partition(".")[0]
        where = settings.at(name)
        message = f"{name}: {error.message}" if name else error.message
        settings.wrong(name, where, message, str(error.fields.get("expected") or ""))
    settings.report.check()
    raise AssertionError("a problem was reported")
