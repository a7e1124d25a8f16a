"""The values of a domain file and their Python 2 ways: types, text forms, order, exceptions.

A Python 2 `str` is a Python str of Latin-1 characters, one per byte; `int`, `float`, `bool`,
`list`, `tuple` and None are themselves; `long`, `unicode`, `dict` and `set` have classes here
or in `xmlex`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Final, NoReturn

from xend.config.pydict import KeyTable, hash_bytes, hash_float, hash_int, hash_tuple
from xend.config.sxp import Long, show_float
from xend.config.xmlex import Unicode
from xend.config.xmlimits import Refused

_MAX_REPR_DEPTH: Final = 60
_MAX_NESTED: Final = 200_000


def hash2(value: object) -> int:
    """`hash(value)` of Python 2.7."""
    if isinstance(value, str):
        encoding = "utf-32-le" if isinstance(value, Unicode) and not value.isascii() else "latin-1"
        return hash_bytes(value.encode(encoding))
    if isinstance(value, int):
        return hash_int(int(value))
    if isinstance(value, float):
        return hash_float(value)
    if isinstance(value, tuple):
        return hash_tuple([hash2(item) for item in value])
    return hash(value)


class Dict(dict[Hashable, object]):
    """A dictionary whose iteration order is Python 2.7's."""

    __slots__ = ("_pending", "_table")

    def __init__(self, expected: int = 0) -> None:
        super().__init__()
        self._table = KeyTable(expected)
        self._pending: list[tuple[bool, Hashable]] = []
        """Insertions (True) and removals that the table has not seen yet."""

    def __setitem__(self, key: Hashable, value: object) -> None:
        if key not in self:
            self._pending.append((True, key))
        super().__setitem__(key, value)

    def __delitem__(self, key: Hashable) -> None:
        super().__delitem__(key)
        self._pending.append((False, key))

    def ordered(self) -> list[Hashable]:
        """The keys as Python 2.7 iterates them."""
        for added, key in self._pending:
            if added:
                self._table.insert(key, hash2(key))
            else:
                self._table.remove(key)
        self._pending.clear()
        return self._table.order()

    def absorb(self, other: Dict) -> None:
        """`update` with another dictionary, which sizes the table ahead."""
        self.ordered()
        self._table.make_room(len(other))
        for key in other.ordered():
            self[key] = other[key]


class Set:
    """A set; its order follows the same table rules as a dictionary's."""

    __slots__ = ("keys",)

    def __init__(self, items: Iterable[object] = ()) -> None:
        self.keys = Dict()
        for item in items:
            self.keys[key_of(item)] = True

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, item: object) -> bool:
        return key_of(item) in self.keys

    def ordered(self) -> list[Hashable]:
        return self.keys.ordered()

    __hash__ = None  # type: ignore[assignment]


CONTAINERS: Final = (list, tuple, Dict)


def key_of(value: object) -> Hashable:
    """The value as a key; a list, dict or set is none."""
    if isinstance(value, tuple):
        check_size(value)
    return _key_of(value)


def _key_of(value: object) -> Hashable:
    if isinstance(value, (list, dict, Set)):
        raise TypeError(f"unhashable type: '{type_name(value)}'")
    if isinstance(value, tuple):
        for item in value:
            _key_of(item)
    if isinstance(value, Hashable):
        return value
    raise TypeError(f"unhashable type: '{type_name(value)}'")


class Items:
    """An iterator or generator; the items are at hand, since nothing here is lazy."""

    __slots__ = ("kind", "source")

    def __init__(self, items: Iterable[object], kind: str = "listiterator") -> None:
        self.source: Iterator[object] = iter(items)
        self.kind = kind


class Builtin:
    """A function or method that the evaluator provides: called with (arguments, keywords)."""

    __slots__ = ("function", "name")

    def __init__(
        self, name: str, function: Callable[[list[object], dict[str, object]], object]
    ) -> None:
        self.name = name
        self.function = function


class Type:
    """A type object such as `str`; calling it converts."""

    __slots__ = ("convert", "name", "parents")

    def __init__(
        self,
        name: str,
        convert: Callable[[list[object], dict[str, object]], object],
        parents: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.convert = convert
        self.parents = parents


class Module:
    """A module that a domain file may import; it has what is listed and nothing else.

    `members` may be what makes them: every file has a few modules at hand that it never uses."""

    __slots__ = ("_members", "name")

    def __init__(
        self, name: str, members: dict[str, object] | Callable[[], dict[str, object]]
    ) -> None:
        self.name = name
        self._members = members

    @property
    def members(self) -> dict[str, object]:
        if not isinstance(self._members, dict):
            self._members = self._members()
        return self._members


class ExceptionType:
    """A class of Python 2 exceptions."""

    __slots__ = ("base", "name")

    def __init__(self, name: str, base: ExceptionType | None) -> None:
        self.name = name
        self.base = base

    def within(self, other: ExceptionType) -> bool:
        here: ExceptionType | None = self
        while here is not None:
            if here is other:
                return True
            here = here.base
        return False


class ExceptionValue:
    __slots__ = ("arguments", "type")

    def __init__(self, kind: ExceptionType, arguments: tuple[object, ...]) -> None:
        self.type = kind
        self.arguments = arguments

    def text(self) -> str:
        """`str(exception)`."""
        count = len(self.arguments)
        if self.type.within(EXCEPTIONS["EnvironmentError"]) and count in (2, 3):
            where = f": {repr2(self.arguments[2])}" if count == 3 else ""
            return f"[Errno {str2(self.arguments[0])}] {str2(self.arguments[1])}{where}"
        if count == 1:
            is_key = self.type.name == "KeyError"
            return repr2(self.arguments[0]) if is_key else str2(self.arguments[0])
        return repr2(self.arguments) if count else ""


class Thrown(Exception):
    """A Python 2 exception on its way."""

    def __init__(self, value: ExceptionValue) -> None:
        super().__init__(value.type.name)
        self.value = value


def _exception_tree() -> dict[str, ExceptionType]:
    tree: dict[str, ExceptionType] = {}
    for line in """
        BaseException: SystemExit KeyboardInterrupt GeneratorExit Exception
        Exception: StopIteration StandardError Warning
        StandardError: BufferError ArithmeticError AssertionError AttributeError EnvironmentError \
            EOFError ImportError LookupError MemoryError NameError ReferenceError RuntimeError \
            SyntaxError SystemError TypeError ValueError
        ArithmeticError: FloatingPointError OverflowError ZeroDivisionError
        EnvironmentError: IOError OSError
        LookupError: IndexError KeyError
        NameError: UnboundLocalError
        RuntimeError: NotImplementedError
        SyntaxError: IndentationError
        ValueError: UnicodeError
        UnicodeError: UnicodeDecodeError UnicodeEncodeError
        Warning: DeprecationWarning UserWarning RuntimeWarning
    """.strip().splitlines():
        base_name, _, names = line.strip().partition(":")
        base = tree.setdefault(base_name, ExceptionType(base_name, None))
        for name in names.split():
            tree[name] = ExceptionType(name, base)
    return tree


EXCEPTIONS: Final = _exception_tree()


def throw(kind: str, *arguments: object) -> NoReturn:
    """Raises the Python 2 exception of that name."""
    raise Thrown(ExceptionValue(EXCEPTIONS[kind], arguments))


_NAMES: Final[dict[type, str]] = {
    type(None): "NoneType",
    Long: "long",
    Unicode: "unicode",
    Dict: "dict",
    Set: "set",
    Builtin: "builtin_function_or_method",
    Type: "type",
    ExceptionType: "type",
    Module: "module",
}


def type_name(value: object) -> str:
    """`type(value).__name__`, as error messages have it."""
    if isinstance(value, ExceptionValue):
        return f"exceptions.{value.type.name}"
    if isinstance(value, Items):
        return value.kind
    named = getattr(value, "type_name", None)
    if isinstance(named, str):
        return named
    return _NAMES.get(type(value), type(value).__name__)


def is_integer(value: object) -> bool:
    return isinstance(value, int)


def integer(value: int) -> int:
    """A result of arithmetic on `int`s: beyond 64 bits it becomes a `long`."""
    return value if -(1 << 63) <= value < 1 << 63 else Long(value)


def str2(value: object) -> str:
    """`str(value)`."""
    if type(value) is str:
        return value
    if isinstance(value, Unicode):
        if not value.isascii():
            throw("UnicodeEncodeError", "'ascii' codec can't encode characters")
        return str.__str__(value)
    if isinstance(value, float):
        return show_float(value)
    if isinstance(value, Long):
        return str(int(value))
    if isinstance(value, ExceptionValue):
        return value.text()
    return repr2(value)


def repr2(value: object, depth: int = 0) -> str:
    """`repr(value)`."""
    if depth == 0 and isinstance(value, CONTAINERS):
        check_size(value)
    if depth > _MAX_REPR_DEPTH:
        return "..."
    if isinstance(value, str):
        return _repr_unicode(value) if isinstance(value, Unicode) else _repr_bytes(value)
    if isinstance(value, (bool, float)) or value is None:
        return repr(value)
    if isinstance(value, int):
        return f"{int(value)}L" if isinstance(value, Long) else str(value)
    if isinstance(value, list):
        return "[" + ", ".join([repr2(item, depth + 1) for item in value]) + "]"
    if isinstance(value, tuple):
        inner = ", ".join([repr2(item, depth + 1) for item in value])
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, Dict):
        pairs = [f"{repr2(k, depth + 1)}: {repr2(value[k], depth + 1)}" for k in value.ordered()]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, Set):
        return f"set({repr2(list(value.ordered()), depth)})"
    return _repr_other(value)


def _repr_other(value: object) -> str:
    if isinstance(value, ExceptionValue):
        return value.type.name + repr2(value.arguments)
    if isinstance(value, ExceptionType):
        return f"<type 'exceptions.{value.name}'>"
    if isinstance(value, Type):
        return f"<type '{value.name}'>"
    if isinstance(value, Module):
        return f"<module '{value.name}' (built-in)>"
    return f"<{type_name(value)} object>"


def _repr_bytes(text: str) -> str:
    quote = '"' if "'" in text and '"' not in text else "'"
    if text.isascii() and text.isprintable() and "\\" not in text and quote not in text:
        return quote + text + quote
    return quote + "".join([_escaped(char, quote) for char in text]) + quote


_ESCAPED: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}


def _escaped(char: str, quote: str) -> str:
    if char == quote:
        return "\\" + char
    if char in _ESCAPED:
        return _ESCAPED[char]
    return char if " " <= char < "\x7f" else f"\\x{ord(char):02x}"


def _repr_unicode(text: str) -> str:
    quote = '"' if "'" in text and '"' not in text else "'"
    out = []
    for char in text:
        code = ord(char)
        if code < 0x100:
            out.append(_escaped(char, quote))
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return f"u{quote}{''.join(out)}{quote}"


def is_true(value: object) -> bool:
    """`bool(value)`."""
    return bool(len(value)) if isinstance(value, Set) else bool(value)


def check_size(*values: object) -> None:
    """Refuses values that are too large to go through with all that is nested in them.

    A list that holds another twice, and so on, grows exponentially without taking any memory.
    """
    left = _MAX_NESTED
    stack = list(values)
    while stack:
        value = stack.pop()
        if isinstance(value, (list, tuple)):
            left -= len(value)
            stack.extend([item for item in value if isinstance(item, CONTAINERS)])
        elif isinstance(value, Dict):
            left -= 2 * len(value)
            stack.extend([item for item in value.values() if isinstance(item, CONTAINERS)])
        if left < 0:
            raise Refused(
                "the file makes values that are nested too much",
                f"lists and dictionaries of at most {_MAX_NESTED} items with all within them",
            )


def cost(value: object) -> int:
    """Steps that going through the value once counts for."""
    if isinstance(value, str):
        return len(value) >> 8
    if isinstance(value, (list, tuple)):
        return len(value) >> 2
    return len(value) >> 1 if isinstance(value, (Dict, Set)) else 0


def iterate(value: object) -> Iterable[object]:
    """What a `for` over the value goes through."""
    if isinstance(value, (str, list, tuple)):
        return list(value) if not isinstance(value, Unicode) else [Unicode(c) for c in value]
    if isinstance(value, (Dict, Set)):
        return value.ordered()
    if isinstance(value, Items):
        return value.source
    lines = getattr(value, "lines", None)
    if callable(lines):
        found: list[object] = lines()
        return found
    raise TypeError(f"'{type_name(value)}' object is not iterable")
