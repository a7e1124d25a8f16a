"""docs/config-options.md, made from the table of settings."""

from __future__ import annotations

from typing import Final

from xend.model.fields import Setting
from xend.model.table import ALIASES, DEVICE_LISTS, DOMAIN, DROPPED, FACES, Row, table

_HEAD: Final = """\
# The settings of a domain

One row for each setting: its name in each kind of file, interface and in libxl's JSON, its type,
its unit, and what it means when it is left out. Made by `scripts/gen-docs`; the readers, the
writers and `xend check` work from the same rows.

* **xm** is a file of `xm` (a Python 2 program), **xl.cfg** one of `xl` (xl.cfg(5) of Xen 4.17).
* **SXP** is the name in `(vm …)` and `(domain …)`; `image.X` stands in the image. What has no name
  there is in its child `(xend …)`, which old clients ignore.
* **libxl** is the place in the JSON of a `libxl_domain_config`; `hvm.X` is
  `b_info.type.hvm.X`.
* **Model** is the name in REST's JSON, where memory is in KiB.
* "kept" means that nothing acts on it, but that it is shown and saved as it came.

A cell with several names: the file has the setting in parts, or under an older name.
"""
_TITLES: Final = {
    DOMAIN: "The domain",
    "disks": "Disks",
    "vifs": "Network interfaces",
    "vfbs": "Frame buffers",
    "vkbds": "Keyboards",
    "pcis": "PCI devices",
    "ioports": "I/O ports",
    "irqs": "Interrupts",
    "iomem": "Memory of the host",
    "usbctrls": "USB controllers",
    "usbdevs": "USB devices",
    "vtpms": "vTPMs",
    "p9s": "9P directories",
    "pvcallsifs": "PV calls",
    "channels": "Channels",
    "vdispls": "Displays",
    "vsnds": "Sound cards",
    "vnuma": "NUMA nodes of the guest",
    "other_devices": "Devices that are only kept",
}
_COLUMNS: Final = "| model | xm | xl.cfg | SXP | Xen-API | libxl | type | left out | note |\n"
_RULE: Final = "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"


def manual() -> str:
    """Text of docs/config-options.md."""
    groups: dict[str, list[Row]] = {group: [] for group in _TITLES}
    for row in table():
        groups[row.group].append(row)
    parts = [_HEAD]
    for group, rows in groups.items():
        parts.append(f"\n## {_TITLES[group]}\n\n{_about(group)}{_COLUMNS}{_RULE}")
        parts += [_line(row) for row in rows]
    parts.append("\n## Options that stand for others\n\n| file | option | what it sets |\n")
    parts.append("| --- | --- | --- |\n")
    parts += [f"| {a.face} | `{a.name}` | {a.meaning} |\n" for a in ALIASES]
    parts.append("\n## Dropped\n\n| file | option | what became of it | use instead |\n")
    parts.append("| --- | --- | --- | --- |\n")
    parts += [f"| {d.face} | `{d.name}` | {d.reason} | {d.instead} |\n" for d in DROPPED]
    return "".join(parts)


def _about(group: str) -> str:
    """Where a list of devices stands in each face."""
    for each in DEVICE_LISTS:
        if each.field == group:
            places = [
                ("xm", each.xm),
                ("xl.cfg", each.xl),
                ("SXP", each.sxp),
                ("libxl", each.libxl),
                ("model", each.field),
            ]
            return ", ".join(f"{face} `{name}`" for face, name in places if name) + ".\n\n"
    return ""


def _line(row: Row) -> str:
    setting = row.setting
    cells = [f"`{row.name}`", *(_name(getattr(setting, face)) for face in FACES)]
    unit = f", {setting.unit}" if setting.unit and setting.unit != row.kind else ""
    cells += [row.kind + unit, _default(row), _note(setting)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _name(name: str | None) -> str:
    return f"`{name}`" if name else ""


def _default(row: Row) -> str:
    """By file where they differ; the model's own where no file has one."""
    xm, xl = row.setting.xm_default, row.setting.xl_default
    if xm == xl:
        return xm or (row.default if row.default != "None" else "")
    return ", ".join(f"{face} {text}" for face, text in (("xm", xm), ("xl", xl)) if text)


def _note(setting: Setting) -> str:
    limits = {
        (False, False): "",
        (True, False): f"at least {setting.low}",
        (False, True): f"at most {setting.high}",
        (True, True): f"{setting.low} to {setting.high}",
    }[(setting.low is not None, setting.high is not None)]
    parts = [setting.note, " ".join(f"`{word}`" for word in setting.choices if word), limits]
    return "; ".join(part for part in parts if part)
