"""`xend check`, `xend convert` and `xend check-config`: files only, no daemon and no hypervisor."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from xend.config.anyfile import AnyFile
    from xend.config.dialectmarks import Dialect
    from xend.errors import ConfigError

HELP: Final = """\
usage: xend check [--from xm|xl|sxp|json] FILE... [NAME=VALUE...]
       xend convert FILE --to xl|sxp|json [--from xm|xl|sxp|json] [NAME=VALUE...]
       xend check-config [FILE]

  check         every mistake of each domain file; exit code 1 if there is one
  convert       a static file on the standard output, with a comment for each thing
                that was computed, replaced or left out
  check-config  every mistake of xend-config.sxp, and what has no effect

  NAME=VALUE    as after `xm create FILE`: an option, or a variable of the file
"""
_VARIABLE: Final = re.compile(r"[A-Za-z_]\w*=")
_WRONG_USE: Final = 2


class _Words:
    """The options and the files of a command line."""

    def __init__(self, argv: Sequence[str], valued: tuple[str, ...]) -> None:
        self.options: dict[str, str] = {}
        self.files: list[str] = []
        self.variables: list[str] = []
        self.wrong = ""
        words = list(argv)
        while words:
            word = words.pop(0)
            name, equals, value = word.partition("=")
            if name in valued:
                self.options[name] = value if equals else words.pop(0) if words else ""
            elif word.startswith("-") and word != "-":
                self.wrong = f"not an option: {word}"
            elif _VARIABLE.match(word) and not Path(word).exists():
                self.variables.append(word)
            else:
                self.files.append(word)

    def dialect(self, known: Sequence[str], name: str) -> str:
        """The option's value; empty if it is not given."""
        given = self.options.get(name, "")
        if name in self.options and given not in known:
            self.wrong = f"{name} must be one of {', '.join(known)}"
        return given


def main(verb: str, argv: Sequence[str]) -> int:
    """The exit code: 0, 1 for mistakes in a file, 2 for a wrong command line."""
    if "-h" in argv or "--help" in argv:
        print(HELP, end="")
        return 0
    return VERBS[verb](argv)


def _usage(problem: str) -> int:
    print(f"xend: {problem}\n{HELP}", end="", file=sys.stderr)
    return _WRONG_USE


def check(argv: Sequence[str]) -> int:
    from xend.config.anyfile import DIALECTS

    words = _Words(argv, ("--from",))
    dialect = words.dialect(DIALECTS, "--from")
    if words.wrong or not words.files:
        return _usage(words.wrong or "check: which file?")
    wrong = 0
    for path in words.files:
        file = _read(path, dialect, words.variables)
        wrong += _show(file, sys.stdout)
    return 1 if wrong else 0


def convert(argv: Sequence[str]) -> int:
    from xend.config.anyfile import DIALECTS
    from xend.config.convert import TARGETS
    from xend.config.convert import convert as converted

    words = _Words(argv, ("--from", "--to"))
    dialect = words.dialect(DIALECTS, "--from")
    target = words.dialect(TARGETS, "--to")
    if words.wrong or len(words.files) != 1 or not target:
        return _usage(words.wrong or "convert: one FILE and --to xl|sxp|json")
    file = _read(words.files[0], dialect, words.variables, here=False)
    if file.config is None:
        _show(file, sys.stderr)
        return 1
    (found,) = [each for each in TARGETS if each == target]
    result = converted(file, found)
    sys.stdout.write(result.text)
    for remark in result.remarks:
        print(f"xend: {remark}", file=sys.stderr)
    return 0


def _read(path: str, dialect: str, variables: Sequence[str], *, here: bool = True) -> AnyFile:
    from xend.config.anyfile import DIALECTS, read_any

    given: Dialect | None = next((each for each in DIALECTS if each == dialect), None)
    return read_any(
        path,
        dialect=given,
        cwd=str(Path.cwd()),
        env=_environment(),
        words=variables,
        here=here,
    )


def _environment() -> Mapping[str, str]:
    """What a file may look at; not the display, which is nobody's setting but the user's."""
    return {name: text for name, text in os.environ.items() if name not in ("DISPLAY",)}


def _show(file: AnyFile, stream: object) -> int:
    """Prints what there is to say; returns the number of mistakes."""
    problems = [(each.line, each.column, f"error: {_told(each)}") for each in file.problems]
    if file.config is not None:
        problems += [(1, 1, f"error: {text}") for text in _of_libxl(file)]
    notes = [(each.line, each.column, f"note: {each.message}") for each in file.notes]
    for line, column, text in sorted([*problems, *notes], key=lambda each: each[:2]):
        print(f"{file.path}:{line}:{column}: {text}", file=stream)  # type: ignore[call-overload]
    if file.more:
        print(f"{file.path}: and {file.more} more mistakes", file=stream)  # type: ignore[call-overload]
    if not problems and file.config is not None:
        good = f"{file.path}: good ({file.dialect}): {file.config.name}, {file.config.kind}"
        print(good, file=stream)  # type: ignore[call-overload]
    return len(problems)


def _told(problem: object) -> str:
    """The sentence without its place, with the text and the option if it does not name them."""
    from xend.config.problems import Problem

    assert isinstance(problem, Problem)
    message = problem.message
    if problem.field and problem.field not in message:
        message = f"{problem.field}: {message}"
    if problem.text and problem.text.removesuffix("...") not in message:
        message += f" (in '{problem.text}')"
    return message + (f"; write instead: {problem.expected}" if problem.expected else "")


def _of_libxl(file: AnyFile) -> list[str]:
    """What Xen's toolstack would refuse, although the file is well formed."""
    from xend.errors import XendError
    from xend.libxl import marshal

    assert file.config is not None
    try:
        marshal.domain(file.config)
    except XendError as error:
        return [str(error)]
    return []


def check_config(argv: Sequence[str]) -> int:
    from xend.config import xend_config

    words = _Words(argv, ())
    if words.wrong or len(words.files) > 1:
        return _usage(words.wrong or "check-config: one file")
    given = words.files[0] if words.files else os.environ.get("XEND_CONFIG", "")
    path = Path(given) if given else xend_config.DEFAULT_PATH
    try:
        if not path.is_file() and path.exists():
            print(f"{path}: error: not a regular file")
            return 1
        text = xend_config.read(path)
    except OSError as error:
        print(f"{path}: error: {error.strerror}")
        return 1
    config, problems = xend_config.check(text, path)
    problems += [] if problems else _of_daemon(path, text)
    for problem in problems:
        line = problem.fields.get("line", 1)
        wanted = problem.fields.get("expected")
        tail = f"; write instead: {wanted}" if wanted else ""
        print(f"{path}:{line}:1: error: {str(problem).partition(f' ({path}')[0]}{tail}")
    for warning in config.warnings:
        print(warning)
    if not problems and not config.warnings:
        print(f"{path}: good")
    return 1 if problems or any("unknown option" in each for each in config.warnings) else 0


def _of_daemon(path: Path, text: str) -> list[ConfigError]:
    """What only the daemon, when it starts, would find wrong."""
    from xend.config import xend_config
    from xend.daemon import settings
    from xend.daemon.options import Options
    from xend.errors import ConfigError

    try:
        settings.load(Options(config=path))
    except ConfigError as error:
        line = xend_config.line_of(text, str(error.fields.get("field", "")))
        return [ConfigError(str(error), **{**error.fields, "line": line})]
    return []


VERBS: Final[Mapping[str, Callable[[Sequence[str]], int]]] = {
    "check": check,
    "convert": convert,
    "check-config": check_config,
}
