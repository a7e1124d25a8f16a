"""The text of a domain file: read with care, decoded as Python 2 did."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NoReturn

from xend.config.xmlex import SourceError
from xend.config.xmlimits import Refused
from xend.config.xmvalues import throw
from xend.errors import ConfigError

MAX_FILE: Final = 1 << 20
"""Bytes of a domain file; real ones have some kilobytes."""

_MAX_SHOWN: Final = 2000
_CODING: Final = re.compile(r"coding[:=][ \t]*([-\w.]+)")
"""In a comment; searched only behind the first #, for a line may be a million of them."""
_KNOWN: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "ascii": "ascii",
    "us-ascii": "ascii",
    "latin-1": "latin-1",
    "latin1": "latin-1",
    "iso-8859-1": "latin-1",
    "iso-8859-15": "iso-8859-15",
    "cp1252": "cp1252",
    "windows-1252": "cp1252",
}


_only: ContextVar[str | None] = ContextVar("only", default=None)


@contextmanager
def sealed(path: str) -> Iterator[None]:
    """For a file from elsewhere: while it runs it may read nothing of this host but itself."""
    token = _only.set(path)
    try:
        yield
    finally:
        _only.reset(token)


def is_sealed() -> bool:
    return _only.get() is not None


def foreign_name(name: str) -> str:
    """A file's name as a value of the file has it."""
    return os.fsencode(name).decode("latin-1")


class Source:
    """One text to run: Latin-1 characters that stand for its bytes."""

    __slots__ = ("encoding", "name", "text")

    def __init__(self, name: str, text: str, encoding: str) -> None:
        self.name = name
        self.text = text
        self.encoding = encoding

    @staticmethod
    def of_text(text: str, name: str) -> Source:
        """A text that `exec` or `eval` is given."""
        return Source(name, text.replace("\r\n", "\n").replace("\r", "\n"), "utf-8")

    @staticmethod
    def of_file(name: str, cwd: str) -> Source:
        """A program file; `name` as the domain file or the command gives it."""
        return Source._of_bytes(Source.read(name, cwd), name)

    @staticmethod
    def of_content(text: str, name: str) -> Source:
        """A program file that was read as UTF-8, bytes that are none as lone surrogates."""
        _check_size(name, len(text))
        return Source._of_bytes(text.encode("utf-8", "surrogateescape"), foreign_name(name))

    @staticmethod
    def _of_bytes(data: bytes, name: str) -> Source:
        if b"\0" in data:
            raise ConfigError(
                f"{name} is not text: it has a NUL byte",
                file=name,
                line=data.count(b"\n", 0, data.index(b"\0")) + 1,
                expected="a domain file",
            )
        encoding = "utf-8"
        if data.startswith(b"\xef\xbb\xbf"):
            data = data[3:]
        else:
            encoding = _declared_encoding(name, data)
        _check_encoding(name, data, encoding)
        text = data.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
        return Source(name, text, encoding)

    @staticmethod
    def read(name: str, cwd: str) -> bytes:
        """The bytes of a regular file of bearable size; a fifo or device could block for ever."""
        native = os.fsdecode(name.encode("latin-1", "surrogateescape"))
        path = posixpath.join(cwd, native)
        if is_sealed() and path != _only.get():
            throw("IOError", 13, "Permission denied", name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            throw("IOError", error.errno, os.strerror(error.errno or 0), name)
        with open(descriptor, "rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if stat.S_ISDIR(mode):
                throw("IOError", 21, "Is a directory", name)
            if not stat.S_ISREG(mode):
                raise Refused(f"reading {name}, which is not a regular file", "a file")
            data = opened.read(MAX_FILE + 1)
        _check_size(name, len(data))
        return data

    def fail(self, error: SourceError) -> NoReturn:
        """The original's words for a syntax error, with the place in the fields."""
        lines = self.text.split("\n")
        line = lines[error.line - 1] if error.line <= len(lines) else ""
        shown = error.shown
        if shown is None:
            at_end = error.line >= len(lines) and not line
            shown = "" if at_end else (line.lstrip(" \t\f") if error.late else line) + "\n"
        shown = shown[:_MAX_SHOWN]
        raise ConfigError(
            f"Errors were found at line {error.line} while processing {self.name}:\n"
            f"\t{shown.encode('latin-1').decode('utf-8', 'replace')}",
            file=self.name,
            line=error.begins,
            column=error.column,
            value=lines[error.begins - 1].strip() if error.begins <= len(lines) else "",
            reason=error.reason,
        )


def _check_size(name: str, size: int) -> None:
    if size > MAX_FILE:
        raise ConfigError(
            f"{name} is too large: at most {MAX_FILE} bytes are read",
            file=name,
            expected=f"at most {MAX_FILE} bytes",
        )


def _declared_encoding(name: str, data: bytes) -> str:
    """The encoding that a comment in the first two lines declares."""
    for number, line in enumerate(data.split(b"\n", 2)[:2]):
        match = _CODING.search(line.decode("latin-1").partition("#")[2])
        if match:
            found = _KNOWN.get(match.group(1).lower().replace("_", "-"))
            if found is None:
                raise ConfigError(
                    f"{name} declares the unknown encoding {match.group(1)}",
                    file=name,
                    line=number + 1,
                    value=match.group(1),
                    expected=", ".join(sorted(_KNOWN)),
                )
            return found
    return "utf-8"


def _check_encoding(name: str, data: bytes, encoding: str) -> None:
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        line_start = data.rfind(b"\n", 0, error.start) + 1
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{name}:{line}: the byte 0x{data[error.start]:02x} is not {encoding}",
            file=name,
            line=line,
            column=error.start - line_start + 1,
            value=f"\\x{data[error.start]:02x}",
            expected=f"{encoding}, or another encoding declared in the first line: "
            "# -*- coding: latin-1 -*-",
        ) from None
