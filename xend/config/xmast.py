"""The syntax tree of a domain file.

Only shapes: the grammar builds them, the evaluator walks them.  `line` and `column` are those of
the construct's first token, counted from 1.
"""

from __future__ import annotations

from typing import Literal, TypeAlias


class Node:
    __slots__ = ("column", "line")

    def __init__(self) -> None:
        self.line = 0
        self.column = 0


class Constant(Node):
    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


class Name(Node):
    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Sequence(Node):
    """A list or tuple display, or a tuple of targets."""

    __slots__ = ("items", "kind")

    def __init__(self, kind: Literal["list", "tuple", "set"], items: list[Node]) -> None:
        self.kind = kind
        self.items = items


class DictDisplay(Node):
    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[Node, Node]]) -> None:
        self.pairs = pairs


class Clause(Node):
    """`for target in source if condition…` of a comprehension."""

    __slots__ = ("conditions", "source", "target")

    def __init__(self, target: Node, source: Node, conditions: list[Node]) -> None:
        self.target = target
        self.source = source
        self.conditions = conditions


class Comprehension(Node):
    """A list comprehension runs in the scope around it; the other kinds have one of their own."""

    __slots__ = ("clauses", "kind", "result")

    def __init__(
        self,
        kind: Literal["list", "set", "dict", "generator"],
        result: Node,
        clauses: list[Clause],
    ) -> None:
        self.kind = kind
        self.result = result
        self.clauses = clauses


class Chain(Node):
    """Left-associative operators of one precedence: first, then (operator, operand) pairs."""

    __slots__ = ("first", "rest")

    def __init__(self, first: Node, rest: list[tuple[str, Node]]) -> None:
        self.first = first
        self.rest = rest


class Compare(Chain):
    """`a < b < c`, also `in`, `not in`, `is`, `is not`."""

    __slots__ = ()


class Logic(Node):
    """`and` or `or` over two or more operands."""

    __slots__ = ("items", "op")

    def __init__(self, op: str, items: list[Node]) -> None:
        self.op = op
        self.items = items


class Unary(Node):
    __slots__ = ("op", "operand")

    def __init__(self, op: str, operand: Node) -> None:
        self.op = op
        self.operand = operand


class Conditional(Node):
    __slots__ = ("condition", "no", "yes")

    def __init__(self, condition: Node, yes: Node, no: Node) -> None:
        self.condition = condition
        self.yes = yes
        self.no = no


class Call(Node):
    __slots__ = ("arguments", "function", "keywords", "star", "star_star")

    def __init__(self, function: Node) -> None:
        self.function = function
        self.arguments: list[Node] = []
        self.keywords: list[tuple[str, Node]] = []
        self.star: Node | None = None
        self.star_star: Node | None = None


class Attribute(Node):
    __slots__ = ("name", "owner")

    def __init__(self, owner: Node, name: str) -> None:
        self.owner = owner
        self.name = name


class Subscript(Node):
    __slots__ = ("index", "owner")

    def __init__(self, owner: Node, index: Node) -> None:
        self.owner = owner
        self.index = index


class Slice(Node):
    __slots__ = ("lower", "step", "upper")

    def __init__(self, lower: Node | None, upper: Node | None, step: Node | None) -> None:
        self.lower = lower
        self.upper = upper
        self.step = step


class Backticks(Node):
    __slots__ = ("operand",)

    def __init__(self, operand: Node) -> None:
        self.operand = operand


class Function(Node):
    """A `def` or a lambda (whose body is one return); defaults belong to the last parameters."""

    __slots__ = ("body", "defaults", "local_names", "name", "parameters", "star", "star_star")

    def __init__(self, name: str, parameters: list[Node], body: list[Node]) -> None:
        self.name = name
        self.parameters = parameters
        self.defaults: list[Node] = []
        self.star: str | None = None
        self.star_star: str | None = None
        self.body = body
        self.local_names: frozenset[str] | None = None


class Expression(Node):
    """An expression as a statement."""

    __slots__ = ("value",)

    def __init__(self, value: Node) -> None:
        self.value = value


class Assign(Node):
    __slots__ = ("targets", "value")

    def __init__(self, targets: list[Node], value: Node) -> None:
        self.targets = targets
        self.value = value


class AugmentedAssign(Node):
    __slots__ = ("op", "target", "value")

    def __init__(self, target: Node, op: str, value: Node) -> None:
        self.target = target
        self.op = op
        self.value = value


class Print(Node):
    __slots__ = ("items", "stream", "with_newline")

    def __init__(self, stream: Node | None, items: list[Node], with_newline: bool) -> None:
        self.stream = stream
        self.items = items
        self.with_newline = with_newline


class Simple(Node):
    """`pass`, `break` or `continue`."""

    __slots__ = ("word",)

    def __init__(self, word: str) -> None:
        self.word = word


class Return(Node):
    __slots__ = ("value",)

    def __init__(self, value: Node | None) -> None:
        self.value = value


class Raise(Node):
    __slots__ = ("kind", "value")

    def __init__(self, kind: Node | None, value: Node | None) -> None:
        self.kind = kind
        self.value = value


class Global(Node):
    __slots__ = ("names",)

    def __init__(self, names: list[str]) -> None:
        self.names = names


class Delete(Node):
    __slots__ = ("targets",)

    def __init__(self, targets: list[Node]) -> None:
        self.targets = targets


class Exec(Node):
    __slots__ = ("code", "global_names", "local_names")

    def __init__(self, code: Node, global_names: Node | None, local_names: Node | None) -> None:
        self.code = code
        self.global_names = global_names
        self.local_names = local_names


class Assert(Node):
    __slots__ = ("condition", "message")

    def __init__(self, condition: Node, message: Node | None) -> None:
        self.condition = condition
        self.message = message


class Import(Node):
    """`import a.b as c, …`: (dotted name, name it is bound to or None)."""

    __slots__ = ("modules",)

    def __init__(self, modules: list[tuple[str, str | None]]) -> None:
        self.modules = modules


class ImportFrom(Node):
    """`from module import name as other, …`; no names means `*`."""

    __slots__ = ("module", "names")

    def __init__(self, module: str, names: list[tuple[str, str]]) -> None:
        self.module = module
        self.names = names


class If(Node):
    __slots__ = ("branches", "otherwise")

    def __init__(self, branches: list[tuple[Node, list[Node]]], otherwise: list[Node]) -> None:
        self.branches = branches
        self.otherwise = otherwise


class While(Node):
    __slots__ = ("body", "condition", "otherwise")

    def __init__(self, condition: Node, body: list[Node], otherwise: list[Node]) -> None:
        self.condition = condition
        self.body = body
        self.otherwise = otherwise


class For(Node):
    __slots__ = ("body", "otherwise", "source", "target")

    def __init__(self, target: Node, source: Node, body: list[Node], otherwise: list[Node]) -> None:
        self.target = target
        self.source = source
        self.body = body
        self.otherwise = otherwise


Handler: TypeAlias = tuple[Node | None, Node | None, list[Node]]
"""(exception class or None for all, target or None, body)."""


class Try(Node):
    __slots__ = ("body", "finish", "handlers", "otherwise")

    def __init__(self, body: list[Node]) -> None:
        self.body = body
        self.handlers: list[Handler] = []
        self.otherwise: list[Node] = []
        self.finish: list[Node] = []


class With(Node):
    __slots__ = ("body", "source", "target")

    def __init__(self, source: Node, target: Node | None, body: list[Node]) -> None:
        self.source = source
        self.target = target
        self.body = body


class Program:
    """A whole file; `global_names` are those that any function declares global.

    Python 2 then takes the name for a global in the file itself too.
    """

    __slots__ = ("body", "global_names")

    def __init__(self, body: list[Node], global_names: frozenset[str]) -> None:
        self.body = body
        self.global_names = global_names


class Unsupported(Node):
    """A construct that is Python 2 but not for domain files; an error only if it is reached."""

    __slots__ = ("what",)

    def __init__(self, what: str) -> None:
        self.what = what
