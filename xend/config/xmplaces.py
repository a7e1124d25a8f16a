"""Where in a domain file its options are set, and whether to a plain value or a computed one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from xend.config import xmast as ast
from xend.config.xmgrammar import parse_program
from xend.config.xmlex import SourceError

_BLOCKS: Final = ("body", "otherwise", "finish")


class Places:
    """The assignments of one file."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        code = "\n".join(line.partition("#")[0] for line in self.lines)
        self._words = Counter(re.findall(r"[^\W\d]\w*", code))
        self._set: dict[str, list[tuple[ast.Node, bool]]] = {}
        try:
            body = parse_program(text).body
        except (SourceError, RecursionError):
            body = []
        for node, plain in _assignments(body, top=True):
            for name, is_plain in _targets(node, plain):
                self._set.setdefault(name, []).append((node, is_plain))

    def is_set(self, name: str) -> bool:
        return name in self._set

    def place(self, name: str) -> tuple[int, int]:
        """Line and column of the last assignment; 1, 1 if there is none."""
        found = self._set.get(name)
        return (found[-1][0].line, found[-1][0].column) if found else (1, 1)

    def find(self, name: str, text: str) -> tuple[int, int]:
        """Where a text stands in the value of an option; else the option's own place."""
        line, column = self.place(name)
        text = text.strip()
        for number in range(line, len(self.lines) + 1) if text else ():
            at = self.lines[number - 1].find(text)
            if at >= 0:
                return number, at + 1
        return line, column

    def computed(self, name: str) -> str:
        """The line that computes an option; empty if it is a plain value, set once."""
        found = self._set.get(name, [])
        if not found or (len(found) == 1 and found[0][1]):
            return ""
        return self.lines[found[-1][0].line - 1].strip()

    def used_once(self, name: str) -> bool:
        """Whether nothing in the file but its own assignment mentions a name."""
        return self._words[name] == 1


def _assignments(body: list[ast.Node], *, top: bool) -> Iterator[tuple[ast.Node, bool]]:
    """(statement, whether it runs in any case)."""
    for node in body:
        if isinstance(node, (ast.Assign, ast.AugmentedAssign)):
            yield node, top
        elif isinstance(node, ast.If):
            for _, branch in node.branches:
                yield from _assignments(branch, top=False)
            yield from _assignments(node.otherwise, top=False)
        elif isinstance(node, (ast.While, ast.For, ast.Try, ast.With)):
            for part in _BLOCKS:
                yield from _assignments(getattr(node, part, None) or [], top=False)
            for handler in getattr(node, "handlers", ()):
                yield from _assignments(handler[2], top=False)


def _targets(node: ast.Node, plain: bool) -> Iterator[tuple[str, bool]]:
    if isinstance(node, ast.AugmentedAssign):
        if isinstance(node.target, ast.Name):
            yield node.target.name, False
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.name, plain and _is_plain(node.value)


def _is_plain(node: ast.Node) -> bool:
    if isinstance(node, ast.Sequence):
        return all(_is_plain(item) for item in node.items)
    if isinstance(node, ast.Unary):
        return _is_plain(node.operand)
    return isinstance(node, ast.Constant)
