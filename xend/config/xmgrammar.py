"""The statements of Python 2.7, as far as a domain file may use them: text to syntax tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from xend.config import xmast as ast
from xend.config.xmexpressions import AUGMENTED, ExpressionParser
from xend.config.xmlex import Token, tokens


def parse_program(text: str, encoding: str = "utf-8") -> ast.Program:
    """The statements of a program."""
    parser = _Parser(tokens(text, encoding))
    body = parser.program()
    return ast.Program(body, frozenset(parser.global_names))


def parse_expression(text: str, encoding: str = "utf-8") -> ast.Node:
    """The one expression that `eval` is given."""
    return _Parser(tokens(text.strip(" \t"), encoding)).lone_expression()


class _Parser(ExpressionParser):
    """The half that reads statements."""

    def __init__(self, stream: list[Token]) -> None:
        super().__init__(stream)
        self.functions = 0
        self.loops = 0
        self.global_names: set[str] = set()

    def program(self) -> list[ast.Node]:
        body: list[ast.Node] = []
        while self.kind != "END":
            if not self.accept("NEWLINE"):
                self.statement(body)
        self.raise_late()
        return body

    def lone_expression(self) -> ast.Node:
        value = self.test_list()
        while self.accept("NEWLINE"):
            pass
        self.expect("END")
        self.raise_late()
        return value

    def statement(self, out: list[ast.Node]) -> None:
        start = self.token
        compound = _COMPOUND.get(start.kind)
        if compound is not None:
            self.deeper()
            out.append(self.mark(compound(self), start))
            self.nesting -= 1
            return
        self.simple_statements(out)

    def simple_statements(self, out: list[ast.Node]) -> None:
        while True:
            start = self.token
            simple = _SIMPLE.get(start.kind, _Parser.expression_statement)
            out.append(self.mark(simple(self), start))
            if not self.accept(";") or self.kind == "NEWLINE":
                break
        self.expect("NEWLINE")

    def block(self) -> list[ast.Node]:
        self.expect(":")
        body: list[ast.Node] = []
        if not self.accept("NEWLINE"):
            self.simple_statements(body)
            return body
        if self.kind != "INDENT":
            self.fail("expected an indented block")
        self.advance()
        while not self.accept("DEDENT"):
            self.statement(body)
        return body

    def loop_body(self) -> list[ast.Node]:
        self.loops += 1
        body = self.block()
        self.loops -= 1
        return body

    def else_block(self) -> list[ast.Node]:
        return self.block() if self.accept("else") else []

    def expression_statement(self) -> ast.Node:
        start = self.token
        value = self.test_list()
        if self.kind in AUGMENTED:
            if not isinstance(value, (ast.Name, ast.Attribute, ast.Subscript)):
                self.note_late("illegal expression for augmented assignment")
            op = self.advance().kind[:-1]
            return ast.AugmentedAssign(value, op, self.test_list())
        if self.kind != "=":
            return ast.Expression(value)
        targets = []
        while self.accept("="):
            self.check_target(value, start)
            targets.append(value)
            start = self.token
            value = self.test_list()
        return ast.Assign(targets, value)

    def print_(self) -> ast.Node:
        self.advance()
        stream = None
        if self.accept(">>"):
            stream = self.test()
            if not self.accept(","):
                return ast.Print(stream, [], True)
        items: list[ast.Node] = []
        with_newline = True
        while self.kind not in ("NEWLINE", ";", "END"):
            items.append(self.test())
            with_newline = not self.accept(",")
            if with_newline:
                break
        return ast.Print(stream, items, with_newline)

    def del_(self) -> ast.Node:
        self.advance()
        start = self.token
        target = self.target_list()
        self.check_target(target, start)
        return ast.Delete(target.items if isinstance(target, ast.Sequence) else [target])

    def word(self) -> ast.Node:
        if self.kind != "pass" and not self.loops:
            self.note_late(f"'{self.kind}' outside loop")
        return ast.Simple(self.advance().kind)

    def return_(self) -> ast.Node:
        if not self.functions:
            self.note_late("'return' outside function")
        self.advance()
        return ast.Return(None if self.kind in ("NEWLINE", ";") else self.test_list())

    def raise_(self) -> ast.Node:
        self.advance()
        kind = value = None
        if self.kind not in ("NEWLINE", ";"):
            kind = self.test()
            if self.accept(","):
                value = self.test()
                if self.accept(","):
                    self.test()
        return ast.Raise(kind, value)

    def global_(self) -> ast.Node:
        self.advance()
        names = [self.name()]
        while self.accept(","):
            names.append(self.name())
        self.global_names.update(names)
        return ast.Global(names)

    def exec_(self) -> ast.Node:
        self.advance()
        code = self.binary()
        in_globals = in_locals = None
        if self.accept("in"):
            in_globals = self.test()
            if self.accept(","):
                in_locals = self.test()
        elif isinstance(code, ast.Sequence) and 2 <= len(code.items) <= 3:
            code, in_globals, *rest = code.items
            in_locals = rest[0] if rest else None
        return ast.Exec(code, in_globals, in_locals)

    def assert_(self) -> ast.Node:
        self.advance()
        condition = self.test()
        return ast.Assert(condition, self.test() if self.accept(",") else None)

    def dotted(self) -> str:
        parts = [self.name()]
        while self.accept("."):
            parts.append(self.name())
        return ".".join(parts)

    def import_(self) -> ast.Node:
        self.advance()
        modules = []
        while True:
            module = self.dotted()
            modules.append((module, self.name() if self.accept("as") else None))
            if not self.accept(","):
                return ast.Import(modules)

    def from_(self) -> ast.Node:
        self.advance()
        module = self.dotted()
        self.expect("import")
        if self.accept("*"):
            return ast.ImportFrom(module, [])
        bracket = self.accept("(")
        names = []
        while True:
            name = self.name()
            names.append((name, self.name() if self.accept("as") else name))
            if not self.accept(",") or (bracket and self.kind == ")"):
                break
        if bracket:
            self.expect(")")
        return ast.ImportFrom(module, names)

    def if_(self) -> ast.Node:
        branches = []
        self.expect("if")
        while True:
            condition = self.test()
            branches.append((condition, self.block()))
            if not self.accept("elif"):
                return ast.If(branches, self.else_block())

    def while_(self) -> ast.Node:
        self.advance()
        condition = self.test()
        body = self.loop_body()
        return ast.While(condition, body, self.else_block())

    def for_(self) -> ast.Node:
        self.advance()
        target = self.target_list()
        self.expect("in")
        source = self.test_list()
        body = self.loop_body()
        return ast.For(target, source, body, self.else_block())

    def try_(self) -> ast.Node:
        self.advance()
        node = ast.Try(self.block())
        while self.accept("except"):
            kind = target = None
            if self.kind != ":":
                kind = self.test()
                if self.accept("as") or self.accept(","):
                    start = self.token
                    target = self.test()
                    self.check_target(target, start)
            node.handlers.append((kind, target, self.block()))
        if node.handlers:
            node.otherwise = self.else_block()
        if self.accept("finally"):
            node.finish = self.block()
        elif not node.handlers:
            self.fail()
        return node

    def def_(self) -> ast.Node:
        start = self.advance()
        function = ast.Function(self.name(), [], [])
        self.expect("(")
        self.parameters(function, ")")
        self.check_parameters(function, start)
        self.expect(")")
        loops, self.loops = self.loops, 0
        self.functions += 1
        function.body = self.block()
        self.functions -= 1
        self.loops = loops
        return function

    def class_(self) -> ast.Node:
        self.advance()
        self.name()
        if self.accept("(") and not self.accept(")"):
            self.test_list()
            self.expect(")")
        loops, self.loops = self.loops, 0
        self.block()
        self.loops = loops
        return ast.Unsupported("a class")

    def with_(self) -> ast.Node:
        self.advance()
        source, target = self.test(), None
        if self.accept("as"):
            start = self.token
            target = self.test()
            self.check_target(target, start)
        if self.accept(","):
            rest_start = self.token
            self.at -= 1
            return ast.With(source, target, [self.mark(self.with_(), rest_start)])
        return ast.With(source, target, self.block())

    def decorated(self) -> ast.Node:
        self.advance()
        self.test()
        self.expect("NEWLINE")
        self.statement([])
        return ast.Unsupported("a decorator")


_COMPOUND: Final[dict[str, Callable[[_Parser], ast.Node]]] = {
    "if": _Parser.if_,
    "while": _Parser.while_,
    "for": _Parser.for_,
    "try": _Parser.try_,
    "def": _Parser.def_,
    "class": _Parser.class_,
    "with": _Parser.with_,
    "@": _Parser.decorated,
}
_SIMPLE: Final[dict[str, Callable[[_Parser], ast.Node]]] = {
    "print": _Parser.print_,
    "del": _Parser.del_,
    "pass": _Parser.word,
    "break": _Parser.word,
    "continue": _Parser.word,
    "return": _Parser.return_,
    "raise": _Parser.raise_,
    "global": _Parser.global_,
    "exec": _Parser.exec_,
    "assert": _Parser.assert_,
    "import": _Parser.import_,
    "from": _Parser.from_,
}
