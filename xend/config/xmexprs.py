"""The evaluation of a domain file's expressions: a walk over the tree, never Python's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from xend.config import xmast as ast
from xend.config.xmfiles import InputFile, OutputStream
from xend.config.xmlex import Unicode
from xend.config.xmlimits import MAX_CALLS, Meter, Refused
from xend.config.xmmachine import Arguments, Keywords, Machine
from xend.config.xmmethods import method
from xend.config.xmoperators import COMPARISONS, TRUE_DIVISION, binary, unary
from xend.config.xmscope import Frame, FunctionValue, local_names
from xend.config.xmvalues import (
    Builtin,
    Dict,
    ExceptionType,
    ExceptionValue,
    Items,
    Module,
    Set,
    Type,
    cost,
    is_true,
    iterate,
    key_of,
    repr2,
    throw,
    type_name,
)


class Returned(Exception):
    """A `return` on its way to the call."""

    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value


class ExpressionEvaluator(Machine):
    """Evaluates expressions and calls functions; statements are in `xmeval`."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.calls = 0
        self.true_division = False
        """Whether the file imported division from __future__."""
        self.here: ast.Node = ast.Node()
        """The node under evaluation, for error messages."""
        self.file = ""
        """The file that node is in."""

    def run_body(self, body: list[ast.Node], frame: Frame) -> None:
        raise NotImplementedError

    def value(self, node: ast.Node, frame: Frame) -> object:
        self.meter.spend(1)
        kind = type(node)
        if kind is not ast.Constant and kind is not ast.Name:
            self.here = node
        return _EVALUATE[kind](self, node, frame)

    def constant(self, node: ast.Constant, frame: Frame) -> object:
        return node.value

    def name(self, node: ast.Name, frame: Frame) -> object:
        if node.name in frame.names and node.name not in frame.global_words:
            return frame.names[node.name]
        self.here = node
        return frame.load(node.name)

    def sequence(self, node: ast.Sequence, frame: Frame) -> object:
        items = [self.value(item, frame) for item in node.items]
        if node.kind == "tuple":
            return tuple(items)
        return Set(items) if node.kind == "set" else items

    def dict_display(self, node: ast.DictDisplay, frame: Frame) -> object:
        made = Dict(len(node.pairs))
        for key, item in node.pairs:
            value = self.value(item, frame)
            made[key_of(self.value(key, frame))] = value
        return made

    def comprehension(self, node: ast.Comprehension, frame: Frame) -> object:
        source = Items(iterate(self.value(node.clauses[0].source, frame)))
        inner = frame
        if node.kind != "list":
            own: set[str] = set()
            for clause in node.clauses:
                own.update(local_names(ast.Function("", [clause.target], [])))
            outer = frame if frame.own is not None else None
            inner = Frame(
                Dict(),
                frame.global_names,
                frame.builtins,
                frame.file,
                own=frozenset(own),
                outer=outer,
            )
        found: list[object] = []
        self.clause(node, 0, source, inner, found)
        if node.kind == "list":
            return found
        if node.kind == "generator":
            return Items(found, "generator")
        if node.kind == "set":
            return Set(found)
        made = Dict()
        for pair in found:
            assert isinstance(pair, tuple)
            made[key_of(pair[0])] = pair[1]
        return made

    def clause(
        self,
        node: ast.Comprehension,
        index: int,
        source: object,
        frame: Frame,
        found: list[object],
    ) -> None:
        """One `for` of a comprehension, and the ones within it."""
        clause = node.clauses[index]
        for item in iterate(source) if source is not None else ():
            self.assign(clause.target, item, frame)
            if not all(is_true(self.value(test, frame)) for test in clause.conditions):
                continue
            if index + 1 < len(node.clauses):
                inner = self.value(node.clauses[index + 1].source, frame)
                self.clause(node, index + 1, Items(iterate(inner)), frame, found)
            else:
                self.meter.grow(1)
                found.append(self.value(node.result, frame))

    def chain(self, node: ast.Chain, frame: Frame) -> object:
        left = self.value(node.first, frame)
        for op, operand in node.rest:
            right = self.value(operand, frame)
            self.here = node
            left = binary(self.operator(op), left, right, self.meter)
        return left

    def operator(self, op: str) -> str:
        return TRUE_DIVISION if op == "/" and self.true_division else op

    def compare(self, node: ast.Compare, frame: Frame) -> object:
        left = self.value(node.first, frame)
        for op, operand in node.rest:
            right = self.value(operand, frame)
            self.meter.spend(cost(left) + cost(right))
            if not COMPARISONS[op](left, right):
                return False
            left = right
        return True

    def logic(self, node: ast.Logic, frame: Frame) -> object:
        stop = node.op == "or"
        value: object = None
        for item in node.items:
            value = self.value(item, frame)
            if is_true(value) is stop:
                break
        return value

    def unary(self, node: ast.Unary, frame: Frame) -> object:
        value = self.value(node.operand, frame)
        return not is_true(value) if node.op == "not" else unary(node.op, value)

    def conditional(self, node: ast.Conditional, frame: Frame) -> object:
        chosen = node.yes if is_true(self.value(node.condition, frame)) else node.no
        return self.value(chosen, frame)

    def backticks(self, node: ast.Backticks, frame: Frame) -> object:
        return repr2(self.value(node.operand, frame))

    def function(self, node: ast.Function, frame: Frame) -> object:
        return FunctionValue(node, [self.value(d, frame) for d in node.defaults], frame)

    def unsupported(self, node: ast.Unsupported, frame: Frame) -> object:
        raise Refused(f"{node.what} is not available in a domain file", "functions and loops")

    def attribute(self, node: ast.Attribute, frame: Frame) -> object:
        owner = self.value(node.owner, frame)
        self.here = node
        return self.get_attribute(owner, node.name)

    def get_attribute(self, owner: object, name: str) -> object:
        """`owner.name`, from the lists of what a value of that type has."""
        if name.startswith("__"):
            raise Refused(f"the attribute {name} is not available in a domain file", "its value")
        if isinstance(owner, Module):
            if name in owner.members:
                return owner.members[name]
            if owner.name.islower():
                raise Refused(
                    f"{owner.name}.{name} is not available in a domain file",
                    "one of " + ", ".join(sorted(owner.members)[:40]),
                )
        if isinstance(owner, ExceptionValue):
            return self.exception_attribute(owner, name)
        if isinstance(owner, (InputFile, OutputStream)) and name in owner.methods:
            stream = owner
            return Builtin(name, lambda given, keywords: stream.call(name, given))
        found = method(owner, name)
        if found is not None:
            bound = found

            def call(given: Arguments, keywords: Keywords) -> object:
                self.meter.spend(cost(owner))
                return bound(self, owner, given, keywords)

            return Builtin(name, call)
        raise AttributeError(f"'{type_name(owner)}' object has no attribute '{name}'")

    def exception_attribute(self, error: ExceptionValue, name: str) -> object:
        arguments = error.arguments
        if name == "args":
            return arguments
        if name == "message":
            return arguments[0] if len(arguments) == 1 else ""
        place = {"errno": 0, "strerror": 1, "filename": 2, "code": 0}.get(name)
        if place is None:
            raise AttributeError(f"'{error.type.name}' object has no attribute '{name}'")
        return arguments[place] if place < len(arguments) else None

    def subscript(self, node: ast.Subscript, frame: Frame) -> object:
        owner = self.value(node.owner, frame)
        if isinstance(node.index, ast.Slice):
            return self.sliced(owner, self.bounds(node.index, frame))
        index = self.value(node.index, frame)
        self.here = node
        return get_item(owner, index)

    def bounds(self, node: ast.Slice, frame: Frame) -> slice:
        """The native slice; its parts are None or numbers."""

        def part(given: ast.Node | None) -> int | None:
            value = None if given is None else self.value(given, frame)
            if value is None or isinstance(value, int):
                return value
            return throw(
                "TypeError", "slice indices must be integers or None or have an __index__ method"
            )

        found = slice(part(node.lower), part(node.upper), part(node.step))
        if found.step == 0:
            throw("ValueError", "slice step cannot be zero")
        return found

    def sliced(self, owner: object, where: slice) -> object:
        if not isinstance(owner, (str, list, tuple)):
            raise TypeError(f"'{type_name(owner)}' object is unsliceable")
        self.meter.grow(len(range(*where.indices(len(owner)))))
        return Unicode(str(owner)[where]) if isinstance(owner, Unicode) else owner[where]

    def call_node(self, node: ast.Call, frame: Frame) -> object:
        function = self.value(node.function, frame)
        given = [self.value(argument, frame) for argument in node.arguments]
        keywords: Keywords = {}
        for name, argument in node.keywords:
            if name in keywords:
                raise TypeError(f"got multiple values for keyword argument '{name}'")
            keywords[name] = self.value(argument, frame)
        if node.star is not None:
            more_given = list(iterate(self.value(node.star, frame)))
            self.meter.grow(len(more_given))
            self.meter.spend(len(more_given) >> 4)
            given.extend(more_given)
        if node.star_star is not None:
            more = self.value(node.star_star, frame)
            if not isinstance(more, Dict):
                raise TypeError("argument after ** must be a mapping")
            for key in more.ordered():
                keywords[str(key)] = more[key]
        self.here = node
        result = self.call(function, given, keywords)
        self.here = node
        return result

    def call(self, function: object, arguments: Arguments, keywords: Keywords) -> object:
        if isinstance(function, FunctionValue):
            return self.call_function(function, arguments, keywords)
        self.meter.spend(sum([cost(argument) for argument in arguments]))
        if isinstance(function, Builtin):
            return function.function(arguments, keywords)
        if isinstance(function, Type):
            return function.convert(arguments, keywords)
        if isinstance(function, ExceptionType):
            return ExceptionValue(function, tuple(arguments))
        raise TypeError(f"'{type_name(function)}' object is not callable")

    def call_function(
        self, function: FunctionValue, arguments: Arguments, keywords: Keywords
    ) -> object:
        if self.calls >= MAX_CALLS:
            raise Refused(f"functions call one another more than {MAX_CALLS} deep", "a loop")
        node = function.node
        around = function.frame
        frame = Frame(
            Dict(),
            around.global_names,
            around.builtins,
            around.file,
            own=local_names(node),
            outer=around if around.own is not None else None,
        )
        self.bind(function, arguments, dict(keywords), frame)
        file, self.file = self.file, frame.file
        self.calls += 1
        try:
            self.run_body(node.body, frame)
        except Returned as returned:
            self.file = file
            return returned.value
        finally:
            self.calls -= 1
        self.file = file
        return None

    def bind(
        self, function: FunctionValue, given: Arguments, keywords: Keywords, frame: Frame
    ) -> None:
        """Gives the parameters their values."""
        node = function.node
        if node.star_star is None:
            known = {p.name for p in node.parameters if isinstance(p, ast.Name)}
            for name in keywords:
                if name not in known:
                    raise TypeError(f"{node.name}() got an unexpected keyword argument '{name}'")
        count, least = len(node.parameters), len(node.parameters) - len(function.defaults)
        total = len(given) + len(keywords)
        for index, parameter in enumerate(node.parameters):
            name = parameter.name if isinstance(parameter, ast.Name) else ""
            if index < len(given):
                if name in keywords:
                    raise TypeError(
                        f"{node.name}() got multiple values for keyword argument '{name}'"
                    )
                self.assign(parameter, given[index], frame)
            elif name in keywords:
                self.assign(parameter, keywords.pop(name), frame)
            elif index >= least:
                self.assign(parameter, function.defaults[index - least], frame)
            else:
                raise TypeError(_count_text(node, least, count, total))
        if node.star is not None:
            frame.store(node.star, tuple(given[count:]))
        elif len(given) > count:
            raise TypeError(_count_text(node, least, count, total))
        if node.star_star is not None:
            rest = Dict()
            for name, item in keywords.items():
                rest[name] = item
            frame.store(node.star_star, rest)

    def assign(self, target: ast.Node, value: object, frame: Frame) -> None:
        """Binds one target of an assignment, a `for` or a parameter list."""
        if isinstance(target, ast.Name):
            frame.store(target.name, value)
        elif isinstance(target, ast.Sequence):
            for item, part in zip(target.items, unpacked(value, len(target.items)), strict=True):
                self.assign(item, part, frame)
        elif isinstance(target, ast.Subscript):
            self.assign_item(target, value, frame)
        elif isinstance(target, ast.Attribute):
            owner = self.value(target.owner, frame)
            raise Refused(
                f"assignment to the attribute {target.name} of a {type_name(owner)}",
                "a variable",
            )

    def assign_item(self, target: ast.Subscript, value: object, frame: Frame) -> None:
        owner = self.value(target.owner, frame)
        if isinstance(target.index, ast.Slice):
            if not isinstance(owner, list):
                raise TypeError(f"'{type_name(owner)}' object does not support slice assignment")
            items = list(iterate(value))
            self.meter.grow(len(items))
            owner[self.bounds(target.index, frame)] = items
            return
        index = self.value(target.index, frame)
        if isinstance(owner, Dict):
            self.meter.grow(1)
            owner[key_of(index)] = value
        elif isinstance(owner, list):
            if not -len(owner) <= _index(owner, index) < len(owner):
                throw("IndexError", "list assignment index out of range")
            owner[_index(owner, index)] = value
        else:
            raise TypeError(f"'{type_name(owner)}' object does not support item assignment")


def _count_text(node: ast.Function, least: int, most: int, given: int) -> str:
    if least == most and node.star is None:
        how = "exactly"
        number = most
    else:
        how = "at least" if given < least else "at most"
        number = least if given < least else most
    words = f"{how} {number} argument{'' if number == 1 else 's'}"
    if number == 0:
        words = "no arguments"
    return f"{node.name}() takes {words} ({given} given)"


def unpacked(value: object, count: int) -> list[object]:
    """The items of the value, which must be `count`."""
    items = list(iterate(value))
    if len(items) < count:
        plural = "" if len(items) == 1 else "s"
        throw("ValueError", f"need more than {len(items)} value{plural} to unpack")
    if len(items) > count:
        throw("ValueError", "too many values to unpack")
    return items


def _index(owner: object, index: object) -> int:
    if not isinstance(index, int):
        kind = "string" if type(owner) is str else type_name(owner)
        throw("TypeError", f"{kind} indices must be integers, not {type_name(index)}")
    return int(index)


def get_item(owner: object, index: object) -> object:
    """`owner[index]`."""
    if isinstance(owner, Dict):
        key = key_of(index)
        if key not in owner:
            throw("KeyError", index)
        return owner[key]
    if isinstance(owner, (str, list, tuple)):
        place = _index(owner, index)
        if not -len(owner) <= place < len(owner):
            kind = "string" if isinstance(owner, str) else type_name(owner)
            throw("IndexError", f"{kind} index out of range")
        return Unicode(str(owner)[place]) if isinstance(owner, Unicode) else owner[place]
    raise TypeError(f"'{type_name(owner)}' object has no attribute '__getitem__'")


_EVALUATE: Final[dict[type, Callable[..., object]]] = {
    ast.Constant: ExpressionEvaluator.constant,
    ast.Name: ExpressionEvaluator.name,
    ast.Sequence: ExpressionEvaluator.sequence,
    ast.DictDisplay: ExpressionEvaluator.dict_display,
    ast.Comprehension: ExpressionEvaluator.comprehension,
    ast.Chain: ExpressionEvaluator.chain,
    ast.Compare: ExpressionEvaluator.compare,
    ast.Logic: ExpressionEvaluator.logic,
    ast.Unary: ExpressionEvaluator.unary,
    ast.Conditional: ExpressionEvaluator.conditional,
    ast.Backticks: ExpressionEvaluator.backticks,
    ast.Function: ExpressionEvaluator.function,
    ast.Unsupported: ExpressionEvaluator.unsupported,
    ast.Attribute: ExpressionEvaluator.attribute,
    ast.Subscript: ExpressionEvaluator.subscript,
    # by name: the statement evaluator adds the functions that need their caller's scope
    ast.Call: lambda self, node, frame: self.call_node(node, frame),
}
