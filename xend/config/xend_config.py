"""xend-config.sxp: every option in one table, read with complaints that name the line.

Top level forms `(name value)`; `#` starts a comment.  The table is also what the manual page
`docs/xend-config.sxp.5.md` is made from.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xend.config import sxp
from xend.config.xend_options import OPTIONS, Kind, Option
from xend.errors import ConfigError

_MOST_HINTS = 100
"""Unknown options for which something similar is looked for."""
_TRUE = frozenset({"yes", "y", "1", "on", "true", "t"})
_FALSE = frozenset({"no", "n", "0", "off", "false", "f"})
DEFAULT_PATH = Path("/etc/xen/xend-config.sxp")
_PIECE = re.compile(
    r"""\#[^\n]* | \([ \t\r\n]*(?:[^\s()'"]*|'[^']*'|"[^"]*") | \)
      | '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | [^()'"\#\n]+ | \n | .""",
    re.VERBOSE | re.DOTALL,
)
"""What counts for the lines of forms: brackets, each with the word behind it, texts, comments."""
_BY_NAME = {option.name: option for option in OPTIONS}


class XendConfig:
    """What one file says, over the defaults.  Immutable; a reload makes a new one."""

    __slots__ = ("_values", "path", "warnings")

    def __init__(
        self, values: Mapping[str, Any], path: Path, warnings: tuple[str, ...] = ()
    ) -> None:
        self._values = {**{option.name: option.default for option in OPTIONS}, **values}
        self.path = path
        self.warnings = warnings
        """Sentences for the log: a missing file, unknown options, options without effect."""

    def flag(self, name: str) -> bool:
        value = self._of(name, Kind.BOOL)
        return self._ballooning() if value is None else bool(value)

    def number(self, name: str) -> int:
        return int(self._of(name, Kind.INT))

    def text(self, name: str) -> str:
        """Empty when it is not set."""
        return str(self._of(name, Kind.STR) or "")

    def entries(self, name: str) -> list[Any]:
        return list(self._of(name, Kind.LIST))

    def _of(self, name: str, kind: Kind) -> Any:
        assert _BY_NAME[name].kind is kind, f"{name} is {_BY_NAME[name].kind}, not {kind}"
        return self._values[name]

    def _ballooning(self) -> bool:
        """enable-dom0-ballooning follows from dom0-min-mem when it is not given."""
        return self.number("dom0-min-mem") > 0


def load(path: Path = DEFAULT_PATH) -> XendConfig:
    """Reads a file; when there is none, all defaults and a warning.

    Raises ConfigError with `file`, and where known `line`, `field`, `value`, `expected`; of
    several wrong options the first.
    """
    try:
        text = read(path)
    except FileNotFoundError:
        return XendConfig({}, path, (f"Config file does not exist: {path}",))
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", file=str(path), expected="a readable file"
        ) from error
    config, problems = check(text, path)
    if problems:
        raise problems[0]
    return config


def read(path: Path) -> str:
    """The text of a file, as far as a character more than what is taken of one.  Raises OSError."""
    with path.open("rb") as opened:
        return opened.read(sxp.MAX_TEXT + 1).decode("utf-8", "surrogateescape")


def check(text: str, path: Path) -> tuple[XendConfig, list[ConfigError]]:
    """All that is wrong with a file, in one go."""
    values: dict[str, Any] = {}
    warnings: list[str] = []
    problems: list[ConfigError] = []
    try:
        forms = sxp.parse(text, file=str(path))
    except ConfigError as error:
        where = f"{path}:{error.fields['line']}" if "line" in error.fields else str(path)
        return XendConfig({}, path), [ConfigError(f"{error} ({where})", **error.fields)]
    places = _lines_of_forms(text)
    for form in forms:
        name = str(form[0]) if isinstance(form, list) and form else ""
        lines = places.get(name, [])
        line = lines.pop(0) if len(lines) > 1 else lines[0] if lines else 0
        option = _BY_NAME.get(name)
        if name in values:
            warnings.append(f"{path}:{line}: {name} is set again; this one counts")
        if option is None or not isinstance(form, list):
            hints = len(warnings) < _MOST_HINTS
            warnings.append(_unknown(path, line, form, name, hints=hints))
            continue
        if option.obsolete:
            warnings.append(f"{path}:{line}: {name} has no effect: {option.obsolete}")
        try:
            values[name] = _value(option, form, path, line)
        except ConfigError as error:
            problems.append(error)
    return XendConfig(values, path, tuple(warnings)), problems


def _value(option: Option, form: list[Any], path: Path, line: int) -> Any:
    if option.kind is Kind.LIST:
        return form[1] if len(form) == 2 and isinstance(form[1], list) else form[1:]
    value = form[1] if len(form) > 1 else ""
    text = value if isinstance(value, str) else sxp.show(value)
    expected = {Kind.BOOL: "bool", Kind.INT: "int", Kind.STR: "str"}[option.kind]
    read = _read_as(option.kind, text) if not isinstance(value, list) else None
    wanted = {"bool": "yes or no", "int": "a whole number"}.get(expected, "one value")
    is_number = read is not None and option.kind is Kind.INT
    if is_number and not option.low <= int(read or 0) <= option.high:
        expected = wanted = f"a number from {option.low} to {option.high}"
        read = None
    if read is None or len(form) > 2:
        raise ConfigError(
            f"invalid xend config {option.name}: expected {expected}: {text} ({path}:{line})",
            file=str(path),
            line=line,
            field=option.name,
            value=text,
            expected=wanted,
        )
    return read


def _read_as(kind: Kind, text: str) -> bool | int | str | None:
    if kind is Kind.STR:
        return text
    if kind is Kind.INT:
        try:
            return int(text)
        except ValueError:
            return None
    word = text.lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _unknown(path: Path, line: int, form: Any, name: str, *, hints: bool) -> str:
    where = f"{path}:{line}: " if line else f"{path}: "
    if not name:
        return f"{where}'{sxp.show(form)}' is not of the form (option value) and is ignored"
    near = difflib.get_close_matches(name, _BY_NAME, n=1) if hints else []
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{where}unknown option {name} is ignored{hint}"


def _lines_of_forms(text: str) -> dict[str, list[int]]:
    """Lines of the forms that begin with each name, outside comments and texts."""
    found: dict[str, list[int]] = {}
    depth, line = 0, 1
    for match in _PIECE.finditer(text):
        piece = match.group()
        if piece[0] == "(":
            if depth == 0:
                found.setdefault(piece[1:].strip().strip("'\""), []).append(line)
            depth += 1
        elif piece == ")":
            depth -= 1
        line += piece.count("\n")
    return found


def line_of(text: str, name: str) -> int:
    """Of the form that counts for an option; 1 if there is none."""
    return _lines_of_forms(text).get(name, [1])[-1]
