"""The built-in functions that work on the scope in which they are called, or on files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from xend.config.xmfiles import InputFile
from xend.config.xmgrammar import parse_expression
from xend.config.xmlex import SourceError
from xend.config.xmlimits import MAX_INCLUDES, Refused
from xend.config.xmmachine import Arguments, Keywords
from xend.config.xmmodules import text
from xend.config.xmscope import Frame
from xend.config.xmsource import Source
from xend.config.xmvalues import Builtin, Dict, ExceptionValue, Module, Type, throw, type_name

if TYPE_CHECKING:
    from xend.config.xmeval import Evaluator

_STEPS_OF_FILE: Final = 20
"""What opening a file counts for."""


def execfile(run: Evaluator, given: Arguments, frame: Frame) -> object:
    source = Source.of_file(text(given[0]), run.world.cwd)
    names = given[1] if len(given) > 1 else frame.global_names
    locals_ = given[2] if len(given) > 2 else (names if len(given) > 1 else frame.names)
    if not isinstance(names, Dict) or not isinstance(locals_, Dict):
        raise TypeError("execfile() arg 2 must be dict")
    run.run_source(source, Frame(locals_, names, run.builtins, source.name))
    return None


def eval_(run: Evaluator, given: Arguments, frame: Frame) -> object:
    source = Source.of_text(text(given[0]), "<string>")
    target = frame
    if len(given) > 1:
        names = given[1]
        locals_ = given[2] if len(given) > 2 else names
        if not isinstance(names, Dict) or not isinstance(locals_, Dict):
            raise TypeError("eval: globals must be a dict")
        target = Frame(locals_, names, run.builtins, run.file)
    if run.includes >= MAX_INCLUDES:
        raise Refused("so many evals within one another", "the expressions themselves")
    run.includes += 1
    try:
        run.meter.spend(len(source.text))
        node = parse_expression(source.text, source.encoding)
    except SourceError as error:
        source.fail(error)
    value = run.value(node, target)
    run.includes -= 1
    return value


def locals_(run: Evaluator, given: Arguments, frame: Frame) -> object:
    if frame.own is None:
        return frame.names
    copied = Dict()
    copied.absorb(frame.names)
    return copied


def globals_(run: Evaluator, given: Arguments, frame: Frame) -> object:
    return frame.global_names


def dir_(run: Evaluator, given: Arguments, frame: Frame) -> object:
    if not given:
        return sorted(str(name) for name in frame.names)
    members = given[0].members if isinstance(given[0], Module) else {}
    return sorted(members)


def open_(run: Evaluator, given: Arguments, frame: Frame) -> object:
    mode = text(given[1]) if len(given) > 1 else "r"
    if set(mode) - set("rbU") or "r" not in mode:
        raise Refused(
            "opening a file for writing is not available in a domain file",
            "a script that runs before xm",
        )
    data = Source.read(text(given[0]), run.world.cwd)
    run.meter.grow(len(data))
    run.meter.spend(_STEPS_OF_FILE)
    return InputFile(data, run.meter)


def type_of(run: Evaluator, given: Arguments, frame: Frame) -> object:
    value = given[0]
    if isinstance(value, ExceptionValue):
        return value.type
    name = type_name(value)
    if name not in run.types:
        run.types[name] = Type(name, lambda a, k: throw("TypeError", "cannot create it"))
    return run.types[name]


def hasattr_(run: Evaluator, given: Arguments, frame: Frame) -> object:
    try:
        run.get_attribute(given[0], text(given[1]))
    except AttributeError:
        return False
    return True


def getattr_(run: Evaluator, given: Arguments, frame: Frame) -> object:
    try:
        return run.get_attribute(given[0], text(given[1]))
    except AttributeError:
        if len(given) > 2:
            return given[2]
        raise


def callable_(run: Evaluator, given: Arguments, frame: Frame) -> object:
    return type_name(given[0]) in ("function", "builtin_function_or_method", "type")


SCOPED: Final[dict[str, Callable[[Evaluator, Arguments, Frame], object]]] = {
    "execfile": execfile,
    "eval": eval_,
    "locals": locals_,
    "vars": locals_,
    "globals": globals_,
    "dir": dir_,
    "open": open_,
    "file": open_,
    "type": type_of,
    "hasattr": hasattr_,
    "getattr": getattr_,
    "callable": callable_,
}


def scoped_builtins() -> dict[str, object]:
    """The names of the functions that work only where they are called by name."""

    def make(name: str) -> Builtin:
        def refuse(given: Arguments, keywords: Keywords) -> object:
            raise Refused(f"{name} under another name", f"{name}(…) itself")

        return Builtin(name, refuse)

    return {name: make(name) for name in SCOPED}
