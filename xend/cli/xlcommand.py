"""A subcommand of `xl`, and what all of them share: options, domains by name or number, columns.

xl's rules are those of Xen 4.17's tools/xl: getopt_long(3) for options, exit status 2 for a wrong
one, a domain given as digits is its id and never its name.
"""

from __future__ import annotations

from xend.cli.command import Command
from xend.cli.failures import INVALID_DOMAIN_FAULT, Exit, Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from xend.cli.app import Xm
    from xend.cli.command import Option

ERROR_FAIL = -3
ERROR_INVAL = -6
"""libxl's code for a name that no domain has (libxl_name_to_domid)."""
ERROR_DOMAIN_NOTFOUND = -21


class XlCommand(Command):
    """A row.  `doer` is a function of an `Xl` and its words."""

    __slots__ = ("dry_run", "modifies")

    def __init__(
        self,
        name: str,
        usage: str,
        summary: str,
        doer: str,
        *options: Option,
        modifies: bool = False,
        dry_run: bool = False,
        reads: bool = False,
        alone: bool = False,
    ) -> None:
        super().__init__(name, usage, summary, doer, None, *options, reads=reads, alone=alone)
        self.modifies = modifies
        """Takes the global option -f."""
        self.dry_run = dry_run
        """Takes the global option -N."""

    def run(self, xl: Xl, args: list[str]) -> int | None:
        """Exit status; nothing is 0."""
        doer: Any = self.load()
        status: int | None = doer(xl, args)
        return status


class DomainRow:
    """A running domain, as `xend.private.domains` describes it."""

    __slots__ = (
        *("domid", "name", "uuid", "memory", "claimed", "vcpus"),
        *("state", "reason", "seconds", "pool", "started", "type", "never_stop"),
    )

    def __init__(self, row: list[Any]) -> None:
        self.domid: int = row[0]
        self.name: str = row[1]
        self.uuid: str = row[2]
        self.memory: int = row[3]
        """MiB, with what is claimed."""
        self.claimed: int = row[4]
        self.vcpus: int = row[5]
        self.state: str = row[6]
        self.reason: int | None = row[7]
        self.seconds: float = row[8]
        """Of CPU time."""
        self.pool: str = row[9]
        self.started: float | None = row[10]
        """Since the epoch."""
        self.type: str = row[11]
        self.never_stop: bool = row[12]
        """Xen needs it, as it does a XenStore that is a domain of its own."""


class Xl:
    """One command line of `xl`."""

    def __init__(self, xm: Xm, *, dry_run: bool = False) -> None:
        self.xm = xm
        self.dry_run = dry_run
        self._domains: list[DomainRow] | None = None

    def print(self, line: str = "") -> None:
        self.xm.out.write(line + "\n")

    def complain(self, line: str) -> None:
        """A line on standard error."""
        self.xm.err.write(line + "\n")

    def complain_of(self, fault: Fault) -> None:
        """Where xl has lines of libxl's log."""
        missing = fault.code == INVALID_DOMAIN_FAULT
        text = f"Domain {fault.text} does not exist" if missing else fault.text
        for line in text.splitlines():
            self.complain(f"libxl: error: {line}")

    def call(self, method: str, *params: Any) -> Any:
        return self.xm.call(method, *params)

    def domains(self) -> list[DomainRow]:
        """All that run, by domid; asked once."""
        if self._domains is None:
            self._domains = self.look()
        return self._domains

    def look(self) -> list[DomainRow]:
        """The same, as it is now."""
        return [DomainRow(row) for row in self.call("xend.private.domains")]

    def row(self, domid: int) -> DomainRow | None:
        return next((row for row in self.domains() if row.domid == domid), None)

    def domid_of(self, name: str) -> int | None:
        return next((row.domid for row in self.domains() if row.name == name), None)

    def find(self, word: str) -> int:
        """Id of the domain meant; digits are not looked up.  Exit when there is no such name."""
        if word.isascii() and word.isdigit():
            return int(word)
        domid = self.domid_of(word)
        if domid is None:
            self.complain(f"{word} is an invalid domain identifier (rc={ERROR_INVAL})")
            raise Exit(1)
        return domid

    def tolerate(self, method: str, *params: Any) -> bool:
        """A call whose failure xl only tells; whether it went well."""
        try:
            self.call(method, *params)
        except Fault as fault:
            self.complain_of(fault)
            return False
        return True

    def require(self, message: str, method: str, *params: Any) -> Any:
        """A call whose failure ends the command with this message and status 1."""
        try:
            return self.call(method, *params)
        except Fault as fault:
            self.complain_of(fault)
            self.complain(message)
            raise Exit(1) from fault

    def help(self, name: str | None) -> None:
        from xend.cli.xlhelp import show

        show(self, name)

    def options(
        self, name: str, args: list[str], spec: str = "", *, least: int = 0
    ) -> tuple[list[tuple[str, str]], list[str]]:
        """Options in order, as (letter, value), and operands.

        `spec`: `"a w: f:/defconfig"`: letters, `:` when a value follows, the long name.  Ends the
        command for `-h`, for what is wrong (2), and for fewer than `least` operands (2).
        """
        operands: list[str] = []
        found: list[tuple[str, str]] = []
        for letter, value in scan(args, _Spec(f"h/help {spec}"), operands):
            if letter == "h":
                self.help(name)
                raise Exit(0)
            if letter.startswith("?"):
                self.complain(f"option `{letter[1:]}' not supported.")
                raise Exit(2)
            found.append((letter, value))
        if len(operands) < least:
            plural = "s" if least > 1 else ""
            self.complain(f"'xl {name}' requires at least {least} argument{plural}.\n")
            self.help(name)
            raise Exit(2)
        return found, operands

    def flags(
        self, name: str, args: list[str], spec: str = "", *, least: int = 0
    ) -> tuple[set[str], list[str]]:
        """The same for options without values."""
        found, operands = self.options(name, args, spec, least=least)
        return {letter for letter, _ in found}, operands


class _Spec:
    """Which options there are."""

    def __init__(self, text: str) -> None:
        self.takes_value: dict[str, bool] = {}
        self.long: dict[str, str] = {}
        for word in text.split():
            letter, _, name = word.partition("/")
            self.takes_value[letter[0]] = letter.endswith(":")
            if name:
                self.long[name] = letter[0]

    def letter_of(self, name: str) -> str:
        """Of a long option, which may be shortened; empty when it is none."""
        if name in self.long:
            return self.long[name]
        letters = {letter for full, letter in self.long.items() if full.startswith(name)}
        return letters.pop() if len(letters) == 1 else ""


def scan(args: list[str], spec: _Spec, operands: list[str]) -> Iterator[tuple[str, str]]:
    """Options as getopt_long(3) finds them; `?X` for a wrong one.

    They end at the first operand: xl's options of all commands have a `+`, and getopt keeps to that
    order for the command's own.  So `vcpu-set NAME -1` has a negative number.
    """
    rest = iter(args)
    for word in rest:
        if word == "--":
            operands += rest
        elif word.startswith("--"):
            yield _long_option(word[2:], rest, spec)
        elif word.startswith("-") and word != "-":
            yield from _short_options(word[1:], rest, spec)
        else:
            operands += [word, *rest]


def _long_option(word: str, rest: Iterator[str], spec: _Spec) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    letter = spec.letter_of(name)
    if not letter:
        return f"?--{name}", ""
    if spec.takes_value[letter]:
        if not equals:
            following = next(rest, None)
            if following is None:
                return f"?{letter}", ""
            value = following
    elif equals:
        return f"?{letter}", ""
    return letter, value


def _short_options(word: str, rest: Iterator[str], spec: _Spec) -> Iterator[tuple[str, str]]:
    while word:
        letter, word = word[0], word[1:]
        if letter not in spec.takes_value:
            yield f"?{letter}", ""
        elif not spec.takes_value[letter]:
            yield letter, ""
        else:
            value = word or next(rest, None)
            yield (letter, value) if value is not None else (f"?{letter}", "")
            return


def left(text: str, width: int) -> str:
    """Filled up to so many bytes, as printf counts."""
    if text.isascii():
        return f"{text:<{width}s}"
    return text + " " * (width - len(text.encode("utf-8", "surrogateescape")))


def set_text(members: Iterable[int], size: int) -> str:
    """A set of CPUs or nodes below `size`: `0-1,3`, `all`, `none` (print_bitmap of xl_utils.c)."""
    ranges: list[list[int]] = []
    for member in sorted(each for each in members if each < size):
        if ranges and member == ranges[-1][1] + 1:
            ranges[-1][1] = member
        else:
            ranges.append([member, member])
    if not ranges:
        return "none"
    if ranges == [[0, size - 1]]:
        return "all"
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def number_at_start(text: str) -> int | None:
    """What strtol(3) reads; None when there are no digits at all."""
    number = text[: len(text) - len(rest_after_number(text))].strip(" \t\n\v\f\r")
    return int(number) if number else None


def rest_after_number(text: str) -> str:
    """Where strtol(3) stops: all of it when it finds no digits."""
    start = len(text) - len(text.lstrip(" \t\n\v\f\r"))
    start += text[start : start + 1] in ("-", "+")
    rest = text[start:].lstrip("0123456789")
    return rest if len(rest) < len(text) - start else text
