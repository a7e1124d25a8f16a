"""Ports, interrupts and memory of the host that an xl file gives to the guest."""

from __future__ import annotations

import re
from typing import Any, Final

from xend.config.xlgrammar import XlText
from xend.config.xlnumbers import strtol, whole
from xend.config.xlsettings import XlSettings
from xend.model.devices import IoPorts, Irq
from xend.model.peripherals import IoMemory

_UINT: Final = 2**32 - 1
_PAGES: Final = re.compile(
    r"\s*(?:0[xX])?([0-9a-fA-F]{1,16}),\s*(?:0[xX])?([0-9a-fA-F]{1,16})"
    r"(?:@\s*(?:0[xX])?([0-9a-fA-F]{1,16}))?"
)


def read_ports(settings: XlSettings) -> dict[str, Any]:
    """Fields of the model."""
    ports = [_ports(settings, item) for item in settings.items("ioports")]
    irqs = [_irq(settings, item) for item in settings.items("irqs")]
    pages = [_pages(settings, item) for item in settings.items("iomem")]
    return {
        "ioports": tuple(each for each in ports if each is not None),
        "irqs": tuple(each for each in irqs if each is not None),
        "iomem": tuple(each for each in pages if each is not None),
    }


def _ports(settings: XlSettings, item: XlText) -> IoPorts | None:
    """Hexadecimal: `2f8-2ff`, `3f8`."""
    first = strtol(item.text, 16)
    last: tuple[int, str] | None = first
    if first is not None and first[1].startswith("-"):
        last = strtol(first[1][1:], 16)
    if first is None or last is None or last[1] or not 0 <= first[0] <= last[0] < _UINT:
        settings.wrong(
            "ioports",
            item,
            f"ioports: '{item.text[:40]}' are no ports",
            "hexadecimal, such as 2f8-2ff or 3f8",
        )
        return None
    return IoPorts(first=first[0], last=last[0])


def _irq(settings: XlSettings, item: XlText) -> Irq | None:
    number = whole(item.text, 10)
    if number is None or not 0 <= number < _UINT:
        settings.wrong(
            "irqs", item, f"irqs: '{item.text[:40]}' is no interrupt", "a decimal number"
        )
        return None
    return Irq(irq=number)


def _pages(settings: XlSettings, item: XlText) -> IoMemory | None:
    """Hexadecimal numbers of frames: `START,NUMBER[@WHERE]`."""
    match = _PAGES.fullmatch(item.text)
    number = int(match[2], 16) if match else 0
    if match is None or not number:
        settings.wrong(
            "iomem",
            item,
            f"iomem: '{item.text[:40]}' are no pages",
            "START,NUMBER or START,NUMBER@GFN, hexadecimal",
        )
        return None
    gfn = int(match[3], 16) if match[3] else None
    return IoMemory(start=int(match[1], 16), number=number, gfn=gfn)
