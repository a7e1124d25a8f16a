"""Reading the daemon's answers: domain records and device lists are SXP as nested lists."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")


def children(sxp: Any, name: str) -> list[list[Any]]:
    """The children `(name …)` of a list."""
    return [kid for kid in sxp[1:] if isinstance(kid, list) and kid and kid[0] == name]


def child_value(sxp: Any, name: str, default: Any = None) -> Any:
    """Value of the first child `(name value)`."""
    for kid in sxp[1:]:
        if isinstance(kid, list) and kid and kid[0] == name:
            return kid[1] if len(kid) > 1 else default
    return default


def fields(sxp: Any) -> dict[str, Any]:
    """Value of each child, the first if there are several; children without one are left out."""
    try:
        # Nearly all records are pairs only, and a listing has many of them.
        return dict(sxp[:0:-1])
    except (TypeError, ValueError):
        pass
    found: dict[str, Any] = {}
    for kid in sxp[1:]:
        if isinstance(kid, list) and len(kid) > 1 and kid[0] not in found:
            found[kid[0]] = kid[1]
    return found


def text_of(value: Any) -> str:
    """A value as the original printed it: str() of Python 2."""
    if type(value) is str:
        return value
    if isinstance(value, float):
        text = f"{value:.12g}"
        return text if any(mark in text for mark in ".en") else text + ".0"
    if isinstance(value, list):
        return "[" + ", ".join(_repr(item) for item in value) + "]"
    return str(value)


def _repr(value: Any) -> str:
    return repr(value) if isinstance(value, (str, float)) else text_of(value)


class DomainRow:
    """The columns of a domain in `xm list` and its kin."""

    __slots__ = ("cpu_time", "domid", "label", "memory", "name", "start_time", "state", "vcpus")

    def __init__(self, record: Any) -> None:
        known = fields(record)
        self.domid = text_of(known.get("domid", ""))
        """Text; empty when the domain does not run."""
        self.name = text_of(known.get("name", "??"))
        self.state = text_of(known.get("state", ""))
        """`rbpscd` at fixed positions; empty when the domain does not run."""
        # While it runs, the number online; else the number configured.
        self.vcpus = int(known.get("online_vcpus", known.get("vcpus", 0)))
        self.start_time = float(known.get("start_time", -1))
        self.memory = int(known.get("memory", 0))
        self.cpu_time = float(known.get("cpu_time", 0.0))
        self.label = ""

    def matches(self, wanted: str | None) -> bool:
        return wanted is None or wanted in (self.name, self.domid)


def pair_value(pairs: list[Any], name: str, convert: Callable[[Any], T], default: T) -> T:
    """From a device's list of [key, value]."""
    for pair in pairs:
        if pair[0] == name:
            return convert(pair[1])
    return default


def as_json(value: Any) -> str:
    """For `--json`: two blanks deep, in the order given, any byte kept."""
    import json

    return json.dumps(value, indent=2, ensure_ascii=False)


def number_or_none(text: str) -> int | None:
    """A domain id in JSON."""
    return int(text) if text.lstrip("-").isdigit() else None
