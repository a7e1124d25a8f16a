"""How much a domain file may use, so that none can hang or exhaust the host."""

from __future__ import annotations

from typing import Final

MAX_STEPS: Final = 200_000
"""Evaluated nodes; real files need some hundred."""

MAX_ITEM: Final = 1 << 20
"""Characters of one string, or items of one list."""

MAX_TOTAL: Final = 16 << 20
"""Characters and items of all values that are made, whether or not they are still in use."""

MAX_BITS: Final = 4096
"""Of an integer."""

MAX_CALLS: Final = 40
"""Functions of the file within one another."""

MAX_TOKENS: Final = 40_000
"""Words and signs of one program; real ones have some hundred."""

MAX_INCLUDES: Final = 8
"""Files, and texts given to exec and eval, within one another."""


class Refused(Exception):
    """The file asks for something that is not available; it cannot catch this.

    `instead` says how to write it.
    """

    def __init__(self, what: str, instead: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.instead = instead


class ExitRequested(Exception):
    """The file called sys.exit; `text` is for stderr."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.text = text


class Meter:
    """Counts what one evaluation has used."""

    __slots__ = ("steps", "total")

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.total = MAX_TOTAL

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise Refused(
                f"the file does not come to an end within {MAX_STEPS} steps",
                "a loop with an end that is reached",
            )

    def grow(self, size: int) -> None:
        """Called before a value of `size` characters or items is made."""
        self.total -= size
        if size > MAX_ITEM or self.total < 0:
            raise Refused(
                "the file makes values that are too large",
                f"strings and lists of at most {MAX_ITEM} characters or items",
            )
