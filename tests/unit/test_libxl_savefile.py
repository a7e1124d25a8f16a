"""The head of save files, byte by byte."""

from __future__ import annotations

import io
import struct

import pytest

from xend.libxl import savefile


def test_the_layout_is_xls() -> None:
    head = savefile.pack('{"a":1}')
    assert head[:32] == b"Xen saved domain, xl format\n \0 \r".ljust(32, b"\0")
    assert struct.unpack_from("=IIII", head, 32) == (0x01020304, 3, 0, 4 + 8)
    assert head[48:] == struct.pack("=I", 8) + b'{"a":1}\0'


@pytest.mark.parametrize("config", ["{}", '{"c_info": {"name": "äöü"}}', "{" + " " * 5000 + "}"])
def test_it_reads_what_it_writes_and_stops_at_the_stream(config: str) -> None:
    libxls = b"LibxlFmt" + bytes(8) + b"and so on"
    stream = io.BytesIO(savefile.pack(config) + libxls)
    assert savefile.read(stream) == (config, 2)
    assert stream.read() == libxls


def good() -> bytearray:
    return bytearray(savefile.pack("{}"))


def changed(offset: int, value: int) -> bytes:
    head = good()
    struct.pack_into("=I", head, offset, value)
    return bytes(head)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "signature read$"),
        (b"x" * 100, "not a valid guest state file: found 'x{16}'$"),
        (b"LinuxGuestRecord", "xend of Xen 4.4 or older.* then start it here$"),
        (b"LinuxGuestRecord" + bytes(100), "xend of Xen 4.4 or older"),
        (
            b"LinuxGuestRecord\0\0\1\2(domain (domid 7)" + bytes(100),
            r"tail -c \+21 FILE \| head -c 258 > domain.sxp; xm create -F domain.sxp$",
        ),
        (changed(32, 0x04030201), "byte order"),
        (changed(36, 7), "features 0x7"),
        (changed(36, 2), "no configuration"),
        (changed(44, 2**31), "no configuration"),
        (changed(48, 2**20), "config read$"),
        (bytes(good()[:50]), "config read$"),
        (bytes(good()), "stream header read$"),
        (bytes(good()) + b"LibxlFmt" + bytes(7), "stream header read$"),
        (bytes(good()) + b"LibXenFm" + bytes(100), "stream header read$"),
    ],
)
def test_damaged_files_are_told_apart(data: bytes, reason: str) -> None:
    with pytest.raises(savefile.BadSaveFile, match=reason):
        savefile.read(io.BytesIO(data))
