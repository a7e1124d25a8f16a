"""Names of PCI devices as configurations write them: `[DDDD:]BB:SS.F[@VSLOT][,OPTION=VALUE…]`.

F may be several functions (`0,2-3`), each with a virtual one (`3=0`), or `*` for all of them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from xend.errors import ConfigError

_NAME: Final = re.compile(
    r"(?:(?P<domain>[0-9a-fA-F]{1,4})[:,])?"
    r"(?P<bus>[0-9a-fA-F]{1,2})[:,]"
    r"(?P<slot>[0-9a-fA-F]{1,2})[.,]"
    # the class is ,-= as the range from "," to "=": kept, since files may rely on it
    r"(?P<func>\*|[0-7](?:[,-=][0-7])*)"
    r"(?:@(?P<vslot>[01]?[0-9a-fA-F]))?"
    r"(?:,(?P<options>.*))?\Z"
)
_AUTO_SLOT: Final = 0x100
"""AUTO_PHP_SLOT: the device model chooses the virtual slot."""

_OPTIONS: Final = ("msitranslate", "power_mgmt")
_SYSFS_DEVICES: Final = Path("/sys/bus/pci/devices")


class PciFunction:
    """One function of one device; all texts as they stand in a configuration."""

    __slots__ = ("bus", "domain", "func", "key", "options", "slot", "vdevfn")

    def __init__(
        self,
        domain: int,
        bus: int,
        slot: int,
        func: int,
        vdevfn: int,
        key: str,
        options: list[list[str]],
    ) -> None:
        self.domain = f"0x{domain:04x}"
        self.bus = f"0x{bus:02x}"
        self.slot = f"0x{slot:02x}"
        self.func = f"0x{func:x}"
        self.vdevfn = f"0x{vdevfn:02x}"
        self.key = key
        self.options = options

    def fields(self) -> dict[str, object]:
        """What a `(dev …)` says of it."""
        return {
            "domain": self.domain,
            "bus": self.bus,
            "slot": self.slot,
            "func": self.func,
            "vdevfn": self.vdevfn,
            "key": self.key,
        }


def parse(name: str) -> list[PciFunction]:
    """All functions that the name stands for, virtual function 0 last."""
    match = _NAME.match(name)
    if match is None:
        raise ConfigError(
            f"Failed to parse pci device: {name}",
            field="pci",
            value=name,
            expected="[DDDD:]BB:SS.F[@VSLOT][,OPTION=VALUE...]",
        )
    domain = int(match["domain"] or "0", 16)
    bus, slot = int(match["bus"], 16), int(match["slot"], 16)
    options = _options(match["options"] or "")
    pairs = _with_function_zero(name, _functions(name, match["func"], domain, bus, slot))
    found = []
    for physical, virtual, _ in pairs:
        if match["vslot"]:
            vdevfn = (int(match["vslot"], 16) & 0x1F) << 3 | virtual & 7
        else:
            vdevfn = _AUTO_SLOT | virtual
        key = name.split(",")[0]
        found.append(PciFunction(domain, bus, slot, physical, vdevfn, key, options))
    return found


def _options(text: str) -> list[list[str]]:
    options = []
    for part in text.split(","):
        if not part:
            continue
        pair = part.split("=")
        if len(pair) < 2:
            raise ConfigError(
                "need more than 1 value to unpack", field="pci", value=part, expected="OPTION=VALUE"
            )
        if len(pair) > 2:
            raise ConfigError("too many values to unpack", field="pci", value=part)
        if pair[0] not in _OPTIONS or pair[1].lower() not in ("0", "1", "yes", "no"):
            raise ConfigError(
                f"Invalid pci option {pair[0]}={pair[1]}: ",
                field="pci",
                value=part,
                expected="msitranslate or power_mgmt = 0, 1, yes or no",
            )
        options.append(pair)
    return options


_Triple = tuple[int, int, bool]
"""(physical function, virtual function, whether the virtual one was given)."""


def _functions(name: str, text: str, domain: int, bus: int, slot: int) -> list[_Triple]:
    found: list[_Triple] = []
    for part in text.split(","):
        if part == "*":
            found.extend(_present_functions(domain, bus, slot))
            continue
        ends = [_one_function(end) for end in part.split("-")]
        if len(ends) == 1:
            found.extend(ends)
        elif len(ends) == 2:
            found.extend(_range(part, ends[0], ends[1]))
    if len({p for p, _, _ in found}) != len(found) or len({v for _, v, _ in found}) != len(found):
        raise ConfigError(f"Duplicate functions: {name}", field="pci", value=name)
    return found


def _one_function(text: str) -> _Triple:
    physical, equals, virtual = text.partition("=")
    if "=" in virtual:
        raise ConfigError(f"Invalid function: {text}", field="pci", value=text)
    try:
        numbers = int(physical, 16), int(virtual or physical, 16)
    except ValueError as error:
        raise ConfigError(str(error), field="pci", value=text) from None
    for kind, number in zip(("physical", "virtual"), numbers, strict=True):
        if not 0 <= number <= 7:
            raise ConfigError(f"Invalid {kind} function in: {text}", field="pci", value=text)
    return (*numbers, bool(equals))


def _range(text: str, first: _Triple, last: _Triple) -> list[_Triple]:
    physical, virtual = _span(first[0], last[0]), _span(first[1], last[1])
    if len(physical) != len(virtual):
        raise ConfigError(f"Invalid range in: {text}", field="pci", value=text)
    return [(p, v, True) for p, v in zip(physical, virtual, strict=True)]


def _span(first: int, last: int) -> list[int]:
    step = 1 if last >= first else -1
    return list(range(first, last + step, step))


def _present_functions(domain: int, bus: int, slot: int) -> list[_Triple]:
    prefix = f"{domain:04x}:{bus:02x}:{slot:02x}."
    names = sorted(path.name for path in _SYSFS_DEVICES.glob(prefix + "[0-7]"))
    return [_one_function(name[len(prefix) :]) for name in names]


def _with_function_zero(name: str, found: list[_Triple]) -> list[_Triple]:
    """Gives the lowest automatic one virtual function 0 if none has it; that comes last.

    The guest is told of a new device when its function 0 appears.
    """
    if found and all(virtual != 0 for _, virtual, _ in found):
        automatic = sorted((one for one in found if not one[2]), key=lambda one: one[1])
        if not automatic:
            raise ConfigError(
                f"Virtual device does not include virtual function 0: {name}",
                field="pci",
                value=name,
            )
        automatic[0] = (automatic[0][0], 0, False)
        found = automatic + [one for one in found if one[2]]
    return sorted(found, key=lambda one: -(one[1] & 7))
