"""The built-in functions and types of a domain file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from xend.config.sxp import Long
from xend.config.xmcompare import compare
from xend.config.xmformat import format_value
from xend.config.xmlex import Unicode
from xend.config.xmlimits import Refused
from xend.config.xmmachine import Arguments, Keywords, Machine
from xend.config.xmmethods import fill_dict, sort_values
from xend.config.xmoperators import binary
from xend.config.xmvalues import (
    EXCEPTIONS,
    Builtin,
    Dict,
    ExceptionType,
    ExceptionValue,
    Items,
    Set,
    Type,
    hash2,
    integer,
    is_true,
    iterate,
    key_of,
    repr2,
    str2,
    throw,
    type_name,
)

_REFUSED: Final = {
    "__import__": "an import statement",
    "apply": "function(*arguments)",
    "compile": "the statements themselves",
    "complex": "int or float",
    "input": "a variable, set by NAME=VALUE on the command line",
    "raw_input": "a variable, set by NAME=VALUE on the command line",
    "reload": "an import statement",
    "setattr": "an assignment",
    "delattr": "an assignment",
    "super": "a function",
    "property": "a function",
    "buffer": "str",
    "memoryview": "str",
    "bytearray": "str",
}


def _check_count(name: str, given: Arguments, least: int, most: int) -> None:
    if least <= len(given) <= most:
        return
    if least == most:
        words = {0: "no arguments", 1: "exactly one argument"}.get(least, f"{least} arguments")
    else:
        words = f"{least} to {most} arguments"
    raise TypeError(f"{name}() takes {words} ({len(given)} given)")


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"an integer is required, not {type_name(value)}")
    return int(value)


def to_int(given: Arguments, keywords: Keywords) -> object:
    """`int(x=0, base=10)`."""
    if not given:
        return 0
    value = given[0]
    if len(given) > 1 or "base" in keywords:
        if not isinstance(value, str):
            raise TypeError("int() can't convert non-string with explicit base")
        return integer(_parse_int(value, _whole(given[1] if given[1:] else keywords["base"])))
    if isinstance(value, str):
        return integer(_parse_int(value, 10))
    if isinstance(value, (int, float)):
        return int(value) if isinstance(value, bool) else integer(_truncate(value))
    raise TypeError(f"int() argument must be a string or a number, not '{type_name(value)}'")


def _truncate(value: float) -> int:
    if isinstance(value, int):
        return int(value)
    if value != value:
        throw("ValueError", "cannot convert float NaN to integer")
    if value in (float("inf"), float("-inf")):
        throw("OverflowError", "cannot convert float infinity to integer")
    return int(value)


def _parse_int(text: str, base: int) -> int:
    """`0755` is octal only with base 0 or 8; underscores of Python 3 are not digits."""
    digits = str(text).strip()
    if base == 0 and len(digits.lstrip("+-")) > 1:
        bare = digits.lstrip("+-")
        if bare[0] == "0" and bare[1].isdigit():
            base = 8
    if "_" not in digits and digits.isascii() and len(digits) < 1000:
        try:
            return int(digits, base)
        except ValueError:
            pass
    return throw("ValueError", f"invalid literal for int() with base {base}: {repr2(text)}")


def _to_long(given: Arguments, keywords: Keywords) -> object:
    if given and isinstance(given[0], str):
        base = _whole(given[1]) if len(given) > 1 else 10
        digits = str(given[0]).strip()
        digits = digits[:-1] if digits[-1:] in ("l", "L") else digits
        try:
            return Long(_parse_int(digits, base))
        except RecursionError:
            raise
    result = to_int(given, keywords)
    assert isinstance(result, int)
    return Long(result)


def _to_float(given: Arguments, keywords: Keywords) -> object:
    value = given[0] if given else 0.0
    if isinstance(value, str):
        text = str(value).strip()
        try:
            return float(text) if "_" not in text else throw("ValueError", "")
        except ValueError:
            empty = "empty string for float()"
            throw("ValueError", f"could not convert string to float: {text}" if text else empty)
    if isinstance(value, (int, float)):
        return float(value)
    raise TypeError("float() argument must be a string or a number")


def _to_unicode(given: Arguments, keywords: Keywords) -> object:
    if not given:
        return Unicode("")
    value = given[0]
    if isinstance(value, Unicode):
        return value
    encoding = str(given[1]) if len(given) > 1 else "ascii"
    if encoding.lower() not in ("ascii", "utf-8", "utf8", "latin-1", "latin1", "iso-8859-1"):
        throw("LookupError", f"unknown encoding: {encoding}")
    return Unicode(str2(value).encode("latin-1").decode(encoding))


def _to_dict(given: Arguments, keywords: Keywords) -> object:
    made = Dict()
    fill_dict(made, given, keywords)
    return made


def types(machine: Machine) -> dict[str, Type]:
    """The type objects."""

    def collect(given: Arguments, _: Keywords) -> list[object]:
        items = list(iterate(given[0])) if given else []
        machine.meter.grow(len(items))
        return items

    def collect_set(given: Arguments, keywords: Keywords) -> Set:
        items = collect(given, keywords)
        machine.meter.spend(len(items) >> 2)
        return Set(items)

    return {
        kind.name: kind
        for kind in (
            Type("str", lambda a, k: str2(a[0]) if a else ""),
            Type("unicode", _to_unicode),
            Type("basestring", lambda a, k: throw("TypeError", "cannot create instances")),
            Type("int", to_int),
            Type("long", _to_long),
            Type("float", _to_float),
            Type("bool", lambda a, k: is_true(a[0]) if a else False),
            Type("list", collect),
            Type("tuple", lambda a, k: tuple(collect(a, k))),
            Type("dict", _to_dict),
            Type("set", collect_set),
            Type("frozenset", collect_set),
            Type("object", lambda a, k: throw("TypeError", "object() is not available")),
            Type("enumerate", _enumerate),
            Type("reversed", lambda a, k: Items(list(iterate(a[0]))[::-1], "reversed")),
            Type("xrange", lambda a, k: _range(machine, a)),
            Type("NoneType", lambda a, k: None),
        )
    }


def _enumerate(given: Arguments, keywords: Keywords) -> object:
    start = _whole(given[1] if len(given) > 1 else keywords.get("start", 0))
    return Items(enumerate(iterate(given[0]), start), "enumerate")


def is_instance(value: object, kind: object) -> bool:
    """`isinstance(value, kind)`."""
    if isinstance(kind, tuple):
        return any(is_instance(value, one) for one in kind)
    if isinstance(kind, ExceptionType):
        return isinstance(value, ExceptionValue) and value.type.within(kind)
    if isinstance(kind, Type):
        name = type_name(value)
        if kind.name == "basestring":
            return name in ("str", "unicode")
        return kind.name in (name, "object") or (kind.name == "int" and name == "bool")
    raise TypeError("isinstance() arg 2 must be a class, type, or tuple of classes and types")


def _range(machine: Machine, given: Arguments) -> list[object]:
    _check_count("range", given, 1, 3)
    numbers = range(*[_whole(value) for value in given])
    machine.meter.grow(len(numbers))
    return list(numbers)


def _extreme(machine: Machine, name: str, sign: int) -> Builtin:
    def found(given: Arguments, keywords: Keywords) -> object:
        items = list(iterate(given[0])) if len(given) == 1 else list(given)
        if not items:
            throw("ValueError", f"{name}() arg is an empty sequence")
        key = keywords.get("key")
        machine.meter.spend(len(items))
        best, best_key = items[0], _keyed(machine, key, items[0])
        for item in items[1:]:
            item_key = _keyed(machine, key, item)
            if compare(item_key, best_key) * sign > 0:
                best, best_key = item, item_key
        return best

    return Builtin(name, found)


def _keyed(machine: Machine, key: object, item: object) -> object:
    return item if key is None else machine.call(key, [item], {})


def _sum(machine: Machine, given: Arguments) -> object:
    total: object = given[1] if len(given) > 1 else 0
    if isinstance(total, str):
        raise TypeError("sum() can't sum strings [use ''.join(seq) instead]")
    for item in iterate(given[0]):
        machine.meter.spend(1)
        total = binary("+", total, item, machine.meter)
    return total


def _map(machine: Machine, given: Arguments) -> object:
    function, *sources = given
    columns = [list(iterate(source)) for source in sources]
    length = max(len(column) for column in columns)
    machine.meter.grow(length)
    rows = [[c[i] if i < len(c) else None for c in columns] for i in range(length)]
    if function is None:
        return [row[0] if len(row) == 1 else tuple(row) for row in rows]
    return [machine.call(function, row, {}) for row in rows]


def _filter(machine: Machine, given: Arguments) -> object:
    function, source = given
    kept = [
        item
        for item in iterate(source)
        if is_true(item if function is None else machine.call(function, [item], {}))
    ]
    if isinstance(source, str):
        return "".join([str2(item) for item in kept])
    return tuple(kept) if isinstance(source, tuple) else kept


def _reduce(machine: Machine, given: Arguments) -> object:
    items = list(iterate(given[1]))
    if len(given) > 2:
        items.insert(0, given[2])
    if not items:
        raise TypeError("reduce() of empty sequence with no initial value")
    total = items[0]
    for item in items[1:]:
        total = machine.call(given[0], [total, item], {})
    return total


def _zip(machine: Machine, given: Arguments) -> object:
    columns = [list(iterate(source)) for source in given]
    return [tuple(row) for row in zip(*columns, strict=False)]


def _sorted(machine: Machine, given: Arguments, keywords: Keywords) -> object:
    items = list(iterate(given[0]))
    machine.meter.grow(len(items))
    sort_values(items, machine, given[1:], keywords)
    return items


def _length(value: object) -> object:
    if isinstance(value, (str, list, tuple, Dict, Set)):
        return len(value)
    raise TypeError(f"object of type '{type_name(value)}' has no len()")


def _ord(value: object) -> object:
    if not isinstance(value, str):
        raise TypeError(f"ord() expected string of length 1, but {type_name(value)} found")
    if len(value) != 1:
        raise TypeError(f"ord() expected a character, but string of length {len(value)} found")
    return ord(str(value))


def _chr(value: object) -> object:
    code = _whole(value)
    if not 0 <= code < 256:
        throw("ValueError", "chr() arg not in range(256)")
    return chr(code)


def _based(prefix: str, digits: str, value: object) -> object:
    number = _whole(value)
    sign = "-" if number < 0 else ""
    suffix = "L" if isinstance(value, Long) and prefix != "0b" else ""
    if prefix == "0" and number == 0:
        return "0" + suffix
    return f"{sign}{prefix}{format(abs(number), digits)}{suffix}"


def _round(given: Arguments) -> object:
    value = given[0]
    if not isinstance(value, (int, float)):
        raise TypeError("a float is required")
    digits = _whole(given[1]) if len(given) > 1 else 0
    scale = 10.0**digits
    scaled = abs(float(value)) * scale
    rounded = float(int(scaled + 0.5)) / scale if scaled < 1e15 else float(abs(value))
    return rounded if value >= 0 else -rounded


def _divmod(machine: Machine, given: Arguments) -> object:
    a, b = given
    return (binary("//", a, b, machine.meter), binary("%", a, b, machine.meter))


def _abs(value: object) -> object:
    if isinstance(value, float):
        return abs(value)
    if isinstance(value, int):
        return Long(abs(value)) if isinstance(value, Long) else integer(abs(int(value)))
    raise TypeError(f"bad operand type for abs(): '{type_name(value)}'")


def _next(machine: Machine, given: Arguments) -> object:
    source = given[0]
    if not isinstance(source, Items):
        raise TypeError(f"{type_name(source)} object is not an iterator")
    for item in source.source:
        return item
    return given[1] if len(given) > 1 else throw("StopIteration")


def _refuser(name: str, instead: str) -> Builtin:
    def refuse(given: Arguments, keywords: Keywords) -> object:
        raise Refused(f"{name}() is not available in a domain file", instead)

    return Builtin(name, refuse)


def _simple(machine: Machine) -> dict[str, tuple[int, int, Callable[[Arguments], object]]]:
    """Functions without keywords: (least, most arguments, function)."""
    m = machine
    many = 100
    return {
        "abs": (1, 1, lambda a: _abs(a[0])),
        "all": (1, 1, lambda a: all(is_true(x) for x in iterate(a[0]))),
        "any": (1, 1, lambda a: any(is_true(x) for x in iterate(a[0]))),
        "bin": (1, 1, lambda a: _based("0b", "b", a[0])),
        "chr": (1, 1, lambda a: _chr(a[0])),
        "cmp": (2, 2, lambda a: compare(a[0], a[1])),
        "divmod": (2, 2, lambda a: _divmod(m, a)),
        "filter": (2, 2, lambda a: _filter(m, a)),
        "format": (1, 2, lambda a: format_value(a[0], str2(a[1]) if a[1:] else "", m.meter)),
        "hash": (1, 1, lambda a: hash2(key_of(a[0]))),
        "hex": (1, 1, lambda a: _based("0x", "x", a[0])),
        "id": (1, 1, lambda a: id(a[0])),
        "isinstance": (2, 2, lambda a: is_instance(a[0], a[1])),
        "iter": (1, 1, lambda a: Items(iterate(a[0]))),
        "len": (1, 1, lambda a: _length(a[0])),
        "map": (2, many, lambda a: _map(m, a)),
        "next": (1, 2, lambda a: _next(m, a)),
        "oct": (1, 1, lambda a: _based("0", "o", a[0])),
        "ord": (1, 1, lambda a: _ord(a[0])),
        "pow": (2, 2, lambda a: binary("**", a[0], a[1], m.meter)),
        "range": (1, 3, lambda a: _range(m, a)),
        "reduce": (2, 3, lambda a: _reduce(m, a)),
        "repr": (1, 1, lambda a: repr2(a[0])),
        "round": (1, 2, _round),
        "sum": (1, 2, lambda a: _sum(m, a)),
        "unichr": (1, 1, lambda a: Unicode(chr(_whole(a[0])))),
        "zip": (0, many, lambda a: _zip(m, a)),
    }


def _counted(name: str, least: int, most: int, function: Callable[[Arguments], object]) -> Builtin:
    def called(given: Arguments, keywords: Keywords) -> object:
        if keywords:
            raise TypeError(f"{name}() takes no keyword arguments")
        _check_count(name, given, least, most)
        return function(given)

    return Builtin(name, called)


def builtins(machine: Machine, types: Mapping[str, Type]) -> dict[str, object]:
    """Every built-in name, bound to one evaluation; those of scopes and files are added to it."""
    found: dict[str, object] = {
        "None": None,
        "True": True,
        "False": False,
        "__name__": "__builtin__",
        "__debug__": True,
        **EXCEPTIONS,
        **types,
        "max": _extreme(machine, "max", 1),
        "min": _extreme(machine, "min", -1),
        "sorted": Builtin("sorted", lambda a, k: _sorted(machine, a, k)),
    }
    del found["NoneType"]
    for name, (least, most, function) in _simple(machine).items():
        found[name] = _counted(name, least, most, function)
    for name, instead in _REFUSED.items():
        found[name] = _refuser(name, instead)
    return found
