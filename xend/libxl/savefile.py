"""The head of a save file, as `xl save` writes it, so that `xl restore` reads ours and we its.

    32 bytes  "Xen saved domain, xl format\\n \\0 \\r", padded with NUL
    u32       byte order mark 0x01020304
    u32       mandatory flags: 1 = the configuration is JSON, 2 = the stream is version 2
    u32       optional flags
    u32       length of the optional data: u32 length, then the configuration with its NUL
    …         libxl's migration stream

(tools/xl/xl.h of Xen; integers are in the host's order.)  Imported by worker processes.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from xend.core import oldimage

MAGIC = b"Xen saved domain, xl format\n \0 \r"
HEADER = struct.Struct("=32sIIII")
BYTE_ORDER = 0x01020304
STREAM_IDENT = b"LibxlFmt"
STREAM_HEADER = 16
"""Bytes: the ident, then version and options (docs/specs/libxl-migration-stream.pandoc)."""
FLAG_JSON, FLAG_STREAM_V2 = 1, 2
_LIMIT = 16 * 1024 * 1024
"""More than any configuration; a longer one means that the file is damaged."""


NOT_VALID = "not a valid guest state file"
"""The original's words (XendCheckpoint.restore), as are those after them."""


class BadSaveFile(Exception):
    """The text says what is wrong with it."""


def pack(config_json: str) -> bytes:
    """Everything before libxl's stream."""
    config = config_json.encode("utf-8", "surrogateescape") + b"\0"
    optional = struct.pack("=I", len(config)) + config
    flags = FLAG_JSON | FLAG_STREAM_V2
    return HEADER.pack(MAGIC, BYTE_ORDER, flags, 0, len(optional)) + optional


def read(stream: BinaryIO) -> tuple[str, int]:
    """(configuration, version of the stream); leaves `stream` (unbuffered) at libxl's stream."""
    head = stream.read(HEADER.size)
    old = oldimage.reason(str(getattr(stream, "name", "FILE")), head)
    if old:
        raise BadSaveFile(old)
    if len(head) < HEADER.size:
        raise BadSaveFile(f"{NOT_VALID}: signature read")
    magic, order, mandatory, _, length = HEADER.unpack(head)
    if magic != MAGIC.ljust(32, b"\0"):
        raise BadSaveFile(f"{NOT_VALID}: found {magic[:16].decode('latin-1')!r}")
    if order != BYTE_ORDER:
        raise BadSaveFile("it was saved on a machine of the other byte order")
    if mandatory & ~(FLAG_JSON | FLAG_STREAM_V2):
        raise BadSaveFile(f"it needs features {mandatory:#x} that are not known here")
    if not mandatory & FLAG_JSON or not 4 < length <= _LIMIT:
        raise BadSaveFile("it holds no configuration in JSON")
    optional = stream.read(length)
    size = struct.unpack_from("=I", optional)[0] if len(optional) == length else 0
    if not 0 < size <= length - 4:
        raise BadSaveFile(f"{NOT_VALID}: config read")
    config = optional[4 : 4 + size].split(b"\0", 1)[0]
    version = 2 if mandatory & FLAG_STREAM_V2 else 1
    if version == 2:
        _check_stream(stream)
    return config.decode("utf-8", "surrogateescape"), version


def _check_stream(stream: BinaryIO) -> None:
    """libxl 4.17 dies of a stream that ends before its header is complete (SIGSEGV)."""
    begins = stream.tell()
    head = stream.read(STREAM_HEADER)
    stream.seek(begins)
    if len(head) < STREAM_HEADER or not head.startswith(STREAM_IDENT):
        raise BadSaveFile(f"{NOT_VALID}: stream header read")
