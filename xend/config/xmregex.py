"""The module `re` of a domain file.

A regular expression cannot be interrupted while it runs, so one that may take long on its text
is refused before, by the number of ways there may be through it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from xend.config.xmlex import Unicode
from xend.config.xmlimits import Refused
from xend.config.xmmachine import Arguments, Machine
from xend.config.xmvalues import Builtin, Dict, Items, Module, integer, throw, type_name

_MAX_WORK: Final = 10_000_000
"""Ways through an expression, over all places of a text; each takes some 20 ns."""
_WORK_OF_STEP: Final = 50
_MAX_PATTERN: Final = 2000
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


class _Paths:
    """How many ways there may be through an expression, from one place of a text.

    An upper bound, from the parsed expression: a repetition can end after each of its rounds, and
    what is tried in one round is tried in every other, too.
    """

    def __init__(self, subject: bytes, flags: int) -> None:
        self.length = len(subject)
        self.line = self.length
        if not flags & re.DOTALL:
            self.line = max(map(len, subject.split(b"\n")), default=0)

    def of(self, parsed: Iterable[Any]) -> int:
        ways = 1
        for op, argument in parsed:
            ways = min(ways * self._of_one(str(op), argument), _MAX_WORK + 1)
        return ways

    def _of_one(self, op: str, argument: Any) -> int:
        if op in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            return self._of_repeat(*argument)
        if op == "BRANCH":
            return sum([self.of(each) for each in argument[1]])
        if op in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
            return self.of(argument[-1])
        if op == "ATOMIC_GROUP":
            return self.of(argument)
        if op == "GROUPREF_EXISTS":
            return sum([self.of(each) for each in argument[1:] if each is not None])
        return 1

    def _of_repeat(self, least: Any, most: Any, body: Any) -> int:
        length = self.line if [str(op) for op, _ in body] == ["ANY"] else self.length
        width = body.getwidth()[0]
        rounds = min(int(most), length // width if width else max(length + 1, int(least)))
        ways = self.of(body)
        if ways == 1:
            each_costs = 1 if width else max(1, int(least))
            return max(1, rounds - int(least) + 1) * each_costs
        total = 0
        for count in range(min(int(least), rounds), rounds + 1):
            total += ways ** min(count, 64)
            if total > _MAX_WORK:
                break
        return total


def _beginning(parsed: Iterable[Any]) -> bytes:
    """The characters that an expression must begin with."""
    found = bytearray()
    for op, argument in parsed:
        if str(op) != "LITERAL":
            break
        found.append(argument)
    return bytes(found)


@lru_cache(maxsize=64)
def _parsed(pattern: bytes, flags: int) -> Any:
    """What re.compile makes its program from."""
    return import_module("re._parser").parse(pattern, flags)


class Pattern:
    """A compiled expression; it works on bytes, so that only ASCII counts as letters."""

    def __init__(self, machine: Machine, pattern: object, flags: object = 0) -> None:
        if not isinstance(pattern, str):
            raise TypeError("first argument must be string or compiled pattern")
        if len(pattern) > _MAX_PATTERN:
            raise Refused("so long a regular expression", f"at most {_MAX_PATTERN} characters")
        self.machine = machine
        self.text = str(pattern)
        number = int(flags) if isinstance(flags, int) else 0
        given = self.text.encode("latin-1", "replace")
        try:
            with warnings.catch_warnings():
                # Of sets within sets, which Python 2 had not, and which no Python has yet.
                warnings.simplefilter("ignore", FutureWarning)
                self.native = re.compile(given, number)
                self.parsed = _parsed(given, number)
        except re.error as error:
            throw("ValueError", str(error))

    def subject(self, value: object, how: str = "search") -> bytes:
        """The text to search, once it is known that the search cannot take long."""
        if not isinstance(value, str):
            raise TypeError(f"expected string or buffer, not {type_name(value)}")
        subject = str(value).encode("latin-1", "replace")
        flags = self.native.flags
        ways = _Paths(subject, flags).of(self.parsed)
        if how != "match":
            start = b"" if flags & re.IGNORECASE else _beginning(self.parsed)
            ways *= subject.count(start) if start else len(subject) + 1
        if ways > _MAX_WORK:
            raise Refused(
                f"the regular expression {self.text!r} on a text of {len(subject)} characters",
                "a simpler expression, or a shorter text",
            )
        self.machine.meter.spend(ways // _WORK_OF_STEP + len(subject) // 100 + 1)
        return subject

    def find(self, how: str, value: object) -> object:
        found = getattr(self.native, how)(self.subject(value, how))
        return None if found is None else _match_value(found)

    def matches(self, subject: bytes) -> Iterator[re.Match[bytes]]:
        """One after the other; behind an empty one Python 2 went on with the next character."""
        at = 0
        while at <= len(subject) and (match := self.native.search(subject, at)):
            self.machine.meter.spend(1)
            yield match
            at = match.end() + (match.end() == match.start())

    def find_all(self, value: object) -> object:
        found: list[object] = []
        for match in self.matches(self.subject(value)):
            groups = match.groups(b"")
            item = groups if len(groups) > 1 else groups[0] if groups else match.group()
            self.machine.meter.grow(1 + sum([len(part) for part in groups]))
            found.append(_text(item))
        return found

    def find_each(self, value: object) -> object:
        found = [_match_value(match) for match in self.matches(self.subject(value))]
        return Items(found, "callable-iterator")

    def split(self, given: Arguments) -> object:
        """Never at an empty match, as Python 2 had it."""
        most = int(given[1]) if len(given) > 1 and isinstance(given[1], int) else 0
        subject = self.subject(given[0])
        parts: list[object] = []
        last = done = 0
        for match in self.matches(subject):
            if match.end() == match.start():
                continue
            parts += [_text(part) for part in (subject[last : match.start()], *match.groups())]
            self.machine.meter.grow(1 + len(match.groups()))
            last, done = match.end(), done + 1
            if done == most:
                break
        return [*parts, _text(subject[last:])]

    def substitute(self, given: Arguments) -> tuple[str, int]:
        """The new text, and how often something was replaced; not an empty match behind another."""
        replacement, value = given[0], given[1]
        most = int(given[2]) if len(given) > 2 and isinstance(given[2], int) else 0
        subject = self.subject(value)
        make = self._replacer(replacement)
        parts: list[bytes] = []
        last = done = 0
        for match in self.matches(subject):
            if done and last == match.start() == match.end():
                continue
            parts += [subject[last : match.start()], make(match)]
            last, done = match.end(), done + 1
            if done == most:
                break
        parts.append(subject[last:])
        self.machine.meter.grow(sum([len(part) for part in parts]))
        return b"".join(parts).decode("latin-1"), done

    def _replacer(self, replacement: object) -> Callable[[re.Match[bytes]], bytes]:
        if not isinstance(replacement, str):
            return self._caller(replacement)
        template = str(replacement).encode("latin-1", "replace")
        places = template.count(b"\\")

        def expand(match: re.Match[bytes]) -> bytes:
            longest = max([len(part or b"") for part in (match.group(), *match.groups())])
            self.machine.meter.grow(len(template) + places * longest)
            self.machine.meter.spend(places)
            return match.expand(template) if places else template

        return expand

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
                "finditer": _plain("finditer", lambda a: pattern.find_each(a[0])),
                "split": _plain("split", pattern.split),
                "sub": _plain("sub", lambda a: pattern.substitute(a)[0]),
                "subn": _plain("subn", pattern.substitute),
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
        "findall": lambda a: pattern_of(a[0], *a[2:3]).find_all(a[1]),
        "finditer": lambda a: pattern_of(a[0], *a[2:3]).find_each(a[1]),
        "split": lambda a: pattern_of(a[0], *a[3:4]).split(a[1:3]),
        "sub": lambda a: pattern_of(a[0], *a[4:5]).substitute(a[1:4])[0],
        "subn": lambda a: pattern_of(a[0], *a[4:5]).substitute(a[1:4]),
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
