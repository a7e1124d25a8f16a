"""`filter=`, `sort=` and `fields=` of lists: a small grammar over the documents that are listed.

    filter = term { "," term }            all of them must hold
    term   = path operator value
    path   = name { "." name }            memory.current
    operator = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~"
    value  = a JSON number, true, false, null, or text ("…" when a comma is in it)

`~` is a pattern with * and ?, as in a shell; `=` of a text is exact.  `sort` is a list of paths,
with `-` in front for the greatest first; `fields` a list of paths to answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

from xend.api.rest.refusals import InvalidQuery
from xend.api.rest.suggestions import did_you_mean
from xend.core.portions import portions

_PATH = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_TERM = re.compile(rf'({_PATH})(!=|<=|>=|=|<|>|~)("(?:[^"\\]|\\.)*"|[^,]*)(?:,|\Z)')
MAX_TERMS: Final = 16

Document = Mapping[str, Any]
D = TypeVar("D", bound=Document)
Test = Callable[[Document], bool]


def value_at(document: Document, path: str) -> Any:
    """None when there is nothing."""
    found: Any = document
    for name in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def parse_filter(text: str, known: Sequence[str]) -> Test:
    """InvalidQuery names the place where it stops making sense."""
    tests: list[Test] = []
    at = 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None:
            raise InvalidQuery(
                f"filter: cannot be understood from '{text[at : at + 40]}' on",
                argument="filter",
                value=text,
                expected="path=value,path>=number,path~pattern*",
            )
        path, operator, value = match.groups()
        _check_known("filter", path, known)
        tests.append(_test(path, operator, _value(value)))
        at = match.end()
        if len(tests) > MAX_TERMS:
            raise InvalidQuery(f"filter: at most {MAX_TERMS} terms", argument="filter", value=text)
    return lambda document: all(test(document) for test in tests)


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, list | dict) else value


def _test(path: str, operator: str, wanted: Any) -> Test:
    compare = _COMPARISONS[operator]
    return lambda document: compare(value_at(document, path), wanted)


def _equal(found: Any, wanted: Any) -> bool:
    # A name may be all digits: `name=12` means the text, too.
    return bool(found == wanted) or (
        isinstance(found, str) and not isinstance(wanted, str) and found == json.dumps(wanted)
    )


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(found: Any, wanted: Any) -> bool:
        numbers = (int, float)
        if isinstance(found, numbers) and isinstance(wanted, numbers):
            return test(found, wanted)
        if isinstance(found, str) and isinstance(wanted, str):
            return test(found, wanted)
        return False

    return compare


_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": _equal,
    "!=": lambda found, wanted: not _equal(found, wanted),
    "<": _ordered(lambda a, b: bool(a < b)),
    "<=": _ordered(lambda a, b: bool(a <= b)),
    ">": _ordered(lambda a, b: bool(a > b)),
    ">=": _ordered(lambda a, b: bool(a >= b)),
    "~": lambda found, wanted: isinstance(found, str) and fnmatchcase(found, str(wanted)),
}


def _check_known(argument: str, path: str, known: Sequence[str]) -> None:
    if path not in known:
        raise InvalidQuery(
            f"{argument}: there is no field '{path}'{did_you_mean(path, known)}",
            argument=argument,
            value=path,
            expected=", ".join(known),
        )


def parse_fields(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """In the order of the request, each once."""
    paths = tuple(dict.fromkeys(path.strip() for path in text.split(",")))
    for path in paths:
        _check_known("fields", path, known)
    return paths


def only(document: Document, paths: Sequence[str]) -> dict[str, Any]:
    """Those fields alone, nested as they were."""
    found: dict[str, Any] = {}
    for path in paths:
        *parents, name = path.split(".")
        place = found
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value_at(document, path)
    return found


@dataclass(frozen=True, slots=True)
class Order:
    path: str
    descending: bool = False


def parse_sort(text: str, known: Sequence[str]) -> tuple[Order, ...]:
    orders = []
    for word in text.split(","):
        word = word.strip()
        path = word.removeprefix("-")
        _check_known("sort", path, known)
        orders.append(Order(path, word.startswith("-")))
    return tuple(orders)


async def sorted_by(documents: Sequence[D], orders: Sequence[Order]) -> list[D]:
    """Stable; null before everything else."""
    found = list(documents)
    for order in reversed(orders):
        ranks: list[tuple[int, Any]] = []
        async for part in portions(found):
            ranks += [_rank(value_at(each, order.path)) for each in part]
        places = sorted(range(len(found)), key=ranks.__getitem__, reverse=order.descending)
        found = [found[place] for place in places]
    return found


def _rank(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    if isinstance(value, int | float):
        return (1, value)
    return (2, str(value))


def paths_of(document: Document, prefix: str = "") -> list[str]:
    """The paths of a document's fields, nested ones and what contains them."""
    found: list[str] = []
    for name, value in document.items():
        found.append(prefix + name)
        if isinstance(value, Mapping):
            found += paths_of(value, f"{prefix}{name}.")
    return found
