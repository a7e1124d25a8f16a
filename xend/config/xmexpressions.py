"""The expressions of Python 2.7, as far as a domain file may use them: tokens to syntax tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

from xend.config import xmast as ast
from xend.config.xmlex import SourceError, Token, Unicode, not_closed

MAX_NESTING: Final = 50
"""Parentheses or blocks within one another; Python 2 itself gave up at about 90."""

_N = TypeVar("_N", bound=ast.Node)

_LEVELS: Final = {
    "|": 0,
    "^": 1,
    "&": 2,
    "<<": 3,
    ">>": 3,
    "+": 4,
    "-": 4,
    "*": 5,
    "/": 5,
    "//": 5,
    "%": 5,
}
"""Left-associative operators by how tightly they bind."""

_COMPARISONS: Final = frozenset(("<", ">", "==", ">=", "<=", "!=", "in", "not", "is"))
AUGMENTED: Final = frozenset(
    ("+=", "-=", "*=", "/=", "//=", "%=", "&=", "|=", "^=", "<<=", ">>=", "**=")
)
_EXPRESSION_ENDS: Final = AUGMENTED | frozenset(
    (")", "]", "}", "=", ":", ";", "NEWLINE", "END", "in", "`")
)


class ExpressionParser:
    """The half of the parser that reads expressions."""

    def __init__(self, stream: list[Token]) -> None:
        self.stream = stream
        self.at = 0
        self.nesting = 0
        self.late: SourceError | None = None

    @property
    def token(self) -> Token:
        return self.stream[self.at]

    @property
    def kind(self) -> str:
        return self.stream[self.at].kind

    def fail(self, reason: str = "invalid syntax") -> NoReturn:
        token = self.token
        if isinstance(token.value, SourceError):
            raise token.value
        hint = not_closed(self.stream[: self.at], token.line)
        raise SourceError(reason + hint, token.line, token.column)

    def note_late(self, reason: str, token: Token | None = None) -> None:
        """A mistake that Python 2 reported only if the rest of the file was well formed."""
        token = token or self.token
        self.late = self.late or SourceError(reason, token.line, token.column, late=True)

    def raise_late(self) -> None:
        if self.late is not None:
            raise self.late

    def advance(self) -> Token:
        token = self.stream[self.at]
        self.at += 1
        return token

    def accept(self, kind: str) -> bool:
        if self.stream[self.at].kind == kind:
            self.at += 1
            return True
        return False

    def expect(self, kind: str) -> Token:
        if self.kind != kind:
            self.fail()
        return self.advance()

    def name(self) -> str:
        return str(self.expect("NAME").value)

    def mark(self, node: _N, token: Token) -> _N:
        node.line, node.column = token.line, token.column
        return node

    def deeper(self) -> None:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            self.fail("nested too deeply")

    def test_list(self, item: Callable[[], ast.Node] | None = None) -> ast.Node:
        """An expression, or several with commas, which make a tuple."""
        item = item or self.test
        start = self.token
        first = item()
        if self.kind != ",":
            return first
        items = [first]
        while self.accept(","):
            if self.kind in _EXPRESSION_ENDS:
                break
            items.append(item())
        return self.mark(ast.Sequence("tuple", items), start)

    def test(self) -> ast.Node:
        start = self.token
        if self.kind == "lambda":
            return self.lambda_()
        value = self.or_test()
        if self.kind != "if":
            return value
        self.advance()
        self.deeper()
        condition = self.or_test()
        self.expect("else")
        other = self.test()
        self.nesting -= 1
        return self.mark(ast.Conditional(condition, value, other), start)

    def lambda_(self) -> ast.Node:
        start = self.expect("lambda")
        self.deeper()
        function = ast.Function("<lambda>", [], [])
        self.parameters(function, ":")
        self.check_parameters(function, start)
        self.expect(":")
        body_start = self.token
        function.body = [self.mark(ast.Return(self.test()), body_start)]
        self.nesting -= 1
        return self.mark(function, start)

    def parameters(self, function: ast.Function, end: str) -> None:
        while self.kind != end:
            if self.accept("*"):
                function.star = self.name()
            elif self.accept("**"):
                function.star_star = self.name()
            elif function.star or function.star_star:
                self.fail()
            else:
                function.parameters.append(self.parameter())
                if self.accept("="):
                    function.defaults.append(self.test())
                elif function.defaults:
                    self.note_late("non-default argument follows default argument")
            if not self.accept(","):
                break

    def check_parameters(self, function: ast.Function, start: Token) -> None:
        names = [node.name for node in function.parameters if isinstance(node, ast.Name)]
        names += [name for name in (function.star, function.star_star) if name]
        if len(set(names)) < len(names):
            self.note_late("duplicate argument in function definition", start)

    def parameter(self) -> ast.Node:
        """A name, or a tuple of names in parentheses that is unpacked."""
        start = self.token
        if not self.accept("("):
            return self.mark(ast.Name(self.name()), start)
        self.deeper()
        items = [self.parameter()]
        while self.accept(",") and self.kind != ")":
            items.append(self.parameter())
        self.expect(")")
        self.nesting -= 1
        return self.mark(ast.Sequence("tuple", items), start)

    def or_test(self) -> ast.Node:
        start = self.token
        items = [self.and_test()]
        while self.accept("or"):
            items.append(self.and_test())
        return self.mark(ast.Logic("or", items), start) if len(items) > 1 else items[0]

    def and_test(self) -> ast.Node:
        start = self.token
        items = [self.not_test()]
        while self.accept("and"):
            items.append(self.not_test())
        return self.mark(ast.Logic("and", items), start) if len(items) > 1 else items[0]

    def not_test(self) -> ast.Node:
        start = self.token
        if not self.accept("not"):
            return self.comparison()
        self.deeper()
        node = self.mark(ast.Unary("not", self.not_test()), start)
        self.nesting -= 1
        return node

    def comparison(self) -> ast.Node:
        start = self.token
        first = self.binary()
        rest: list[tuple[str, ast.Node]] = []
        while self.kind in _COMPARISONS:
            op = self.advance().kind
            if op == "not":
                self.expect("in")
                op = "not in"
            elif op == "is" and self.accept("not"):
                op = "is not"
            rest.append((op, self.binary()))
        return self.mark(ast.Compare(first, rest), start) if rest else first

    def binary(self, loosest: int = 0) -> ast.Node:
        """Operators that bind at least as tightly as level `loosest`."""
        start = self.token
        left = self.factor()
        while True:
            level = _LEVELS.get(self.kind, -1)
            if level < loosest:
                return left
            rest: list[tuple[str, ast.Node]] = []
            while _LEVELS.get(self.kind, -1) == level:
                op = self.advance().kind
                rest.append((op, self.binary(level + 1)))
            left = self.mark(ast.Chain(left, rest), start)

    def factor(self) -> ast.Node:
        start = self.token
        if start.kind in ("+", "-", "~"):
            self.advance()
            self.deeper()
            node = self.mark(ast.Unary(start.kind, self.factor()), start)
            self.nesting -= 1
            return node
        base = self.trailers(self.atom(), start)
        if not self.accept("**"):
            return base
        self.deeper()
        node_power = self.mark(ast.Chain(base, [("**", self.factor())]), start)
        self.nesting -= 1
        return node_power

    def trailers(self, node: ast.Node, start: Token) -> ast.Node:
        while True:
            if self.kind == "(":
                node = self.mark(self.call(node), start)
            elif self.kind == "[":
                self.advance()
                self.deeper()
                node = self.mark(ast.Subscript(node, self.subscript()), start)
                self.expect("]")
                self.nesting -= 1
            elif self.accept("."):
                node = self.mark(ast.Attribute(node, self.name()), start)
            else:
                return node

    def subscript(self) -> ast.Node:
        start = self.token
        if self.kind == ".":
            return self.mark(ast.Unsupported("an ellipsis subscript"), start)
        lower = None if self.kind == ":" else self.test_list()
        if not self.accept(":"):
            return lower or self.fail()
        upper = None if self.kind in ("]", ":") else self.test()
        step = None
        if self.accept(":"):
            step = None if self.kind == "]" else self.test()
        return self.mark(ast.Slice(lower, upper, step), start)

    def call(self, function: ast.Node) -> ast.Call:
        self.expect("(")
        self.deeper()
        call = ast.Call(function)
        while self.kind != ")":
            self.argument(call)
            if not self.accept(","):
                break
        self.expect(")")
        self.nesting -= 1
        return call

    def argument(self, call: ast.Call) -> None:
        start = self.token
        if self.accept("**"):
            call.star_star = self.test()
        elif self.accept("*"):
            call.star = self.test()
        elif self.kind == "NAME" and self.stream[self.at + 1].kind == "=":
            name = self.name()
            self.expect("=")
            if name in (given for given, _ in call.keywords):
                self.note_late("keyword argument repeated", start)
            call.keywords.append((name, self.test()))
        else:
            value = self.test()
            if self.kind == "for":
                clauses = self.clauses()
                value = self.mark(ast.Comprehension("generator", value, clauses), start)
            elif call.keywords:
                self.note_late("non-keyword arg after keyword arg")
            call.arguments.append(value)

    def clauses(self) -> list[ast.Clause]:
        found: list[ast.Clause] = []
        while self.kind == "for":
            start = self.advance()
            target = self.target_list()
            self.expect("in")
            source = self.test_list(self.or_test)
            conditions = []
            while self.accept("if"):
                conditions.append(self.lambda_() if self.kind == "lambda" else self.or_test())
            found.append(self.mark(ast.Clause(target, source, conditions), start))
        return found

    def target_list(self) -> ast.Node:
        """What `for` binds: expressions without comparisons, so that `in` is left alone."""
        start = self.token
        target = self.test_list(lambda: self.binary())
        self.check_target(target, start)
        return target

    def check_target(self, node: ast.Node, start: Token) -> None:
        if isinstance(node, ast.Sequence) and node.kind != "set":
            for item in node.items:
                self.check_target(item, start)
        elif isinstance(node, ast.Name):
            if node.name == "None":
                self.note_late("cannot assign to None", start)
        elif not isinstance(node, (ast.Attribute, ast.Subscript)):
            self.note_late("can't assign to this expression", start)

    def atom(self) -> ast.Node:
        start = self.advance()
        kind = start.kind
        if kind == "NAME":
            return self.mark(ast.Name(str(start.value)), start)
        if kind == "NUMBER":
            return self.mark(ast.Constant(start.value), start)
        if kind == "STRING":
            return self.mark(ast.Constant(self.strings(start.value)), start)
        if kind == "yield":
            if self.kind not in _EXPRESSION_ENDS:
                self.test_list()
            return self.mark(ast.Unsupported("yield"), start)
        display = _DISPLAYS.get(kind)
        if display is not None:
            self.deeper()
            node = display(self)
            self.nesting -= 1
            return self.mark(node, start)
        self.at -= 1
        return self.fail()

    def strings(self, first: object) -> object:
        """Adjacent literals are one; a unicode among them makes all of it unicode."""
        if self.kind != "STRING":
            return first
        parts = [first]
        while self.kind == "STRING":
            parts.append(self.advance().value)
        whole = "".join([str(part) for part in parts])
        return Unicode(whole) if any(isinstance(part, Unicode) for part in parts) else whole

    def parenthesis(self) -> ast.Node:
        if self.accept(")"):
            return ast.Sequence("tuple", [])
        value = self.test_list()
        if self.kind == "for":
            value = ast.Comprehension("generator", value, self.clauses())
        self.expect(")")
        return value

    def list_(self) -> ast.Node:
        if self.accept("]"):
            return ast.Sequence("list", [])
        items = [self.test()]
        if self.kind == "for":
            found = ast.Comprehension("list", items[0], self.clauses())
            self.expect("]")
            return found
        while self.accept(",") and self.kind != "]":
            items.append(self.test())
        self.expect("]")
        return ast.Sequence("list", items)

    def braces(self) -> ast.Node:
        if self.accept("}"):
            return ast.DictDisplay([])
        first = self.test()
        if self.kind != ":":
            return self.set_after(first)
        self.advance()
        pairs = [(first, self.test())]
        if self.kind == "for":
            pair = ast.Sequence("tuple", list(pairs[0]))
            found = ast.Comprehension("dict", pair, self.clauses())
            self.expect("}")
            return found
        while self.accept(",") and self.kind != "}":
            key = self.test()
            self.expect(":")
            pairs.append((key, self.test()))
        self.expect("}")
        return ast.DictDisplay(pairs)

    def set_after(self, first: ast.Node) -> ast.Node:
        node: ast.Node
        if self.kind == "for":
            node = ast.Comprehension("set", first, self.clauses())
        else:
            items = [first]
            while self.accept(",") and self.kind != "}":
                items.append(self.test())
            node = ast.Sequence("set", items)
        self.expect("}")
        return node

    def quoted(self) -> ast.Node:
        value = self.test_list()
        self.expect("`")
        return ast.Backticks(value)


_DISPLAYS: Final[dict[str, Callable[[ExpressionParser], ast.Node]]] = {
    "(": ExpressionParser.parenthesis,
    "[": ExpressionParser.list_,
    "{": ExpressionParser.braces,
    "`": ExpressionParser.quoted,
}
