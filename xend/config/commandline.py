"""Command lines of `xm create` and its like: switches, VAR=VAL words and a file name.

The rules are those of Python 2's getopt, word by word, with the original's own additions: a word
with `=` sets the option of that name, any other word names the configuration file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from xend.config.sxp import Long
from xend.errors import ConfigError

_KEY_WIDTH: Final = 20
_TEXT_WIDTH: Final = 55


class UsageError(ConfigError):
    """The command line itself is wrong: the command's help follows the message."""

    key = "config.usage"


class Option:
    """One option: a switch of the command line, a variable of the configuration file, or both.

    `metavar` is what its value is called; a switch without one takes none.
    """

    __slots__ = ("convert", "default", "help", "is_list", "is_switch", "metavar", "name", "short")

    def __init__(
        self,
        name: str,
        default: object,
        help_text: str,
        *,
        convert: Callable[[str], object] | None = None,
        metavar: str | None = None,
        short: str = "",
        is_switch: bool = False,
        is_list: bool = False,
    ) -> None:
        self.name = name
        self.default = default
        self.help = help_text
        self.convert = convert
        self.metavar = name.upper() if metavar is None and not is_switch else metavar
        self.short = short
        self.is_switch = is_switch
        self.is_list = is_list

    @property
    def keys(self) -> list[str]:
        """How it is written: `-n`, `--dryrun`, or the bare name of a variable."""
        if not self.is_switch:
            return [self.name]
        return [f"-{self.short}", f"--{self.name}"] if self.short else [f"--{self.name}"]


def as_text(value: str) -> object:
    return value


def as_int(value: str) -> object:
    """A number; one beyond 64 bits was a `long`."""
    number = _number(value)
    return number if -(1 << 63) <= number < 1 << 63 else Long(number)


def as_long(value: str) -> object:
    """A number that is a `long` even when it is small; it may end in L."""
    digits = value.strip()
    return Long(_number(digits[:-1] if digits[-1:] in ("l", "L") else digits))


def _number(value: str) -> int:
    if "_" not in value and len(value) < 1000:
        try:
            return int(value)
        except ValueError:
            pass
    raise ConfigError(f"Invalid value: {value}", value=value, expected="an integer")


def as_bool(value: str) -> object:
    if value in ("yes", "y"):
        return 1
    if value in ("no", "n"):
        return 0
    raise ConfigError(f"Invalid value:{value}", value=value, expected="yes or no")


class Settings:
    """What a command line says.

    `values` has every option by name (a configuration file adds its own), `given` the names that
    were given, which the file cannot change, `variables` what is for the file alone.
    """

    __slots__ = ("given", "values", "variables")

    def __init__(self, options: list[Option]) -> None:
        self.values: dict[str, object] = {}
        for option in options:
            self.values[option.name] = [] if option.is_list else option.default
        self.given: set[str] = set()
        self.variables: dict[str, str] = {}

    def take(self, option: Option, value: str) -> None:
        if option.is_switch and option.metavar is None:
            if value:
                raise ConfigError(f"Option '{option.keys[-1]}' does not take a value")
            self.values[option.name] = 1
        elif option.is_list:
            so_far = self.values[option.name]
            assert isinstance(so_far, list)
            so_far.append(value)
        else:
            self.values[option.name] = (option.convert or as_text)(value)
        self.given.add(option.name)


class CommandLine:
    """A table of options, and the name of the one that a bare word sets."""

    def __init__(self, options: list[Option], bare_word: str) -> None:
        self.options = options
        self.bare_word = bare_word
        self._by_key = {key: option for option in reversed(options) for key in option.keys}

    def parse(self, words: list[str]) -> Settings:
        """`words`: the arguments after the command."""
        settings = Settings(self.options)
        left = list(words)
        while left:
            left = self._switches(left, settings)
            if left:
                self._word(left.pop(0), settings)
        return settings

    def _word(self, word: str, settings: Settings) -> None:
        name, equals, value = word.partition("=")
        if not equals:
            settings.values[self.bare_word] = word
            return
        option = self._by_key.get(name)
        if option is not None:
            settings.take(option, value)
            return
        name, _, value = word.strip().partition("=")
        settings.variables[name.strip()] = value.strip()

    def _switches(self, words: list[str], settings: Settings) -> list[str]:
        """Takes the switches at the front; returns the rest."""
        left = words
        while left and left[0].startswith("-") and left[0] != "-":
            if left[0] == "--":
                return left[1:]
            if left[0].startswith("--"):
                left = self._long(left[0][2:], left[1:], settings)
            else:
                left = self._short(left[0][1:], left[1:], settings)
        return left

    def _long(self, word: str, rest: list[str], settings: Settings) -> list[str]:
        name, equals, value = word.partition("=")
        option = self._by_prefix(name)
        if option.metavar is None:
            if equals:
                raise UsageError(f"option --{option.name} must not have an argument")
            settings.take(option, "")
            return rest
        if not equals:
            if not rest:
                raise UsageError(f"option --{option.name} requires argument")
            value, rest = rest[0], rest[1:]
        settings.take(option, value)
        return rest

    def _by_prefix(self, name: str) -> Option:
        """A long switch may be cut short as long as one switch begins so."""
        switches = {option.name: option for option in self.options if option.is_switch}
        if name in switches:
            return switches[name]
        matching = [option for known, option in switches.items() if known.startswith(name)]
        if not matching:
            raise UsageError(f"option --{name} not recognized", value=f"--{name}")
        if len(matching) > 1:
            raise UsageError(f"option --{name} not a unique prefix", value=f"--{name}")
        return matching[0]

    def _short(self, letters: str, rest: list[str], settings: Settings) -> list[str]:
        while letters:
            letter, letters = letters[0], letters[1:]
            option = self._by_key.get(f"-{letter}")
            if option is None:
                raise UsageError(f"option -{letter} not recognized", value=f"-{letter}")
            if option.metavar is None:
                settings.take(option, "")
                continue
            if not letters:
                if not rest:
                    raise UsageError(f"option -{letter} requires argument")
                letters, rest = rest[0], rest[1:]
            settings.take(option, letters)
            break
        return rest

    def switches_help(self) -> str:
        """The list of switches, as the help of the command has it."""
        return _section("Options", [option for option in self.options if option.is_switch])

    def variables_help(self) -> str:
        """The list of variables, as `--help_config` prints it."""
        return _section("Values", [option for option in self.options if not option.is_switch])


def _section(title: str, options: list[Option]) -> str:
    return f"\n{title}:\n\n" + "\n".join([_help_lines(option) for option in options]) + "\n"


def _help_lines(option: Option) -> str:
    """The keys in a column of their own, the description beside it."""
    suffix = f"={option.metavar}" if option.metavar else ""
    keys = ", ".join([key + suffix for key in option.keys])
    lines = _wrapped(option.help)
    if len(keys) > _KEY_WIDTH:
        lines = ["", *lines]
    return keys.ljust(_KEY_WIDTH + 1) + ("\n" + " " * (_KEY_WIDTH + 1)).join(lines)


def _wrapped(text: str) -> list[str]:
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            if len(line) + len(word) + 1 >= _TEXT_WIDTH:
                lines.append(line.strip())
                line = ""
            line += word + " "
        lines.append(line.strip())
    return lines


def truthy(values: Mapping[str, object], name: str) -> bool:
    """Whether an option is set to something that counts as true."""
    return bool(values.get(name))
