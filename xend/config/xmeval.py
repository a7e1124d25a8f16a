"""The evaluation of a domain file's statements, and of the files and texts it includes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from xend.config import xmast as ast
from xend.config.xmbuiltins import builtins, types
from xend.config.xmexprs import ExpressionEvaluator, Returned
from xend.config.xmfiles import InputFile, OutputStream, utf8
from xend.config.xmgrammar import parse_program
from xend.config.xmlex import SourceError, Unicode
from xend.config.xmlimits import MAX_INCLUDES, Refused
from xend.config.xmmodules import Modules, World, text
from xend.config.xmoperators import binary
from xend.config.xmscope import Frame
from xend.config.xmscoped import SCOPED, scoped_builtins
from xend.config.xmsource import Source
from xend.config.xmvalues import (
    EXCEPTIONS,
    Dict,
    ExceptionType,
    ExceptionValue,
    Thrown,
    is_true,
    iterate,
    key_of,
    str2,
    throw,
    type_name,
)

HOST_ERRORS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    OSError,
    TypeError,
    ValueError,
)
"""What Python's own operations raise on a mistake of the file; their names are Python 2's too."""


class _Loop(Exception):
    """`break` or `continue` on its way to the loop."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word


def thrown(error: BaseException) -> ExceptionValue:
    """The Python 2 exception that an error of the evaluation stands for."""
    if isinstance(error, Thrown):
        return error.value
    if isinstance(error, OSError) and error.errno is not None:
        given: tuple[object, ...] = (error.errno, error.strerror)
        if isinstance(error.filename, str):
            given = (*given, error.filename)
        return ExceptionValue(EXCEPTIONS["IOError"], given)
    for kind in type(error).__mro__:
        if kind.__name__ in EXCEPTIONS:
            return ExceptionValue(EXCEPTIONS[kind.__name__], error.args)
    return ExceptionValue(EXCEPTIONS["StandardError"], (str(error),))


class Evaluator(ExpressionEvaluator):
    """Runs one domain file."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.types = types(self)
        self.modules = Modules(self, world, self.types)
        self.includes = 0
        self.handled: list[ExceptionValue] = []
        """Exceptions whose handlers are running, for a bare `raise`."""
        self.builtins = {**builtins(self, self.types), **scoped_builtins()}

    def run_body(self, body: list[ast.Node], frame: Frame) -> None:
        for statement in body:
            self.meter.spend(1)
            self.here = statement
            _EXECUTE[type(statement)](self, statement, frame)

    def run_source(self, source: Source, frame: Frame) -> None:
        """Runs a whole file or text in a scope."""
        if self.includes >= MAX_INCLUDES:
            raise Refused(f"more than {MAX_INCLUDES} files or texts within one another", "fewer")
        outer_file, self.file = self.file, source.name
        self.includes += 1
        if self.includes > 1:
            self.meter.spend(len(source.text))
        try:
            program = parse_program(source.text, source.encoding)
        except SourceError as error:
            source.fail(error)
        frame.global_words |= program.global_names
        self.run_body(program.body, frame)
        self.includes -= 1
        self.file = outer_file

    # Statements

    def expression(self, node: ast.Expression, frame: Frame) -> None:
        self.value(node.value, frame)

    def unsupported_statement(self, node: ast.Unsupported, frame: Frame) -> None:
        self.value(node, frame)

    def assignment(self, node: ast.Assign, frame: Frame) -> None:
        value = self.value(node.value, frame)
        self.here = node
        for target in node.targets:
            self.assign(target, value, frame)

    def augmented(self, node: ast.AugmentedAssign, frame: Frame) -> None:
        target = node.target
        old = self.value(target, frame)
        right = self.value(node.value, frame)
        self.here = node
        if isinstance(old, list) and node.op == "+":
            added = list(iterate(right))
            self.meter.grow(len(added))
            old.extend(added)
            new: object = old
        else:
            new = binary(self.operator(node.op), old, right, self.meter, node.op + "=")
            if isinstance(old, list) and isinstance(new, list):
                old[:] = new
                new = old
        self.assign(target, new, frame)

    def print_(self, node: ast.Print, frame: Frame) -> None:
        stream: object = self.world.stdout
        if node.stream is not None:
            stream = self.value(node.stream, frame)
            stream = self.world.stdout if stream is None else stream
        if not isinstance(stream, OutputStream):
            raise AttributeError(f"'{type_name(stream)}' object has no attribute 'write'")
        for item in node.items:
            value = self.value(item, frame)
            shown = utf8(value) if isinstance(value, Unicode) else str2(value)
            self.meter.grow(len(shown))
            stream.print_item(shown)
        if node.with_newline:
            stream.end_line()

    def simple(self, node: ast.Simple, frame: Frame) -> None:
        if node.word != "pass":
            raise _Loop(node.word)

    def return_(self, node: ast.Return, frame: Frame) -> None:
        raise Returned(None if node.value is None else self.value(node.value, frame))

    def raise_(self, node: ast.Raise, frame: Frame) -> None:
        if node.kind is None:
            if self.handled:
                raise Thrown(self.handled[-1])
            raise TypeError(
                "exceptions must be old-style classes or derived from BaseException, not NoneType"
            )
        kind = self.value(node.kind, frame)
        value = None if node.value is None else self.value(node.value, frame)
        self.here = node
        if isinstance(kind, ExceptionType):
            if isinstance(value, ExceptionValue):
                raise Thrown(value)
            if node.value is None or value is None:
                throw(kind.name)
            throw(kind.name, *(value if isinstance(value, tuple) else (value,)))
        if isinstance(kind, ExceptionValue):
            raise Thrown(kind)
        raise TypeError(
            "exceptions must be old-style classes or derived from BaseException, "
            f"not {type_name(kind)}"
        )

    def global_(self, node: ast.Global, frame: Frame) -> None:
        frame.global_words.update(node.names)

    def delete(self, node: ast.Delete, frame: Frame) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                frame.delete(target.name)
            elif isinstance(target, ast.Subscript):
                self.delete_item(target, frame)
            else:
                raise Refused("del of this is not available in a domain file", "del of a name")

    def delete_item(self, target: ast.Subscript, frame: Frame) -> None:
        owner = self.value(target.owner, frame)
        if isinstance(owner, list) and isinstance(target.index, ast.Slice):
            del owner[self.bounds(target.index, frame)]
            return
        index = self.value(target.index, frame)
        if isinstance(owner, Dict):
            key = key_of(index)
            if key not in owner:
                throw("KeyError", index)
            del owner[key]
        elif isinstance(owner, list) and isinstance(index, int):
            if not -len(owner) <= index < len(owner):
                throw("IndexError", "list assignment index out of range")
            del owner[int(index)]
        else:
            raise TypeError(f"'{type_name(owner)}' object does not support item deletion")

    def assert_(self, node: ast.Assert, frame: Frame) -> None:
        if is_true(self.value(node.condition, frame)):
            return
        if node.message is None:
            throw("AssertionError")
        throw("AssertionError", self.value(node.message, frame))

    def import_(self, node: ast.Import, frame: Frame) -> None:
        for name, alias in node.modules:
            module = self.modules.get(name)
            first = name.partition(".")[0]
            frame.store(alias or first, module if alias else self.modules.get(first))

    def import_from(self, node: ast.ImportFrom, frame: Frame) -> None:
        module = self.modules.get(node.module)
        names = node.names or [(name, name) for name in module.members if name[0] != "_"]
        for name, alias in names:
            if name not in module.members:
                throw("ImportError", f"cannot import name {name}")
            if module.name == "__future__" and name == "division":
                self.true_division = True
            frame.store(alias, module.members[name])

    def if_(self, node: ast.If, frame: Frame) -> None:
        for condition, body in node.branches:
            if is_true(self.value(condition, frame)):
                self.run_body(body, frame)
                return
        self.run_body(node.otherwise, frame)

    def while_(self, node: ast.While, frame: Frame) -> None:
        while is_true(self.value(node.condition, frame)):
            if not self.loop_body(node.body, frame):
                return
        self.run_body(node.otherwise, frame)

    def for_(self, node: ast.For, frame: Frame) -> None:
        source = self.value(node.source, frame)
        # a list that grows while it is gone through is followed, as Python does
        for item in source if isinstance(source, list) else iterate(source):
            self.meter.spend(1)
            self.assign(node.target, item, frame)
            if not self.loop_body(node.body, frame):
                return
        self.run_body(node.otherwise, frame)

    def loop_body(self, body: list[ast.Node], frame: Frame) -> bool:
        """False if the loop was left by `break`."""
        try:
            self.run_body(body, frame)
        except _Loop as loop:
            return loop.word == "continue"
        return True

    def try_(self, node: ast.Try, frame: Frame) -> None:
        try:
            self.try_handlers(node, frame)
        finally:
            if node.finish:
                self.run_body(node.finish, frame)

    def try_handlers(self, node: ast.Try, frame: Frame) -> None:
        state = (self.calls, self.includes, self.file)
        try:
            self.run_body(node.body, frame)
        except (Thrown, *HOST_ERRORS) as error:
            value = thrown(error)
            self.calls, self.includes, self.file = state
            for kind, target, body in node.handlers:
                if kind is None or matches(value, self.value(kind, frame)):
                    if target is not None:
                        self.assign(target, value, frame)
                    self.handled.append(value)
                    self.run_body(body, frame)
                    self.handled.pop()
                    return
            raise
        self.run_body(node.otherwise, frame)

    def with_(self, node: ast.With, frame: Frame) -> None:
        """Only for files; nothing is left to be closed."""
        source = self.value(node.source, frame)
        if not isinstance(source, InputFile):
            raise Refused("with is available for files only", "the statements within it")
        if node.target is not None:
            self.assign(node.target, source, frame)
        self.run_body(node.body, frame)

    def define(self, node: ast.Function, frame: Frame) -> None:
        frame.store(node.name, self.function(node, frame))

    def exec_(self, node: ast.Exec, frame: Frame) -> None:
        code = self.value(node.code, frame)
        target = frame
        if node.global_names is not None:
            names = self.value(node.global_names, frame)
            locals_ = names if node.local_names is None else self.value(node.local_names, frame)
            if not isinstance(names, Dict) or not isinstance(locals_, Dict):
                raise TypeError("exec: arg 2 must be a dictionary or None")
            target = Frame(locals_, names, self.builtins, self.file)
        if isinstance(code, InputFile):
            code = code.read()
        self.run_source(Source.of_text(text(code), "<string>"), target)

    # Built-in functions that need the scope they are called in

    def call_node(self, node: ast.Call, frame: Frame) -> object:
        if isinstance(node.function, ast.Name):
            scoped = SCOPED.get(node.function.name)
            if scoped is not None and self.is_builtin(node.function.name, frame):
                given = [self.value(argument, frame) for argument in node.arguments]
                self.here = node
                return scoped(self, given, frame)
        return super().call_node(node, frame)

    @staticmethod
    def is_builtin(name: str, frame: Frame) -> bool:
        return name not in frame.names and name not in frame.global_names


def matches(value: ExceptionValue, kind: object) -> bool:
    """Whether an `except` clause of that kind handles the exception."""
    if isinstance(kind, tuple):
        return any(matches(value, one) for one in kind)
    return isinstance(kind, ExceptionType) and value.type.within(kind)


_EXECUTE: Final[dict[type, Callable[..., None]]] = {
    ast.Expression: Evaluator.expression,
    ast.Unsupported: Evaluator.unsupported_statement,
    ast.Assign: Evaluator.assignment,
    ast.AugmentedAssign: Evaluator.augmented,
    ast.Print: Evaluator.print_,
    ast.Simple: Evaluator.simple,
    ast.Return: Evaluator.return_,
    ast.Raise: Evaluator.raise_,
    ast.Global: Evaluator.global_,
    ast.Delete: Evaluator.delete,
    ast.Assert: Evaluator.assert_,
    ast.Import: Evaluator.import_,
    ast.ImportFrom: Evaluator.import_from,
    ast.If: Evaluator.if_,
    ast.While: Evaluator.while_,
    ast.For: Evaluator.for_,
    ast.Try: Evaluator.try_,
    ast.Function: Evaluator.define,
    ast.With: Evaluator.with_,
    ast.Exec: Evaluator.exec_,
}
