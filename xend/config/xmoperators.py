"""The operators of a domain file, with Python 2's results and error texts."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Final

from xend.config.sxp import Long
from xend.config.xmcompare import compare, equal
from xend.config.xmformat import percent
from xend.config.xmlex import Unicode
from xend.config.xmlimits import MAX_BITS, Meter, Refused
from xend.config.xmvalues import (
    Dict,
    Set,
    integer,
    iterate,
    throw,
    type_name,
)

TRUE_DIVISION: Final = "true /"
"""What `/` is after `from __future__ import division`."""


def binary(op: str, a: object, b: object, meter: Meter, shown: str = "") -> object:
    """`a op b`; `shown` is the operator in error texts when it differs (`+=`)."""
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return _numbers(op, a, b, shown or op)
    if op == "+":
        return _add(a, b, meter, shown or op)
    if op == "%" and isinstance(a, str):
        return percent(a, b, meter)
    if op == "*":
        for value, times in ((a, b), (b, a)):
            if isinstance(times, int) and isinstance(value, (str, list, tuple)):
                return _repeat(value, times, meter)
    if isinstance(a, Set) and isinstance(b, Set) and op in _SET_OPERATORS:
        return Set(_SET_OPERATORS[op](a, b))
    return _no_operator(op, a, b, shown)


def _no_operator(op: str, a: object, b: object, shown: str) -> object:
    if op == "*" and (_is_sequence(a) or _is_sequence(b)):
        other = b if _is_sequence(a) else a
        raise TypeError(f"can't multiply sequence by non-int of type '{type_name(other)}'")
    name = {"**": "** or pow()", TRUE_DIVISION: "/"}.get(op, shown or op)
    raise TypeError(
        f"unsupported operand type(s) for {name}: '{type_name(a)}' and '{type_name(b)}'"
    )


def _is_sequence(value: object) -> bool:
    return isinstance(value, (str, list, tuple))


_SET_OPERATORS: Final[dict[str, Callable[[Set, Set], list[object]]]] = {
    "|": lambda a, b: [*a.ordered(), *b.ordered()],
    "&": lambda a, b: [item for item in a.ordered() if item in b],
    "-": lambda a, b: [item for item in a.ordered() if item not in b],
    "^": lambda a, b: [
        *(item for item in a.ordered() if item not in b),
        *(item for item in b.ordered() if item not in a),
    ],
}


def _add(a: object, b: object, meter: Meter, shown: str) -> object:
    if isinstance(a, str) and isinstance(b, str):
        meter.grow(len(a) + len(b))
        joined = str.__add__(a, b)
        return Unicode(joined) if isinstance(a, Unicode) or isinstance(b, Unicode) else joined
    if isinstance(a, list) and isinstance(b, list):
        meter.grow(len(a) + len(b))
        return a + b
    if isinstance(a, tuple) and isinstance(b, tuple):
        meter.grow(len(a) + len(b))
        return a + b
    if isinstance(a, Unicode):
        raise TypeError(f"coercing to Unicode: need string or buffer, {type_name(b)} found")
    if isinstance(a, str):
        raise TypeError(f"cannot concatenate 'str' and '{type_name(b)}' objects")
    if isinstance(a, (list, tuple)):
        kind = type_name(a)
        raise TypeError(f'can only concatenate {kind} (not "{type_name(b)}") to {kind}')
    return _no_operator("+", a, b, shown)


def _repeat(value: str | list[object] | tuple[object, ...], times: int, meter: Meter) -> object:
    count = max(0, int(times))
    meter.grow(len(value) * count)
    return Unicode(str(value) * count) if isinstance(value, Unicode) else value * count


def _numbers(op: str, a: float, b: float, shown: str) -> object:
    if op == TRUE_DIVISION:
        if b == 0:
            throw("ZeroDivisionError", "division by zero")
        return float(a) / float(b)
    if isinstance(a, int) and isinstance(b, int):
        return _integers(op, a, b)
    function = _FLOATS.get(op)
    if function is None:
        return _no_operator(op, a, b, shown)
    if b == 0 and op in ("/", "//", "%"):
        throw("ZeroDivisionError", "float modulo" if op == "%" else "float division by zero")
    result = function(float(a), float(b))
    if isinstance(result, complex):
        throw("ValueError", "negative number cannot be raised to a fractional power")
    return result


_FLOATS: Final[dict[str, Callable[[float, float], float | complex]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
_INTEGERS: Final[dict[str, Callable[[int, int], int]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.floordiv,
    "//": operator.floordiv,
    "%": operator.mod,
    "<<": operator.lshift,
    ">>": operator.rshift,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
}


def _integers(op: str, a: int, b: int) -> object:
    both_bool = isinstance(a, bool) and isinstance(b, bool)
    x, y = int(a), int(b)
    if op == "**":
        return _power(a, b)
    if y == 0 and op in ("/", "//", "%"):
        long_text = "long division or modulo by zero"
        is_long = isinstance(a, Long) or isinstance(b, Long)
        throw("ZeroDivisionError", long_text if is_long else "integer division or modulo by zero")
    if op in ("<<", ">>") and y < 0:
        throw("ValueError", "negative shift count")
    if op == "<<" and x.bit_length() + y > MAX_BITS:
        _too_large()
    if op == "*" and x.bit_length() + y.bit_length() > MAX_BITS:
        _too_large()
    result = _INTEGERS[op](x, y)
    if both_bool and op in ("&", "|", "^"):
        return bool(result)
    return _like(result, a, b)


def _like(result: int, a: int, b: int) -> int:
    """A long if an operand is one, else whatever holds the result."""
    return Long(result) if isinstance(a, Long) or isinstance(b, Long) else integer(result)


def _power(a: int, b: int) -> object:
    x, y = int(a), int(b)
    if y < 0:
        if x == 0:
            throw("ZeroDivisionError", "0.0 cannot be raised to a negative power")
        return float(x) ** y
    if x.bit_length() * y > MAX_BITS:
        _too_large()
    return _like(x**y, a, b)


def _too_large() -> None:
    raise Refused(f"an integer of more than {MAX_BITS} bits", "a smaller number")


def unary(op: str, value: object) -> object:
    """`-value`, `+value` or `~value`."""
    if isinstance(value, int):
        number = int(value)
        result = {"-": -number, "+": number, "~": ~number}[op]
        return Long(result) if isinstance(value, Long) else integer(result)
    if isinstance(value, float) and op != "~":
        return -value if op == "-" else value
    raise TypeError(f"bad operand type for unary {op}: '{type_name(value)}'")


def contains(container: object, item: object) -> bool:
    """`item in container`."""
    if isinstance(container, str):
        if not isinstance(item, str):
            kind = "string" if not isinstance(container, Unicode) else "<type 'unicode'>"
            raise TypeError(f"'in <string>' requires {kind} as left operand, not {type_name(item)}")
        return str.__contains__(container, item)
    if isinstance(container, Set):
        return item in container
    if isinstance(container, Dict):
        if isinstance(item, (list, Dict, Set)):
            raise TypeError(f"unhashable type: '{type_name(item)}'")
        return item in container
    if isinstance(container, (int, float)) or container is None:
        raise TypeError(f"argument of type '{type_name(container)}' is not iterable")
    return any(item is other or equal(item, other) for other in iterate(container))


def same(a: object, b: object) -> bool:
    """`a is b`; small numbers and equal constants were the same object in practice."""
    if a is b:
        return True
    simple = (int, str, float)
    return isinstance(a, simple) and type(a) is type(b) and a == b


COMPARISONS: Final[dict[str, Callable[[object, object], bool]]] = {
    "==": equal,
    "!=": lambda a, b: not equal(a, b),
    "<": lambda a, b: compare(a, b) < 0,
    "<=": lambda a, b: compare(a, b) <= 0,
    ">": lambda a, b: compare(a, b) > 0,
    ">=": lambda a, b: compare(a, b) >= 0,
    "in": lambda a, b: contains(b, a),
    "not in": lambda a, b: not contains(b, a),
    "is": same,
    "is not": lambda a, b: not same(a, b),
}
