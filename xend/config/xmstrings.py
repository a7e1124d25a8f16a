"""The methods of a Python 2 string."""

from __future__ import annotations

from typing import Final

from xend.config.xmformat import braces
from xend.config.xmlex import Unicode
from xend.config.xmmachine import Arguments, Keywords, Machine, Method, number_argument
from xend.config.xmvalues import iterate, throw, type_name

_PLAIN_STRING_METHODS: Final = frozenset(
    (
        *("capitalize", "count", "endswith", "find", "index", "isalnum", "isalpha", "isdigit"),
        *("islower", "isspace", "istitle", "isupper", "lower", "lstrip", "partition", "rfind"),
        *("rindex", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith"),
        *("strip", "swapcase", "title", "upper"),
    )
)
"""Their results are never larger than what they are given."""


def _native(value: object, is_unicode: bool) -> object:
    """An argument of a string method: bytes for a str, so that only ASCII counts as letters."""
    if isinstance(value, str):
        return str(value) if is_unicode else value.encode("latin-1")
    if isinstance(value, tuple):
        return tuple([_native(item, is_unicode) for item in value])
    if value is None or isinstance(value, int):
        return value
    raise TypeError(f"expected a character buffer object, not {type_name(value)}")


def _value(result: object) -> object:
    """What a native method gave, as a value of the file."""
    if isinstance(result, bytes):
        return result.decode("latin-1")
    if isinstance(result, str):
        return Unicode(result)
    if isinstance(result, (list, tuple)):
        return type(result)([_value(item) for item in result])
    return result


def _plain_string(name: str, text: object, given: Arguments, machine: Machine) -> object:
    is_unicode = isinstance(text, Unicode) or any(isinstance(arg, Unicode) for arg in given)
    if given and isinstance(given[0], int) and name not in ("splitlines",):
        raise TypeError("expected a character buffer object")
    machine.meter.grow(len(str(text)))
    owner = _native(text, is_unicode)
    native = getattr(owner, name)
    result = native(*[_native(arg, is_unicode) for arg in given])
    if isinstance(result, list):
        machine.meter.spend(len(result) >> 4)
    return _value(result)


def _text_argument(given: Arguments, index: int) -> str:
    value = given[index] if index < len(given) else None
    if not isinstance(value, str):
        raise TypeError(f"expected a character buffer object, not {type_name(value)}")
    return value


def _like_text(result: str, *parts: object) -> str:
    return Unicode(result) if any(isinstance(part, Unicode) for part in parts) else result


def _join(machine: Machine, text: object, given: Arguments, _: Keywords) -> object:
    glue = str(text)
    parts: list[str] = []
    items = list(iterate(given[0]))
    for index, item in enumerate(items):
        if not isinstance(item, str):
            raise TypeError(f"sequence item {index}: expected string, {type_name(item)} found")
        parts.append(str(item))
    machine.meter.grow(sum(map(len, parts)) + len(glue) * len(parts))
    return _like_text(glue.join(parts), text, *items)


def _replace(machine: Machine, text: object, given: Arguments, _: Keywords) -> object:
    subject, old, new = str(text), _text_argument(given, 0), _text_argument(given, 1)
    count = number_argument(given, 2, -1)
    machine.meter.grow(len(subject) + (subject.count(old) + 1) * len(new))
    return _like_text(subject.replace(old, new, count), text, old, new)


def _pad(name: str) -> Method:
    def padded(machine: Machine, text: object, given: Arguments, _: Keywords) -> object:
        width = number_argument(given, 0)
        machine.meter.grow(max(width, len(str(text))))
        fill = [_text_argument(given, 1)] if len(given) > 1 else []
        return _like_text(getattr(str(text), name)(width, *fill), text)

    return padded


def _expandtabs(machine: Machine, text: object, given: Arguments, _: Keywords) -> object:
    size = number_argument(given, 0, 8)
    machine.meter.grow(len(str(text)) + str(text).count("\t") * max(0, size))
    return _like_text(str(text).expandtabs(size), text)


def _translate(machine: Machine, text: object, given: Arguments, _: Keywords) -> object:
    table = given[0]
    drop = _text_argument(given, 1) if len(given) > 1 else ""
    if table is not None and (not isinstance(table, str) or len(table) != 256):
        throw("ValueError", "translation table must be 256 characters long")
    machine.meter.grow(len(str(text)))
    dropped = frozenset(drop)
    kept = [char for char in str(text) if char not in dropped]
    return "".join(kept if table is None else [str(table)[ord(char) & 0xFF] for char in kept])


def _decode(machine: Machine, text: object, given: Arguments, _: Keywords) -> object:
    encoding = _text_argument(given, 0) if given else "ascii"
    machine.meter.grow(len(str(text)))
    if encoding.lower() == "hex":
        try:
            return bytes.fromhex(str(text)).decode("latin-1")
        except ValueError:
            throw("TypeError", "Non-hexadecimal digit found")
    if encoding.lower().replace("_", "-") not in _ENCODINGS:
        throw("LookupError", f"unknown encoding: {encoding}")
    return Unicode(str(text).encode("latin-1").decode(encoding))


def _encode(machine: Machine, text: object, given: Arguments, _: Keywords) -> object:
    encoding = _text_argument(given, 0) if given else "ascii"
    machine.meter.grow(4 * len(str(text)))
    if encoding.lower() == "hex":
        return str(text).encode("latin-1", "replace").hex()
    if encoding.lower().replace("_", "-") not in _ENCODINGS:
        throw("LookupError", f"unknown encoding: {encoding}")
    return str(text).encode(encoding).decode("latin-1")


_ENCODINGS: Final = frozenset(
    ("ascii", "us-ascii", "utf-8", "utf8", "latin-1", "latin1", "iso-8859-1", "iso-8859-15")
)


def _format(machine: Machine, text: object, given: Arguments, keywords: Keywords) -> object:
    return braces(str(text) if type(text) is str else Unicode(text), given, keywords, machine.meter)


_STRING: Final[dict[str, Method]] = {
    "join": _join,
    "replace": _replace,
    "center": _pad("center"),
    "ljust": _pad("ljust"),
    "rjust": _pad("rjust"),
    "zfill": _pad("zfill"),
    "expandtabs": _expandtabs,
    "translate": _translate,
    "decode": _decode,
    "encode": _encode,
    "format": _format,
}


def string_method(name: str) -> Method | None:
    """The method of that name."""
    if name in _PLAIN_STRING_METHODS:
        return lambda machine, text, given, _: _plain_string(name, text, given, machine)
    return _STRING.get(name)
