"""XML-RPC as the original's client spoke it: calls out, answers and faults in.

Written by hand over expat because the standard library's module costs six times the start of
the interpreter.  docs: http://xmlrpc.com/spec.md, plus `<nil/>` in both directions.
"""

from __future__ import annotations

from xend.cli.failures import Fault, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_ESCAPES = {
    "\\": b"\\",
    "'": b"'",
    '"': b'"',
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\n": b"",
}


def dump_call(method: str, params: tuple[Any, ...]) -> bytes:
    """The request's body."""
    parts = ["<?xml version='1.0'?>\n<methodCall>\n<methodName>", _escaped(method)]
    parts.append("</methodName>\n<params>\n")
    for value in params:
        parts.append("<param>\n")
        _dump(value, parts.append)
        parts.append("</param>\n")
    parts.append("</params>\n</methodCall>\n")
    return "".join(parts).encode("utf-8", "surrogateescape")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _dump(value: Any, write: Callable[[str], None]) -> None:
    if value is None:
        write("<value><nil/></value>\n")
    elif isinstance(value, bool):
        write(f"<value><boolean>{value:d}</boolean></value>\n")
    elif isinstance(value, int):
        write(f"<value><int>{value}</int></value>\n")
    elif isinstance(value, float):
        write(f"<value><double>{value!r}</double></value>\n")
    elif isinstance(value, str):
        write(f"<value><string>{_escaped(value)}</string></value>\n")
    elif isinstance(value, dict):
        write("<value><struct>\n")
        for key, item in value.items():
            write(f"<member>\n<name>{_escaped(key)}</name>\n")
            _dump(item, write)
            write("</member>\n")
        write("</struct></value>\n")
    else:
        write("<value><array><data>\n")
        for item in value:
            _dump(item, write)
        write("</data></array></value>\n")


def load_response(body: bytes) -> Any:
    """The result; Fault when the server refused, ProtocolError when it is not an answer."""
    import pyexpat

    reader = _Reader()
    parser = pyexpat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(body, True)
    except (pyexpat.ExpatError, ValueError, IndexError) as error:
        raise ProtocolError(200, f"answer is not XML-RPC: {error}") from error
    if len(reader.values) != 1:
        raise ProtocolError(200, "answer holds no value")
    result = reader.values[0]
    if reader.is_fault:
        raise Fault(int(result["faultCode"]), str(result["faultString"]))
    return result


class _Reader:
    """Builds values bottom up; a mark on the stack remembers where an array or struct began."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.is_fault = False
        self._marks: list[int] = []
        self._data: list[str] = []
        self._typed = True

    def start(self, tag: str, _attributes: object) -> None:
        if tag in ("array", "struct"):
            self._marks.append(len(self.values))
        self._data.clear()
        self._typed = tag != "value"

    def text(self, data: str) -> None:
        self._data.append(data)

    def end(self, tag: str) -> None:
        if tag == "value":
            if not self._typed:  # a bare <value>text</value> is a string
                self.values.append("".join(self._data))
            self._typed = True
        elif tag == "array":
            at = self._marks.pop()
            self.values[at:] = [self.values[at:]]
        elif tag == "struct":
            at = self._marks.pop()
            items = self.values[at:]
            self.values[at:] = [dict(zip(items[::2], items[1::2], strict=True))]
        elif tag == "fault":
            self.is_fault = True
        elif tag in _ATOMS:
            self.values.append(_ATOMS[tag]("".join(self._data)))
        self._data.clear()


def _boolean(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(f"bad boolean: {text}")
    return text == "1"


def _bytes(text: str) -> str:
    import binascii

    return binascii.a2b_base64(text).decode("utf-8", "surrogateescape")


_ATOMS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "name": str,
    "int": int,
    "i4": int,
    "i8": int,
    "double": float,
    "boolean": _boolean,
    "nil": lambda _text: None,
    "dateTime.iso8601": str,
    "base64": _bytes,
}


def unescape(text: str) -> str:
    r"""Undo the escapes of a string that is a whole answer.

    The server sends such a string in Python's repr form without the quotes, and its client read
    it as a literal after putting `\047` for each `'`.  So a `\'` in the answer reads as a
    backslash and `047`: kept, because that is what `xm dmesg` has always shown.
    """
    if "\\" not in text:
        return text
    import re

    def byte(match: re.Match[str]) -> bytes:
        simple, octal, pair, other = match.groups()
        if simple is not None:
            return _ESCAPES[simple]
        if octal is not None:
            return bytes([int(octal, 8) & 0xFF])
        if pair is not None:
            return bytes([int(pair, 16)])
        return b"\\" + str(other).encode("utf-8", "surrogateescape")

    literal = text.replace("'", r"\047")
    pieces: list[bytes] = []
    position = 0
    escape = re.compile(r"\\(?:([\\'\"abfnrtv\n])|([0-7]{1,3})|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
    for match in escape.finditer(literal):
        pieces.append(literal[position : match.start()].encode("utf-8", "surrogateescape"))
        pieces.append(byte(match))
        position = match.end()
    pieces.append(literal[position:].encode("utf-8", "surrogateescape"))
    return b"".join(pieces).decode("utf-8", "surrogateescape")
