"""Domain files of xm: Python 2 programs, run by an evaluator of their own.

Nothing of a file is ever given to Python's `exec` or `eval`.  What a file may do is what is
listed here and in the modules `xmbuiltins`, `xmmethods` and `xmmodules`; everything else is an
error that names the construct, its place, and a way to write it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TextIO

from xend.config.sxp import Long
from xend.config.xmeval import HOST_ERRORS, Evaluator, thrown
from xend.config.xmfiles import OutputStream, shown
from xend.config.xmlex import Unicode
from xend.config.xmlimits import ExitRequested, Refused
from xend.config.xmmachine import Arguments, Keywords
from xend.config.xmmodules import foreign
from xend.config.xmscope import Frame
from xend.config.xmsource import Source
from xend.config.xmvalues import EXCEPTIONS, Builtin, Dict, Module, Thrown, check_size, str2
from xend.errors import ConfigError

_MAX_MESSAGE: Final = 2000

OptionValue = str | int | float | list[object]


class Run:
    """What a domain file sees of the command that reads it."""

    __slots__ = ("argv", "cwd", "env", "ignored", "stderr", "stdout", "variables")

    def __init__(
        self,
        *,
        stdout: TextIO,
        stderr: TextIO,
        env: Mapping[str, str],
        cwd: str,
        argv: list[str],
        variables: Mapping[str, str],
        ignored: dict[str, object] | None = None,
    ) -> None:
        self.ignored = ignored
        """Filled with variables of the types that make no option, if it is not None."""
        self.stdout: object = OutputStream(stdout)
        self.stderr: object = OutputStream(stderr)
        self.env = env
        self.cwd = cwd
        self.argv = argv
        self.variables = variables


def load(path: str, run: Run, source: Source | None = None) -> dict[str, OptionValue]:
    """Runs the file; returns its variables of the types that make an option.

    `source` is its text, if it has been read already.  As in the original the types are str, int,
    float and list; a bool, long, unicode, tuple, dict or None is ignored.
    """
    evaluator = Evaluator(run)
    names = Dict()
    try:
        _prepare(evaluator, names, path, run)
        frame = Frame(names, Dict(), evaluator.builtins, path)
        evaluator.run_source(source or Source.of_file(foreign(path), run.cwd), frame)
        options: dict[str, OptionValue] = {}
        for name, value in names.items():
            if type(value) in (str, int, float, list):
                options[str(name)] = _plain(value)
            elif run.ignored is not None:
                run.ignored[str(name)] = value
        return options
    except Refused as refusal:
        raise _refusal(evaluator, refusal) from None
    except RecursionError:
        raise _refusal(evaluator, Refused("so deep a nesting", "less of it")) from None
    except (Thrown, *HOST_ERRORS) as error:
        raise _failure(evaluator, error) from None


def _prepare(evaluator: Evaluator, names: Dict, path: str, run: Run) -> None:
    """The names that every file begins with; `xm_help` was only set by a help that is gone."""
    for name, text in run.variables.items():
        names[foreign(name)] = foreign(text)
    for name in ("sys", "os"):
        names[name] = evaluator.modules.get(name)
    for name, value in evaluator.modules.get("xen.util.ip").members.items():
        names[name] = value
    names["xm_file"] = foreign(path)
    names["xm_help"] = 0
    names["xm_vars"] = _Variables(evaluator, names).module()


class _Variables:
    """`xm_vars`: variables that the file declares, with a function that checks each."""

    def __init__(self, evaluator: Evaluator, names: Dict) -> None:
        self.evaluator = evaluator
        self.names = names
        self.declared: list[tuple[str, object]] = []

    def module(self) -> Module:
        return Module(
            "Vars", {"var": Builtin("var", self.declare), "check": Builtin("check", self.check)}
        )

    def declare(self, given: Arguments, keywords: Keywords) -> object:
        values = dict(zip(("name", "use", "check"), given, strict=False)) | keywords
        self.declared.append((str(values["name"]), values.get("check")))
        return None

    def check(self, given: Arguments, keywords: Keywords) -> object:
        """Each check is given the name and its text (None if unset) and returns the value."""
        for name, function in self.declared:
            if function is None:
                continue
            try:
                self.names[name] = self.evaluator.call(function, [name, self.names.get(name)], {})
            except (Thrown, *HOST_ERRORS) as error:
                value = thrown(error)
                if value.type.within(EXCEPTIONS["StandardError"]):
                    value.arguments = (f"{name} - {value.text()}",)
                raise Thrown(value) from None
        return None


def _plain(value: object) -> OptionValue:
    """An option's value, with text in place of Latin-1 bytes."""
    check_size(value)
    plain = _plain_item(value)
    assert isinstance(plain, (str, int, float, list))
    return plain


def _plain_item(value: object) -> object:
    """What a list holds; other kinds than an option may have are kept as they print."""
    if isinstance(value, Unicode):
        return Unicode(value)
    if isinstance(value, str):
        return value.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [_plain_item(item) for item in value]
    if isinstance(value, tuple):
        return tuple([_plain_item(item) for item in value])
    if value is None or isinstance(value, (int, float, Long)):
        return value
    return Unicode(str2(value))


def _failure(evaluator: Evaluator, error: BaseException) -> Exception:
    value = thrown(error)
    if value.type.within(EXCEPTIONS["SystemExit"]):
        code = value.arguments[0] if value.arguments else None
        if code is None or isinstance(code, int):
            return ExitRequested(int(code or 0) & 0xFF)
        return ExitRequested(1, shown(str2(code)))
    node = evaluator.here
    text = shown(value.text())
    return ConfigError(
        text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "…",
        file=evaluator.file,
        line=node.line,
        column=node.column,
        kind=value.type.name,
    )


def _refusal(evaluator: Evaluator, refusal: Refused) -> ConfigError:
    node = evaluator.here
    instead = f"; write instead: {refusal.instead}" if refusal.instead else ""
    place = f"{evaluator.file}:{node.line}:{node.column}: " if node.line else ""
    return ConfigError(
        f"{place}{refusal.what}{instead}",
        file=evaluator.file,
        line=node.line,
        column=node.column,
        value=refusal.what,
        expected=refusal.instead,
    )
