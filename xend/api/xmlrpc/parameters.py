"""Arguments of old calls: loosely typed by their clients, strictly decoded here.

The original was Python 2 and took what came: a truth as 0, 1 or a boolean, a number as text.
What it would have failed on fails here too, with a text that names the parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from xend.errors import InvalidArgument, XendError


class WrongArguments(XendError):
    """The number of arguments is wrong.  Fields: `method`, `given`."""

    key = "xmlrpc.arguments"


REQUIRED: Final = object()


@dataclass(frozen=True, slots=True)
class Parameter:
    """`decode` gets the parameter's name and the value that came."""

    name: str
    decode: Callable[[str, Any], Any]
    default: Any = REQUIRED


def bind(method: str, parameters: Sequence[Parameter], given: Sequence[Any]) -> list[Any]:
    """Decoded arguments in order, defaults filled in; WrongArguments, InvalidArgument."""
    least = sum(1 for parameter in parameters if parameter.default is REQUIRED)
    if not least <= len(given) <= len(parameters):
        raise _wrong_count(method, least, len(parameters), len(given))
    values = [
        parameter.decode(parameter.name, value)
        for parameter, value in zip(parameters, given, strict=False)
    ]
    values += [parameter.default for parameter in parameters[len(given) :]]
    return values


def _wrong_count(method: str, least: int, most: int, given: int) -> WrongArguments:
    """In Python 2's words, which is what old clients have shown to people."""
    if least == most:
        bound, count = "exactly", most
    elif given < least:
        bound, count = "at least", least
    else:
        bound, count = "at most", most
    name = method.rpartition(".")[2]
    plural = "" if count == 1 else "s"
    text = f"{name}() takes {bound} {count} argument{plural} ({given} given)"
    return WrongArguments(text, method=method, given=given)


def reference(name: str, value: Any) -> str | int:
    """A domain's name, uuid or number."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _not(name, value, "a domain's name, id or uuid")
    return value


def text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise _not(name, value, "text")
    return str(value)


def optional_text(name: str, value: Any) -> str | None:
    return None if value is None else text(name, value)


def integer(name: str, value: Any) -> int:
    """Numbers, truths, and text that is a number."""
    if isinstance(value, int | float) and value == int(value):
        return int(value)
    if isinstance(value, str) and len(value) < 30:
        try:
            return int(value)
        except ValueError:
            pass
    raise _not(name, value, "an integer")


def optional_integer(name: str, value: Any) -> int | None:
    return None if value is None else integer(name, value)


_FALSE_WORDS = frozenset({"", "0", "false", "no", "off", "none"})


def flag(name: str, value: Any) -> bool:
    """Truth of a boolean, a number, nil or a word; an option string such as `--force` is true."""
    if isinstance(value, str):
        return value.lower() not in _FALSE_WORDS
    if value is None or isinstance(value, bool | int | float):
        return bool(value)
    raise _not(name, value, "a boolean")


def sxp(name: str, value: Any) -> list[Any]:
    """An S-expression as nested arrays."""
    if not isinstance(value, list):
        raise _not(name, value, "an S-expression (nested arrays)")
    return value


def texts(name: str, value: Any) -> list[str]:
    """An array of text; nil is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise _not(name, value, "an array of text")
    return [text(name, item) for item in value]


def anything(name: str, value: Any) -> Any:
    return value


def _not(name: str, value: Any, expected: str) -> InvalidArgument:
    shown = repr(value)
    return InvalidArgument(
        f"Invalid {name}: {shown[:80]} is not {expected}",
        argument=name,
        value=shown,
        expected=expected,
    )
