"""The open files of a domain file: its output streams, and files it reads."""

from __future__ import annotations

from typing import TextIO

from xend.config.xmlimits import Meter
from xend.config.xmmachine import Arguments


def shown(value: str) -> str:
    """Latin-1 text of a domain file, whose characters are bytes, as text for people."""
    return value.encode("latin-1", "replace").decode("utf-8", "replace")


def utf8(value: str) -> str:
    """A unicode as the Latin-1 text that stands for its bytes in UTF-8."""
    return str(value).encode("utf-8", "surrogatepass").decode("latin-1")


class OutputStream:
    """Where `print` writes; remembers whether a blank is due before the next item."""

    type_name = "file"
    methods = frozenset(("write", "flush"))

    def __init__(self, target: TextIO) -> None:
        self.target = target
        self.blank_due = False

    def print_item(self, value: str) -> None:
        self.target.write((" " if self.blank_due else "") + shown(value))
        self.blank_due = not value.endswith(("\n", "\t"))

    def end_line(self) -> None:
        self.target.write("\n")
        self.blank_due = False

    def call(self, name: str, given: Arguments) -> object:
        """One of the methods of a file."""
        if name == "write":
            if len(given) != 1 or not isinstance(given[0], str):
                raise TypeError("expected a character buffer object")
            self.target.write(shown(str(given[0])))
            self.blank_due = False
        return None


class InputFile:
    """A file opened for reading; all of it is at hand already."""

    type_name = "file"
    methods = frozenset(("read", "readline", "readlines", "close"))

    def __init__(self, data: bytes, meter: Meter) -> None:
        self.text = data.decode("latin-1")
        self.meter = meter
        self.position = 0

    def read(self) -> str:
        rest = self.text[self.position :]
        self.meter.grow(len(rest))
        self.position = len(self.text)
        return rest

    def line(self) -> str:
        end = self.text.find("\n", self.position) + 1 or len(self.text)
        found = self.text[self.position : end]
        self.position = end
        return found

    def lines(self) -> list[object]:
        return [*self.read().splitlines(keepends=True)]

    def call(self, name: str, given: Arguments) -> object:
        """One of the methods of a file."""
        if name == "read":
            size = given[0] if given else None
            if isinstance(size, int) and size >= 0:
                found = self.text[self.position : self.position + size]
                self.position += len(found)
                return found
            return self.read()
        if name == "readline":
            return self.line()
        return self.lines() if name == "readlines" else None
