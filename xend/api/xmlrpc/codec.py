"""XML-RPC as the original server read and wrote it.

Written over expat, not with the standard library's module: that one reads entities without limit,
writes a layout of its own, and its import is most of a daemon's start.

Quirks that old clients rely on:

* A string that is a whole answer is sent in Python's repr form without the quotes, and the
  clients undo that.  Strings within arrays and structs are sent as they are.
* Integers are of 32 bits; a larger one fails the whole call with fault 1.
* `<nil/>` is used in both directions.

The original sent control characters within arrays as they were, which no client could parse:
one such name made every listing fail.  Here they become `?`.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from xml.parsers import expat

from xend.errors import XendError

MAX_DEPTH: Final = 64
_MAX_INT: Final = 2**31 - 1
_MIN_INT: Final = -(2**31)


class NotXmlRpc(XendError):
    """The request's body is no XML-RPC call.  Field: `reason`."""

    key = "xmlrpc.malformed"
    template = "The request is not an XML-RPC call: {reason}"


class CannotMarshal(XendError):
    """A result has no form in XML-RPC; the text is the original's."""

    key = "xmlrpc.cannot-marshal"


class Call(NamedTuple):
    method: str
    params: list[Any]


# -- Requests -----------------------------------------------------------------------------------


def load_call(body: bytes) -> Call:
    """The call in a request's body; NotXmlRpc.

    A document type is refused: nothing in XML-RPC needs one, and entities can be made to explode.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.doctype
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, IndexError, LookupError) as error:
        raise NotXmlRpc(reason=str(error)) from error
    if reader.method is None:
        raise NotXmlRpc(reason="it has no methodName")
    return Call(reader.method, reader.values)


class _Reader:
    """Builds values bottom up; a mark says where on the stack an array or a struct began."""

    def __init__(self) -> None:
        self.method: str | None = None
        self.values: list[Any] = []
        self._marks: list[int] = []
        self._data: list[str] = []
        self._bare = False

    def start(self, tag: str, _attributes: object) -> None:
        if tag in ("array", "struct"):
            if len(self._marks) == MAX_DEPTH:
                raise ValueError(f"values nested deeper than {MAX_DEPTH}")
            self._marks.append(len(self.values))
        self._data.clear()
        self._bare = tag == "value"

    def text(self, data: str) -> None:
        self._data.append(data)

    def doctype(self, *_what: object) -> None:
        raise ValueError("a document type is not allowed")

    def end(self, tag: str) -> None:
        atom = _ATOMS.get(tag)
        if atom is not None:
            self.values.append(atom("".join(self._data)))
        elif tag == "value":
            if self._bare:  # <value>text</value> is a string
                self.values.append("".join(self._data))
        elif tag == "array":
            at = self._marks.pop()
            self.values[at:] = [self.values[at:]]
        elif tag == "struct":
            at = self._marks.pop()
            items = self.values[at:]
            self.values[at:] = [dict(zip(items[::2], items[1::2], strict=True))]
        elif tag == "methodName":
            self.method = "".join(self._data).strip()
        self._bare = False
        self._data.clear()


def _integer(text: str) -> int:
    if len(text) > 30:
        raise ValueError("an integer of more than 30 digits")
    return int(text)


def _boolean(text: str) -> bool:
    if text.strip() not in ("0", "1"):
        raise ValueError(f"bad boolean: {text}")
    return text.strip() == "1"


def _base64(text: str) -> str:
    return binascii.a2b_base64(text).decode("utf-8", "surrogateescape")


_ATOMS: Final[Mapping[str, Callable[[str], Any]]] = {
    "string": str,
    "name": str,
    "int": _integer,
    "i4": _integer,
    "i8": _integer,
    "double": float,
    "boolean": _boolean,
    "nil": lambda _text: None,
    "dateTime.iso8601": str,
    "base64": _base64,
}


# -- Answers ------------------------------------------------------------------------------------


def dump_result(value: Any) -> bytes:
    """The document of an answer; CannotMarshal."""
    parts = ["<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n"]
    _dump(python2_repr(value) if isinstance(value, str) else value, parts.append)
    parts.append("</param>\n</params>\n</methodResponse>\n")
    return "".join(parts).encode()


def dump_fault(code: int, text: str) -> bytes:
    parts = ["<?xml version='1.0'?>\n<methodResponse>\n<fault>\n"]
    _dump({"faultCode": code, "faultString": text}, parts.append)
    parts.append("</fault>\n</methodResponse>\n")
    return "".join(parts).encode()


_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold (https://www.w3.org/TR/xml/#charsets)."""


def _escaped(text: str) -> str:
    if "&" in text or "<" in text or ">" in text:
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text if text.isascii() and text.isprintable() else _NOT_XML.sub("?", text)


def _dump(value: Any, write: Callable[[str], None]) -> None:
    if isinstance(value, str):
        write(f"<value><string>{_escaped(value)}</string></value>\n")
    elif isinstance(value, bool):
        write(f"<value><boolean>{value:d}</boolean></value>\n")
    elif isinstance(value, int):
        if not _MIN_INT <= value <= _MAX_INT:
            raise CannotMarshal("int exceeds XML-RPC limits")
        write(f"<value><int>{int(value)}</int></value>\n")
    elif isinstance(value, list | tuple):
        write("<value><array><data>\n")
        for item in value:
            _dump(item, write)
        write("</data></array></value>\n")
    elif value is None:
        write("<value><nil/></value>")  # without an end of line, as the original
    elif isinstance(value, float):
        write(f"<value><double>{value!r}</double></value>\n")
    elif isinstance(value, Mapping):
        write("<value><struct>\n")
        for key, item in value.items():
            if not isinstance(key, str):
                raise CannotMarshal("dictionary key must be string")
            write(f"<member>\n<name>{_escaped(key)}</name>\n")
            _dump(item, write)
            write("</member>\n")
        write("</struct></value>\n")
    else:
        raise CannotMarshal(f"cannot marshal {type(value)} objects")


_PLAIN = re.compile(r"[ !#-&(-\[\]-~]*\Z")
"""Printable ASCII without backslash and quotes."""


def python2_repr(text: str) -> str:
    r"""`repr(text)[1:-1]` of Python 2, of the text's UTF-8 bytes.

    Python quotes with `"` when the text has a `'` and no `"`; else each `'` becomes `\'`.
    """
    if _PLAIN.match(text):
        return text
    octets = text.encode("utf-8", "surrogateescape").decode("latin-1")
    body = octets.encode("unicode_escape").decode("ascii")
    return body if '"' not in text else body.replace("'", "\\'")


def without_vcpu_avail(sxp: Any) -> Any:
    """A domain's answer as it was sent: such a mask may not fit 32 bits, so none is sent."""
    if not isinstance(sxp, list):
        return sxp
    return [
        without_vcpu_avail(item)
        for item in sxp
        if not (isinstance(item, list) and len(item) == 2 and item[0] == "vcpu_avail")
    ]
