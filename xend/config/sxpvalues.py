"""Reading typed values out of a domain's SXP, with errors that name the field."""

from __future__ import annotations

from typing import NoReturn

from xend.config import sxp
from xend.config.sxpkeys import Kind
from xend.errors import ConfigError


def invalid(message: str, *, field: str, value: object = None, expected: str = "") -> NoReturn:
    """The original's form of a configuration error."""
    raise ConfigError(
        f"Invalid Configuration: {message}",
        field=field,
        value=value,
        **({"expected": expected} if expected else {}),
    )


def text(value: sxp.Value, field: str) -> str:
    """An atom as text: XML-RPC clients send numbers and booleans as such."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        invalid(f"{field}: expected a text, not a list", field=field, value=sxp.show(value))
    if isinstance(value, float):
        return sxp.show_float(value)
    return "" if value is None else str(value)


def child_text(tree: sxp.Value, name: str, default: str = "") -> str:
    """The text of a child; the default if there is none."""
    value = sxp.child_value(tree, name)
    return default if value is None else text(value, name)


def whole(value: sxp.Value, field: str) -> int:
    """A whole number."""
    if isinstance(value, (bool, int)):
        return int(value)
    shown = text(value, field)
    try:
        return int(shown)
    except ValueError:
        invalid(
            f"{field}: '{shown}' is not a whole number",
            field=field,
            value=shown,
            expected="a whole number",
        )


def child_whole(tree: sxp.Value, name: str) -> int | None:
    value = sxp.child_value(tree, name)
    return None if value is None else whole(value, name)


def flag(value: sxp.Value) -> bool:
    """True unless it is 0, False, empty or missing."""
    return value not in (None, False, 0, "", "0", "False", "false", "no")


def typed(value: sxp.Value, kind: Kind, field: str) -> object:
    if kind == "int":
        return whole(value, field)
    return flag(value) if kind == "flag" else text(value, field)


def pairs(value: sxp.Value) -> dict[str, sxp.Value]:
    """`((key value) …)` as a dictionary; anything else in the list is left out."""
    found: dict[str, sxp.Value] = {}
    for item in value if isinstance(value, list) else []:
        if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):
            found[item[0]] = item[1]
    return found
