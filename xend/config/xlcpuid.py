"""What CPUID shows the guest, in both spellings of an xl file.

`host,sse3=0,family=6` names features; a list of `1:ecx=xxxx…,edx=…` gives registers bit by bit,
as old files did.  What xl complains of and leaves out (libxl_cpuid.c) is passed over here, too.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any, Final

from xend.config.problems import MOST_HINTS, suggestion
from xend.config.xlgrammar import XlText
from xend.config.xlnumbers import strtol
from xend.config.xlsettings import XlSettings

_ANY: Final = "x" * 32
_REGISTER: Final = re.compile(r"(e[abcd]x)=([01xks]{32})(?:,[ \n]*|\Z)")
_UINT: Final = 2**32 - 1
Leaves = dict[str, dict[str, str]]


@cache
def _table() -> dict[str, Any]:
    text = resources.files("xend.config").joinpath("_cpufeatures.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def read_cpuid(settings: XlSettings) -> dict[str, Any]:
    """`cpuid` (leaves to registers to bits) and `msr` (numbers to bits), as far as there are."""
    policy = _Policy(settings)
    value = settings.value("cpuid")
    if isinstance(value, XlText):
        policy.named(value)
    elif value is not None:
        for item in settings.texts_of("cpuid", value):
            policy.registers(item)
    found: dict[str, Any] = {}
    leaves = {leaf: registers for leaf, registers in policy.leaves.items() if registers}
    if leaves:
        found["cpuid"] = leaves
    if policy.msrs:
        found["msr"] = policy.msrs
    return found


class _Policy:
    def __init__(self, settings: XlSettings) -> None:
        self._settings = settings
        self.leaves: Leaves = {}
        self.msrs: dict[str, str] = {}
        self._hints = MOST_HINTS

    def named(self, item: XlText) -> None:
        words = [word for word in item.text.split(",") if word]
        if words and words[0] != "host":
            self._skip(item, f"'{words[0][:40]}': the first word must be host")
            return
        for word in words[1:]:
            name, equals, value = word.partition("=")
            if not equals:
                self._skip(item, f"'{word[:40]}' has no value (such as {word[:20]}=0)")
            elif name in _table()["fields"]:
                self._field(item, name, _table()["fields"][name], value)
            elif name in _table()["features"]:
                self._feature(item, name, value)
            else:
                known = [*_table()["fields"], *_table()["features"]]
                self._skip(item, f"there is no CPU feature '{name[:40]}'{self._hint(name, known)}")

    def _hint(self, name: str, known: list[str]) -> str:
        self._hints -= 1
        return suggestion(name, known) if self._hints >= 0 else ""

    def _feature(self, item: XlText, name: str, value: str) -> None:
        number, bit = divmod(_table()["features"][name], 32)
        word = _table()["words"][number]
        if "msr" not in word:
            place = [word["leaf"], word["subleaf"], word["register"], bit, 1]
            self._field(item, name, place, value)
        elif value not in ("0", "1", "x", "k", "s"):
            self._skip(item, f"{name}: '{value[:40]}' is not 0, 1, x or k")
        else:
            index, place = str(word["msr"]), 63 - bit - word["shift"]
            bits = self.msrs.get(index, _ANY * 2)
            self.msrs[index] = bits[:place] + value.replace("s", "k") + bits[place + 1 :]

    def _field(self, item: XlText, name: str, place: list[Any], value: str) -> None:
        leaf, subleaf, register, bit, length = place
        number = strtol(value)
        if number is None and value[:1] not in ("x", "k", "s"):
            self._skip(item, f"{name}: '{value[:40]}' is neither a number nor x, k or s")
            return
        amount = 0 if number is None else number[0]
        bits = _binary(amount, length) if number is not None else value[0] * length
        registers = self._leaf(leaf, subleaf)
        old = registers.get(register, _ANY)
        if name == "family":
            new = _replaced(old, *_family(number is None, amount, bits))
        elif name == "model":
            new = _replaced(old, (16, bits[:4]), (4, bits[4:]))
        else:
            new = _replaced(old, (bit, bits))
        registers[register] = new

    def _leaf(self, leaf: int, subleaf: int | None) -> dict[str, str]:
        key = str(leaf) if subleaf is None else f"{leaf},{subleaf}"
        return self.leaves.setdefault(key, {})

    def registers(self, item: XlText) -> None:
        """`LEAF[,SUBLEAF]:REGISTER=BITS,…`."""
        leaf = strtol(item.text)
        subleaf, rest = None, "" if leaf is None else leaf[1]
        if leaf is not None and rest.startswith(","):
            subleaf = strtol(rest[1:])
            rest = "" if subleaf is None else subleaf[1]
        numbers = [each[0] for each in (leaf, subleaf) if each is not None]
        if leaf is None or rest[:1] != ":" or not all(0 <= each <= _UINT for each in numbers):
            self._skip(item, f"'{item.text[:40]}' does not begin with LEAF: or LEAF,SUBLEAF:")
            return
        registers = self._leaf(leaf[0], None if subleaf is None else subleaf[0])
        rest = rest[1:]
        while rest:
            match = _REGISTER.match(rest)
            if match is None:
                self._skip(item, f"'{rest[:40]}' is no register with 32 of 0, 1, x, k and s")
                return
            registers[match[1]] = match[2]
            rest = rest[match.end() :]

    def _skip(self, item: XlText, message: str) -> None:
        self._settings.passed_over("cpuid", item, "ignored", f"cpuid: {message}")


def _binary(number: int, length: int) -> str:
    return f"{number & (1 << length) - 1:0{length}b}"


def _family(symbolic: bool, number: int, bits: str) -> tuple[tuple[int, str], tuple[int, str]]:
    """The family is in two places: 4 bits, and 8 more that count from 15 (cpuid_add there)."""
    if symbolic or number < 16:
        return (8, bits[4:]), (20, "0" * 8)
    return (8, "1111"), (20, bits[:1] + _binary(number - 15, 7))


def _replaced(bits: str, *places: tuple[int, str]) -> str:
    """`bits` with new ones, each at its lowest bit's number."""
    for lowest, new in places:
        end = 32 - lowest
        bits = bits[: end - len(new)] + new + bits[end:]
    return bits
