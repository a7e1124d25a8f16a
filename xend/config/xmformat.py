"""Text formatting of a domain file: `%`, `str.format` and `format`, as Python 2.7 had them."""

from __future__ import annotations

import re
from typing import Final

from xend.config.xmlex import Unicode
from xend.config.xmlimits import Meter, Refused
from xend.config.xmvalues import Dict, repr2, str2, throw, type_name

_CONVERSION: Final = re.compile(
    r"%(?:\(((?:[^()]|\([^()]*\))*)\))?([#0 +-]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?(.)?", re.DOTALL
)
_FIELD: Final = re.compile(
    r"\{\{|\}\}|\{(?P<name>[^{}!:]*)(?:!(?P<conversion>[rs]))?(?::(?P<spec>(?:[^{}]|\{[^{}]*\})*))?\}|[{}]"
)
_INDEX: Final = re.compile(r"\[([^\]]*)\]")
_NUMBER: Final = re.compile(r"\d+")
_MAX_WIDTH: Final = 4096


def percent(template: str, given: object, meter: Meter) -> str:
    """`template % given`."""
    run = _Percent(template, given, meter)
    text = run.text()
    is_unicode = isinstance(template, Unicode) or run.used_unicode
    return Unicode(text) if is_unicode else text


class _Percent:
    def __init__(self, template: str, given: object, meter: Meter) -> None:
        self.template = template
        self.meter = meter
        self.mapping = given if isinstance(given, Dict) else None
        self.arguments = list(given) if isinstance(given, tuple) else [given]
        self.at = 0
        self.used_unicode = False

    def text(self) -> str:
        parts: list[str] = []
        template, position = str(self.template), 0
        while True:
            start = template.find("%", position)
            if start < 0:
                parts.append(template[position:])
                break
            parts.append(template[position:start])
            match = _CONVERSION.match(template, start)
            if match is None or match.group(5) is None:
                throw("ValueError", "incomplete format")
            piece = self.piece(match)
            self.meter.grow(len(piece))
            parts.append(piece)
            position = match.end()
        if self.at < len(self.arguments) and self.mapping is None:
            raise TypeError("not all arguments converted during string formatting")
        self.meter.grow(len(template))
        return "".join(parts)

    def next_argument(self) -> object:
        if self.at >= len(self.arguments):
            raise TypeError("not enough arguments for format string")
        self.at += 1
        return self.arguments[self.at - 1]

    def number(self, text: str | None) -> str:
        """A width or precision; `*` takes it from the arguments."""
        if text == "*":
            value = self.next_argument()
            if not isinstance(value, int):
                raise TypeError("* wants int")
            text = str(int(value))
        return _width(text or "")

    def piece(self, match: re.Match[str]) -> str:
        key, flags, width, precision, kind = match.groups()
        width = self.number(width)
        shown_precision = "" if precision is None else "." + (self.number(precision) or "0")
        if kind == "%":
            return "%"
        value = self.next_argument() if key is None else self.entry(key)
        if kind in "sr":
            return self.sized(flags, width, shown_precision, self.plain(kind, value))
        if kind == "c":
            return self.sized(flags, width, "", _character(value))
        if kind in "diuoxX":
            return ("%" + flags + width + shown_precision + kind) % _whole(kind, value)
        if kind in "eEfFgG":
            if not isinstance(value, (int, float)):
                raise TypeError("float argument required, not " + type_name(value))
            return ("%" + flags + width + shown_precision + kind) % float(value)
        where = match.end() - 1
        return throw(
            "ValueError",
            f"unsupported format character '{kind}' (0x{ord(kind):x}) at index {where}",
        )

    def entry(self, key: str) -> object:
        if self.mapping is None:
            raise TypeError("format requires a mapping")
        return _lookup(self.mapping, key)

    def plain(self, kind: str, value: object) -> str:
        if kind == "r":
            return repr2(value)
        if isinstance(value, Unicode):
            self.used_unicode = True
            return str(value)
        return str2(value)

    @staticmethod
    def sized(flags: str, width: str, precision: str, text: str) -> str:
        left = "-" if "-" in flags else ""
        return f"%{left}{width}{precision}s" % text


def _width(digits: str) -> str:
    if len(digits) > len(str(_MAX_WIDTH)) or abs(int(digits or 0)) > _MAX_WIDTH:
        raise Refused("so wide a format", f"a width of at most {_MAX_WIDTH}")
    return digits


def _lookup(mapping: Dict, key: str) -> object:
    if key not in mapping:
        throw("KeyError", key)
    return mapping[key]


def _character(value: object) -> str:
    if isinstance(value, str) and len(value) == 1:
        return value
    if isinstance(value, int) and 0 <= value < 256:
        return chr(value)
    raise TypeError("%c requires int or char")


def _whole(kind: str, value: object) -> int:
    if isinstance(value, (int, float)):
        return int(value)
    raise TypeError(f"%{kind} format: a number is required, not {type_name(value)}")


def format_value(value: object, spec: str, meter: Meter) -> str:
    """`format(value, spec)`."""
    for digits in _NUMBER.findall(spec):
        _width(digits)
    native: str | int | float
    if isinstance(value, bool):
        native = str(value) if not spec or spec.endswith("s") else int(value)
    elif isinstance(value, int):
        native = int(value)
    elif isinstance(value, float):
        native = value if spec else str2(value)
    else:
        native = str2(value)
    text = format(native, spec)
    meter.grow(len(text))
    return text


def braces(
    template: str, arguments: list[object], keywords: dict[str, object], meter: Meter
) -> str:
    """`template.format(*arguments, **keywords)`."""
    counter = iter(range(len(template)))

    def one(match: re.Match[str]) -> str:
        found = match.group()
        if found in ("{{", "}}"):
            return found[0]
        if found in "{}":
            throw("ValueError", f"Single '{found}' encountered in format string")
        name = match.group("name")
        value = _field(name, arguments, keywords, counter)
        if match.group("conversion") == "r":
            value = repr2(value)
        spec = match.group("spec") or ""
        return format_value(value, _FIELD.sub(one, spec) if "{" in spec else spec, meter)

    text = _FIELD.sub(one, str(template))
    return Unicode(text) if isinstance(template, Unicode) else text


def _field(
    name: str, arguments: list[object], keywords: dict[str, object], counter: object
) -> object:
    base = name.partition("[")[0]
    if "." in base:
        raise Refused(f"the attribute in {{{name}}}", "format the value itself")
    if base == "" or base.isdigit():
        index = int(base) if base else next(counter)  # type: ignore[call-overload]
        if index >= len(arguments):
            throw("IndexError", "tuple index out of range")
        value = arguments[index]
    else:
        if base not in keywords:
            throw("KeyError", base)
        value = keywords[base]
    for inner in _INDEX.findall(name[len(base) :]):
        value = _item(value, inner)
    return value


def _item(value: object, key: str) -> object:
    if isinstance(value, Dict):
        return _lookup(value, key)
    if isinstance(value, (list, tuple, str)) and key.isdigit():
        return value[int(key)]
    raise TypeError(f"'{type_name(value)}' object has no such item")
