"""S-expressions: the text form of every configuration and answer of xend.

A value is a string, a number, a boolean, None, or a list of values; everything that is *read*
is a string or a list.  Text is UTF-8; a byte that is not is kept as a lone surrogate (Python's
`surrogateescape`), so that reading and writing loses nothing.

Differences from the original's reader are listed in docs/compatibility.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, Literal, NoReturn, TypeAlias

from xend.errors import ConfigError

Value: TypeAlias = "str | int | float | list[Value] | None"
Style: TypeAlias = Literal["repr", "http"]

MAX_DEPTH: Final = 200
"""Deepest nesting that is read or written; a real domain answer has 7."""

MAX_TEXT: Final = 1 << 20
"""Longest text read, in characters, unless the caller says otherwise."""

CONFIG_WIDTH: Final = 78
"""Line width of a managed domain's config.sxp; all other pretty printing uses 80."""


class Long(int):
    """A Python 2 `long`: the original printed it in quotes, since it was not an `int`."""

    __slots__ = ()


_TOKEN = re.compile(
    r"""
    (?: (?P<blank>   [ \t\n\v\f\r] | \#[^\n]* )
      | (?P<open>    \( )
      | (?P<close>   \) )
      | '(?P<single> (?: [^'\\]++ | \\. )*+ )'
      | "(?P<double> (?: [^"\\]++ | \\. )*+ )"
      | (?P<atom>    (?!['"]) [!-~] [^ \t\n\v\f\r{}()<>\[\];\#]* )
    ) [ \t\n\v\f\r]*+
    """,
    re.VERBOSE | re.DOTALL,
)
_ATOM: Final = re.compile(r"(?:[A-Za-z0-9._:/~-]+|@)\Z")
_ESCAPE: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{0,2})|([0-7]{1,3})|(.))", re.DOTALL)
_NOT_PLAIN: Final = re.compile(r"[^ -~]|[\\']")
_ESCAPES: Final = {
    "a": "\a",
    "b": "\b",
    "t": "\t",
    "n": "\n",
    "v": "\v",
    "f": "\f",
    "r": "\r",
    "\\": "\\",
    "'": "'",
    '"': '"',
}
_END_OF_TEXT: Final = "\x04"


def parse(text: str, *, file: str = "", limit: int = MAX_TEXT) -> list[Value]:
    """All values of a text; an empty text has none."""
    if len(text) > limit:
        raise ConfigError(
            f"text of {len(text)} characters is too long: at most {limit} are read",
            **_file_field(file),
            expected=f"at most {limit} characters",
        )
    top: list[Value] = []
    stack: list[list[Value]] = []
    here = top
    match = _TOKEN.match
    position, end = 0, len(text)
    while position < end:
        token = match(text, position)
        if token is None:
            if text[position] == _END_OF_TEXT and not stack:
                return top
            _reject(text, position, file)
        kind = token.lastgroup
        if kind == "open":
            if len(stack) == MAX_DEPTH:
                _fail(text, position, file, f"lists nested deeper than {MAX_DEPTH}")
            inner: list[Value] = []
            here.append(inner)
            stack.append(here)
            here = inner
        elif kind == "close":
            if not stack:
                _fail(text, position, file, "syntax error: )")
            here = stack.pop()
        elif kind == "atom":
            here.append(token.group("atom"))
        elif kind != "blank":
            body = token.group(kind or 0)
            here.append(_unescape(body, text, position, file) if "\\" in body else body)
        position = token.end()
    if stack:
        _fail(text, end, file, "unexpected EOF")
    return top


def parse_one(text: str, *, file: str = "", limit: int = MAX_TEXT) -> Value:
    """The first value of a text (the original ignored what follows); an error if there is none."""
    values = parse(text, file=file, limit=limit)
    if not values:
        raise ConfigError("no value in the text", **_file_field(file), expected="an s-expression")
    return values[0]


def show(value: object, style: Style = "repr") -> str:
    """The value on one line.

    "repr" quotes as the original printed; "http" always in single quotes, because old clients
    of HTTP/SXP do not know the other kind and cut such a value at its first blank.
    """
    return _flat(value, _quote_repr if style == "repr" else _quote_http, 0)


def pretty(value: object, width: int = 80) -> str:
    """The value as the original laid it out, with one newline at the end.

    A list that does not fit in the rest of its line is broken after its first item, every
    further item on a line of its own, and the closing parenthesis in the list's column.
    """
    pieces: list[str] = []
    _lay_out(_measured(value, width, 0), width, 0, pieces)
    return "".join(pieces) + "\n"


_Measured = tuple[str, "list[str | _Measured]"]
"""A value on one line, and its items in case that it must be broken."""


def _measured(value: object, width: int, depth: int) -> str | _Measured:
    """Each value is written out once only; without its items where it cannot be broken: an item
    of depth N begins in column 4 N at most."""
    if not isinstance(value, (list, tuple)):
        return _flat(value, _quote_repr, depth)
    if depth == MAX_DEPTH:
        raise _too_deep()
    items: list[str | _Measured] = []
    texts: list[str] = []
    for item in value:
        plain = type(item) is str and _ATOM.match(item)
        measured = item if plain else _measured(item, width, depth + 1)
        items.append(measured)
        texts.append(measured if type(measured) is str else measured[0])
    text = "(" + " ".join(texts) + ")"
    fits = len(text) + 4 * depth <= width
    return text if fits or isinstance(value, tuple) else (text, items)


def _lay_out(value: str | _Measured, width: int, column: int, out: list[str]) -> None:
    """Writes `value` from `column` on."""
    if isinstance(value, str):
        out.append(value)
        return
    flat, items = value
    if column + len(flat) <= width:
        out.append(flat)
        return
    out.append("(")
    if items:
        _lay_out(items[0], width, column + 1, out)
    for item in items[1:]:
        out.append("\n" + " " * (column + 4))
        _lay_out(item, width, column + 4, out)
    out.append("\n" + " " * column + ")")


def _flat(value: object, quote: Callable[[str], str], depth: int) -> str:
    if isinstance(value, str):
        return value if type(value) is str and _ATOM.match(value) else quote(value)
    if isinstance(value, (list, tuple)):
        if depth == MAX_DEPTH:
            raise _too_deep()
        return "(" + " ".join([_flat(item, quote, depth + 1) for item in value]) + ")"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return show_float(value)
    if isinstance(value, int) and not isinstance(value, Long):
        return str(value)
    return quote(str(int(value)) if isinstance(value, Long) else str(value))


def _too_deep() -> ConfigError:
    return ConfigError(f"lists nested deeper than {MAX_DEPTH}", value="(...)")


def show_float(value: float) -> str:
    """`str(float)` of Python 2: 12 significant digits, and always recognisable as a float."""
    text = f"{value:.12g}"
    return text if any(c in text for c in ".en") else text + ".0"


def _quote_repr(text: str) -> str:
    """Python 2's `repr` of the UTF-8 bytes."""
    body = _escape(text)
    if "'" in text and '"' not in text:
        return f'"{body}"'
    return "'" + body.replace("'", "\\'") + "'"


def _quote_http(text: str) -> str:
    return "'" + _escape(text).replace("'", "\\'") + "'"


def _escape(text: str) -> str:
    """Backslash and everything outside printable ASCII as escapes; quotes are left alone."""
    if not _NOT_PLAIN.search(text):
        return text
    return "".join([_escaped_byte(byte) for byte in text.encode("utf-8", "surrogateescape")])


_NAMED_ESCAPES: Final = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r", 0x5C: "\\\\"}


def _escaped_byte(byte: int) -> str:
    if byte in _NAMED_ESCAPES:
        return _NAMED_ESCAPES[byte]
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"


def _unescape(body: str, text: str, position: int, file: str) -> str:
    """The string that a quoted token stands for; escapes name bytes of UTF-8."""

    def byte(match: re.Match[str]) -> str:
        digits, octal, other = match.groups()
        if other is not None:
            return _ESCAPES.get(other, "\\" + other)
        where = position + 1 + match.start()
        if octal is not None:
            if int(octal, 8) > 0xFF:
                _fail(text, where, file, f"invalid octal escape: out of range {octal}")
            return _one_byte(int(octal, 8))
        if len(digits) != 2:
            _fail(text, where, file, "invalid hex escape: \\x needs two hexadecimal digits")
        return _one_byte(int(digits, 16))

    raw = _ESCAPE.sub(byte, body)
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def _one_byte(code: int) -> str:
    return chr(code) if code < 0x80 else chr(0xDC00 + code)


def _reject(text: str, position: int, file: str) -> NoReturn:
    """No token begins here: an open string, or a character that may only be in a string."""
    char = text[position]
    if char in "'\"" or char == _END_OF_TEXT:
        _fail(text, len(text) if char != _END_OF_TEXT else position, file, "unexpected EOF")
    code = char.encode("utf-8", "surrogateescape")[0]
    _fail(text, position, file, f"invalid character: code {code}")


def _fail(text: str, position: int, file: str, message: str) -> NoReturn:
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    near = text[max(0, position - 10) : position + 20]
    raise ConfigError(message, **_file_field(file), line=line, column=column, value=near)


def _file_field(file: str) -> dict[str, str]:
    return {"file": file} if file else {}


def children(sxp: Value, name: str = "") -> list[Value]:
    """What follows the name of a list (and its `(@ …)` attributes); only those called `name`."""
    if not isinstance(sxp, list) or len(sxp) < 2:
        return []
    kids = sxp[2:] if name_of(sxp[1]) == "@" and isinstance(sxp[1], list) else sxp[1:]
    if not name:
        return kids
    return [kid for kid in kids if isinstance(kid, list) and kid and kid[0] == name]


class Indexed(list["Value"]):
    """A list whose children are looked up often, each by its name; it must not change."""

    __slots__ = ("first",)

    def __init__(self, tree: list[Value]) -> None:
        super().__init__(tree)
        self.first: dict[str, list[Value]] = {}
        for kid in children(tree):
            if isinstance(kid, list) and kid and isinstance(kid[0], str):
                self.first.setdefault(kid[0], kid)


def child(sxp: Value, name: str) -> list[Value] | None:
    """The first child list called `name`."""
    if isinstance(sxp, Indexed):
        return sxp.first.get(name)
    for kid in children(sxp):
        if isinstance(kid, list) and kid and kid[0] == name:
            return kid
    return None


def child_value(sxp: Value, name: str, default: Value = None) -> Value:
    """The first value in the first child called `name`."""
    kid = child(sxp, name)
    values = children(kid) if kid else []
    return values[0] if values else default


def name_of(sxp: Value) -> Value:
    """The name of a list is its first item; an atom is its own name."""
    if isinstance(sxp, list):
        return sxp[0] if sxp else None
    return sxp if isinstance(sxp, str) else None


def attributes(sxp: Value) -> list[Value]:
    """The pairs of the `(@ (key value)…)` list that may follow a list's name."""
    if isinstance(sxp, list) and len(sxp) > 1:
        second = sxp[1]
        if isinstance(second, list) and second and second[0] == "@":
            return second[1:]
    return []


def attribute(sxp: Value, key: str, default: Value = None) -> Value:
    """One value of the attributes."""
    for pair in attributes(sxp):
        if isinstance(pair, list) and len(pair) > 1 and pair[0] == key:
            return pair[1]
    return default


def wire(tree: object) -> Value:
    """A tree of a configuration as it is sent: only the types that every protocol has.

    A dictionary (cpuid) becomes a list of pairs, which is how a domain's answer shows it.
    """
    if isinstance(tree, (list, tuple)):
        return [wire(item) for item in tree]
    if isinstance(tree, dict):
        return [[str(key), wire(value)] for key, value in tree.items()]
    if isinstance(tree, bool) or tree is None:
        return tree
    if isinstance(tree, int):
        return int(tree)
    return tree if isinstance(tree, float) else str(tree)


def strings(values: Sequence[Value]) -> list[str]:
    """The string items of a list, in order."""
    return [value for value in values if isinstance(value, str)]
