"""The module `re` of a domain file.

A regular expression cannot be interrupted while it runs, so one that may take long on its text
is refused before: the estimate counts how often its repetitions can back up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from xend.config.xmlex import Unicode
from xend.config.xmlimits import Refused
from xend.config.xmmachine import Arguments, Machine
from xend.config.xmvalues import Builtin, Dict, Module, integer, throw, type_name

_MAX_WORK: Final = 20_000_000
_MAX_PATTERN: Final = 2000
_MAX_REPEAT: Final = 1000
_PIECE: Final = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[:=!]|\(\?<[=!]|\(\?P<\w+>|\(|\)|\||[*+?]|\{(\d*),?(\d*)\}|.",
    re.DOTALL,
)
_FLAGS: Final = {
    "I": re.IGNORECASE,
    "IGNORECASE": re.IGNORECASE,
    "M": re.MULTILINE,
    "MULTILINE": re.MULTILINE,
    "S": re.DOTALL,
    "DOTALL": re.DOTALL,
    "X": re.VERBOSE,
    "VERBOSE": re.VERBOSE,
    "L": 0,
    "LOCALE": 0,
    "U": 0,
    "UNICODE": 0,
}


def _repetitions(pattern: str) -> int:
    """How many repetitions a pattern has, each of which can back up over the whole text.

    A group that is repeated and itself repeats or chooses could back up exponentially.
    """
    count = 0
    open_groups: list[int] = []
    closed: int | None = None
    for piece in _PIECE.finditer(pattern):
        text = piece.group()
        if text[0] == "(" and not text.startswith("(?P="):
            open_groups.append(count)
            closed = None
        elif text == ")" and open_groups:
            closed = count - open_groups.pop()
        elif text in "*+?" or (text[0] == "{" and len(text) > 1):
            if any(int(digits or 0) > _MAX_REPEAT for digits in piece.groups("0")):
                raise Refused("a regular expression that repeats so often", "a smaller number")
            if closed and text != "?":
                raise Refused(
                    f"the regular expression {pattern!r} (a repetition within a repetition)",
                    "an expression without one",
                )
            count += 1
            closed = None
        elif text == "|":
            count += 1
            closed = None
        else:
            closed = None
    return count


class Pattern:
    """A compiled expression; it works on bytes, so that only ASCII counts as letters."""

    def __init__(self, machine: Machine, pattern: object, flags: object = 0) -> None:
        if not isinstance(pattern, str):
            raise TypeError("first argument must be string or compiled pattern")
        if len(pattern) > _MAX_PATTERN:
            raise Refused("so long a regular expression", f"at most {_MAX_PATTERN} characters")
        self.machine = machine
        self.text = str(pattern)
        self.repetitions = _repetitions(self.text)
        number = int(flags) if isinstance(flags, int) else 0
        try:
            self.native = re.compile(self.text.encode("latin-1", "replace"), number)
        except re.error as error:
            throw("ValueError", str(error))

    def subject(self, value: object) -> bytes:
        """The text to search, once it is known that the search cannot take long."""
        if not isinstance(value, str):
            raise TypeError(f"expected string or buffer, not {type_name(value)}")
        length = max(2, len(value))
        if length ** min(self.repetitions + 1, 20) > _MAX_WORK and self.repetitions > 1:
            raise Refused(
                f"the regular expression {self.text!r} on a text of {length} characters",
                "a simpler expression, or a shorter text",
            )
        self.machine.meter.spend(length // 100 + 1)
        return str(value).encode("latin-1", "replace")

    def find(self, how: str, value: object) -> object:
        found = getattr(self.native, how)(self.subject(value))
        return None if found is None else _match_value(found)

    def find_all(self, value: object) -> object:
        found = self.native.findall(self.subject(value))
        self.machine.meter.grow(len(found))
        return [_text(item) for item in found]

    def split(self, given: Arguments) -> object:
        count = given[1] if len(given) > 1 and isinstance(given[1], int) else 0
        parts: list[object] = list(self.native.split(self.subject(given[0]), int(count)))
        self.machine.meter.grow(len(parts))
        return [_text(part) for part in parts]

    def substitute(self, given: Arguments) -> object:
        replacement, value = given[0], given[1]
        count = given[2] if len(given) > 2 and isinstance(given[2], int) else 0
        subject = self.subject(value)
        size = len(replacement) if isinstance(replacement, str) else 1
        self.machine.meter.grow(len(subject) + (len(subject) + 1) * size)
        by: bytes | Callable[[re.Match[bytes]], bytes]
        if isinstance(replacement, str):
            by = str(replacement).encode("latin-1", "replace")
        else:
            by = self._caller(replacement)
        return self.native.sub(by, subject, int(count)).decode("latin-1")

    def _caller(self, function: object) -> Callable[[re.Match[bytes]], bytes]:
        def call(match: re.Match[bytes]) -> bytes:
            result = self.machine.call(function, [_match_value(match)], {})
            if not isinstance(result, str):
                raise TypeError(f"expected string or buffer, not {type_name(result)}")
            return str(result).encode("latin-1", "replace")

        return call


def _text(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, tuple):
        return tuple([_text(item) for item in value])
    return value


def _plain(name: str, function: Callable[[Arguments], object]) -> Builtin:
    return Builtin(name, lambda given, keywords: function([*given, *keywords.values()]))


def _match_value(match: re.Match[bytes]) -> Module:
    def group(given: Arguments) -> object:
        names = [name if isinstance(name, int) else str(name) for name in given]
        return _text(match.group(*names))

    def groupdict(given: Arguments) -> object:
        made = Dict()
        for name, value in match.groupdict().items():
            made[name] = _text(value)
        return made

    def place(how: Callable[[int], object]) -> Callable[[Arguments], object]:
        return lambda given: how(int(str(given[0])) if given else 0)

    return Module(
        "SRE_Match",
        {
            "group": _plain("group", group),
            "groups": _plain("groups", lambda a: _text(match.groups(*a[:1]))),
            "groupdict": _plain("groupdict", groupdict),
            "start": _plain("start", place(lambda number: integer(match.start(number)))),
            "end": _plain("end", place(lambda number: integer(match.end(number)))),
            "span": _plain("span", place(lambda number: match.span(number))),
            "string": _text(match.string),
            "lastindex": match.lastindex,
        },
    )


def regex_members(machine: Machine) -> dict[str, object]:
    """The module's functions by name."""
    compiled: dict[int, Pattern] = {}

    def pattern_of(value: object, flags: object = 0) -> Pattern:
        return compiled.get(id(value)) or Pattern(machine, value, flags)

    def found(how: str) -> Callable[[Arguments], object]:
        return lambda a: pattern_of(a[0], a[2] if len(a) > 2 else 0).find(how, a[1])

    def compile_(given: Arguments) -> object:
        pattern = Pattern(machine, given[0], given[1] if len(given) > 1 else 0)
        module = Module(
            "SRE_Pattern",
            {
                "match": _plain("match", lambda a: pattern.find("match", a[0])),
                "search": _plain("search", lambda a: pattern.find("search", a[0])),
                "findall": _plain("findall", lambda a: pattern.find_all(a[0])),
                "split": _plain("split", pattern.split),
                "sub": _plain("sub", pattern.substitute),
                "pattern": given[0],
            },
        )
        compiled[id(module)] = pattern
        keep.append(module)
        return module

    keep: list[Module] = []
    functions: dict[str, Callable[[Arguments], object]] = {
        "match": found("match"),
        "search": found("search"),
        "findall": lambda a: pattern_of(a[0], a[2] if len(a) > 2 else 0).find_all(a[1]),
        "split": lambda a: pattern_of(a[0]).split(a[1:]),
        "sub": lambda a: pattern_of(a[0]).substitute(a[1:]),
        "compile": compile_,
        "escape": _escape,
    }
    flags = {name: int(flag) for name, flag in _FLAGS.items()}
    return {**flags, **{name: _plain(name, function) for name, function in functions.items()}}


def _escape(given: Arguments) -> object:
    """Python 2 put a backslash before everything but letters and digits."""
    value = given[0]
    if not isinstance(value, str):
        raise TypeError("expected string or buffer")
    parts = [c if c.isascii() and c.isalnum() else "\\" + c for c in str(value)]
    joined = "".join(parts)
    return Unicode(joined) if isinstance(value, Unicode) else joined
