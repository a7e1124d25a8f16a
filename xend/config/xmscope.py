"""Where a domain file's names live: Python 2's scopes.

The file runs with its globals empty and its own names as *locals*, so that a function of the file
sees neither the file's variables nor its other functions; only `global` names reach it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from xend.config import xmast as ast
from xend.config.xmlimits import Refused
from xend.config.xmvalues import Dict, throw


class FunctionValue:
    """A function of the file."""

    __slots__ = ("defaults", "frame", "node")

    type_name = "function"

    def __init__(self, node: ast.Function, defaults: list[object], frame: Frame) -> None:
        self.node = node
        self.defaults = defaults
        self.frame = frame


class Frame:
    """One scope at run time."""

    __slots__ = ("builtins", "file", "global_names", "global_words", "names", "outer", "own")

    def __init__(
        self,
        names: Dict,
        global_names: Dict,
        builtins: dict[str, object],
        file: str,
        *,
        own: frozenset[str] | None = None,
        outer: Frame | None = None,
    ) -> None:
        self.names = names
        self.global_names = global_names
        self.builtins = builtins
        self.file = file
        self.own = own
        """The local names of a function; None in a file, exec or eval."""
        self.outer = outer
        """The scope around a function, if that is a function too."""
        self.global_words: set[str] = set()

    def load(self, name: str) -> object:
        if self.own is None or name in self.own:
            if name in self.names and name not in self.global_words:
                return self.names[name]
            if self.own is not None:
                throw("UnboundLocalError", f"local variable '{name}' referenced before assignment")
        return self._load_outside(name)

    def _load_outside(self, name: str) -> object:
        scope = self.outer
        while scope is not None and name not in self.global_words:
            if scope.own is not None and name in scope.own:
                if name in scope.names:
                    return scope.names[name]
                throw(
                    "NameError",
                    f"free variable '{name}' referenced before assignment in enclosing scope",
                )
            scope = scope.outer
        if name in self.global_names:
            return self.global_names[name]
        if name in self.builtins:
            return self.builtins[name]
        kind = "name" if self.own is None else "global name"
        return throw("NameError", f"{kind} '{name}' is not defined")

    def store(self, name: str, value: object) -> None:
        target = self.global_names if name in self.global_words else self.names
        target[name] = value

    def delete(self, name: str) -> None:
        target = self.global_names if name in self.global_words else self.names
        if name not in target:
            throw("NameError", f"name '{name}' is not defined")
        del target[name]


def local_names(function: ast.Function) -> frozenset[str]:
    """The names that a function binds; found once and kept with the function."""
    if function.local_names is None:
        bound: set[str] = set()
        declared: set[str] = set()
        for parameter in function.parameters:
            bound.update(_targets(parameter))
        bound.update(name for name in (function.star, function.star_star) if name)
        for statement in function.body:
            _collect(statement, bound, declared)
        function.local_names = frozenset(bound - declared)
    return function.local_names


def _targets(node: ast.Node) -> Iterator[str]:
    if isinstance(node, ast.Name):
        yield node.name
    elif isinstance(node, ast.Sequence):
        for item in node.items:
            yield from _targets(item)


def _collect(node: object, bound: set[str], declared: set[str]) -> None:
    """Goes through one function's code, but not into functions within it."""
    if isinstance(node, (list, tuple)):
        for item in node:
            _collect(item, bound, declared)
    if not isinstance(node, ast.Node):
        return
    if isinstance(node, ast.Function):
        bound.add(node.name)
        return
    if isinstance(node, ast.Global):
        declared.update(node.names)
    elif isinstance(node, ast.Import):
        bound.update(alias or module.partition(".")[0] for module, alias in node.modules)
    elif isinstance(node, ast.ImportFrom):
        bound.update(alias for _, alias in node.names)
    elif isinstance(node, ast.Exec) and node.global_names is None:
        _no_exec()
    elif isinstance(node, ast.Comprehension) and node.kind != "list":
        _collect(node.clauses[0].source, bound, declared)
        return
    for target in _bound_by(node):
        bound.update(_targets(target))
    for kind in type(node).__mro__:
        for slot in getattr(kind, "__slots__", ()):
            _collect(getattr(node, slot, None), bound, declared)


def _bound_by(node: ast.Node) -> list[ast.Node]:
    """The targets that a node binds itself."""
    if isinstance(node, ast.Assign):
        return node.targets
    if isinstance(node, ast.Try):
        return [target for _, target, _ in node.handlers if target is not None]
    if isinstance(node, (ast.AugmentedAssign, ast.For, ast.Clause)):
        return [node.target]
    if isinstance(node, ast.With):
        return [] if node.target is None else [node.target]
    return node.targets if isinstance(node, ast.Delete) else []


def _no_exec() -> NoReturn:
    raise Refused("exec within a function is not available in a domain file", "the statements")
