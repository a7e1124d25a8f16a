"""What CPUID shows a domain: leaves and registers, in all the forms in which clients send them."""

from __future__ import annotations

import re
from typing import Final

from xend.config import sxp
from xend.config.sxpvalues import invalid, pairs, text

_CPUID_LEAF: Final = re.compile(r"'([^']+)': \{([^}]*)\}")
_CPUID_BITS: Final = re.compile("[01xks]{32}")
_CPUID_REGISTER: Final = re.compile(r"'(\w+)': '([^']*)'")


def read_cpuid(value: sxp.Value) -> dict[str, dict[str, str]]:
    """Leaves and registers from pairs, or from the dictionary's text that `xm create -n` prints.

    Leaves become decimal and hexadecimal values 32 bits, as the original stored them.
    """
    if isinstance(value, str):
        given = {
            leaf: dict(_CPUID_REGISTER.findall(registers))
            for leaf, registers in _CPUID_LEAF.findall(value)
        }
    else:
        given = {
            leaf: {name: text(bits, "cpuid") for name, bits in pairs(registers).items()}
            for leaf, registers in pairs(value).items()
        }
    return {
        ",".join([_decimal(part) for part in leaf.split(",")]): {
            name: _bits(bits) for name, bits in registers.items()
        }
        for leaf, registers in given.items()
    }


def _decimal(leaf: str) -> str:
    return str(_from_hexadecimal(leaf)) if leaf.startswith("0x") else leaf


def _bits(value: str) -> str:
    """`0x…` is hexadecimal, unless it is 32 bits of which the first is 0 and the second open."""
    if _CPUID_BITS.fullmatch(value):
        return value
    return f"{_from_hexadecimal(value) & 0xFFFFFFFF:032b}" if value.startswith("0x") else value


def _from_hexadecimal(value: str) -> int:
    try:
        return int(value, 16)
    except ValueError:
        invalid(
            f"cpuid: '{value}' is not hexadecimal",
            field="cpuid",
            value=value,
            expected="0x…, or 32 characters",
        )
