"""Numbers as C's strtol, strtoul, atoi and sscanf read them, which xl reads everything with."""

from __future__ import annotations

import re
from typing import Final

_BLANK: Final = " \t\n\v\f\r"
_DIGITS: Final = {
    8: re.compile("[0-7]+"),
    10: re.compile("[0-9]+"),
    16: re.compile("[0-9a-fA-F]+"),
}
_HEXADECIMAL: Final = re.compile("0[xX](?=[0-9a-fA-F])")
MOST: Final = 2**63 - 1
_LONGEST: Final = 64
"""Digits; more are certainly too many, and slow to convert."""


def strtol(text: str, base: int = 0) -> tuple[int, str] | None:
    """The number at the beginning and what is left; None if there is none.

    Blanks and a sign may come first.  Base 0 means decimal, 0x… or, after a 0, octal.
    """
    rest = text.lstrip(_BLANK)
    negative = rest.startswith("-")
    if rest[:1] in ("+", "-"):
        rest = rest[1:]
    prefix = _HEXADECIMAL.match(rest) if base in (0, 16) else None
    if prefix is not None:
        base, rest = 16, rest[prefix.end() :]
    elif base == 0:
        base = 8 if rest.startswith("0") else 10
    digits = _DIGITS[base].match(rest)
    if digits is None:
        return None
    number = MOST + 1 if len(digits.group()) > _LONGEST else int(digits.group(), base)
    return -number if negative else number, rest[digits.end() :]


def whole(text: str, base: int = 0) -> int | None:
    """A number and nothing after it, within 64 bits."""
    found = strtol(text, base)
    if found is None or found[1] or not -MOST - 1 <= found[0] <= MOST:
        return None
    return found[0]


def atoi(text: str) -> int:
    """0 for what is no number; what follows a number is not looked at."""
    found = strtol(text, 10)
    return found[0] if found is not None else 0


def span(text: str) -> tuple[int, int] | None:
    """`3` or `3-7` (decimal, ascending)."""
    first = strtol(text, 10)
    if first is None:
        return None
    last = first
    if first[1].startswith("-"):
        second = strtol(first[1][1:], 10)
        if second is None:
            return None
        last = second
    low, high = first[0], last[0]
    return (low, high) if not last[1] and 0 <= low <= high <= MOST else None
