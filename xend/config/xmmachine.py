"""What the functions of a domain file need of the evaluator that runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from xend.config.xmlimits import Meter

Arguments: TypeAlias = list[object]
Keywords: TypeAlias = dict[str, object]


class Machine:
    """What a method needs of the evaluator: to call functions of the file, and the meter."""

    meter: Meter

    def call(self, function: object, arguments: Arguments, keywords: Keywords) -> object:
        raise NotImplementedError


Method: TypeAlias = Callable[[Machine, object, Arguments, Keywords], object]


def number_argument(given: Arguments, index: int, default: int | None = None) -> int:
    """One of the arguments, which must be a whole number."""
    value = given[index] if index < len(given) else default
    if not isinstance(value, int):
        raise TypeError("an integer is required")
    return int(value)
