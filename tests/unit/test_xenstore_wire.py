"""The protocol without a socket."""

from __future__ import annotations

import pytest

from xend.errors import (
    InvalidArgument,
    XenStoreConflict,
    XenStoreError,
    XenStoreMissing,
    XenStoreQuota,
)
from xend.store import wire
from xend.store.wire import Decoder, Op, Packet, RequestIds, WireError


def packet(op: int, request: int, payload: bytes) -> bytes:
    return wire.HEADER.pack(op, request, 0, len(payload)) + payload


def test_a_request_on_the_wire() -> None:
    """As xs_wire.h lays it out, on a little-endian host."""
    data = wire.encode(Op.READ, 7, wire.strings("/a"), transaction=9)
    assert data == (
        b"\x02\x00\x00\x00" b"\x07\x00\x00\x00" b"\x09\x00\x00\x00" b"\x03\x00\x00\x00" b"/a\0"
    )  # fmt: skip


def test_a_write_has_no_nul_behind_its_value() -> None:
    assert wire.write_payload("/a", "v\0w") == b"/a\0v\0w"


def test_the_numbers_of_the_operations() -> None:
    """As the enum of xs_wire.h counts them."""
    assert [op.value for op in Op] == [*range(20), 21, 22]
    assert (Op.READ, Op.WATCH, Op.WRITE, Op.WATCH_EVENT, Op.ERROR) == (2, 4, 11, 15, 16)
    assert (Op.SET_TARGET, Op.RESET_WATCHES, Op.DIRECTORY_PART) == (19, 21, 22)


def test_a_payload_of_4096_bytes_goes_and_one_more_does_not() -> None:
    assert len(wire.encode(Op.WRITE, 1, b"x" * 4096)) == 4096 + 16
    with pytest.raises(XenStoreQuota) as caught:
        wire.encode(Op.WRITE, 1, b"x" * 4097, path="/a")
    assert caught.value.fields == {
        "errno_name": "E2BIG",
        "operation": "write",
        "path": "/a",
        "limit": "payload",
        "size": 4097,
        "maximum": 4096,
    }
    assert "/a" in str(caught.value)
    assert "4097" in str(caught.value)


def test_a_nul_in_a_path() -> None:
    with pytest.raises(InvalidArgument, match="NUL"):
        wire.strings("/a\0/b")


@pytest.mark.parametrize("size", [1, 3, 15, 16, 17, 1000])
def test_packets_in_pieces(size: int) -> None:
    stream = b"".join(packet(Op.READ, number, b"v" * number) for number in range(1, 30))
    decoder = Decoder()
    found = [
        one
        for start in range(0, len(stream), size)
        for one in decoder.feed(stream[start : start + size])
    ]
    assert found == [Packet(Op.READ, number, 0, b"v" * number) for number in range(1, 30)]
    assert decoder.pending == 0


def test_what_is_no_packet() -> None:
    with pytest.raises(WireError, match="4097 bytes"):
        list(Decoder().feed(wire.HEADER.pack(Op.READ, 1, 0, 4097)))
    with pytest.raises(WireError, match="type 20"):
        list(Decoder().feed(packet(20, 1, b"")))


def test_a_good_packet_before_a_bad_one_is_delivered() -> None:
    feed = Decoder().feed(packet(Op.READ, 1, b"v") + packet(99, 1, b""))
    assert next(feed).payload == b"v"
    with pytest.raises(WireError):
        next(feed)


def test_watch_events() -> None:
    assert wire.watch_event(b"/a/b\0token\0") == ("/a/b", "token")
    assert wire.watch_event(b"/a/b\0token\0more\0") == ("/a/b", "token")
    with pytest.raises(WireError):
        wire.watch_event(b"/a/b\0")


def test_pages_of_a_directory() -> None:
    assert wire.directory_part(b"12\0a\0bc\0") == wire.Part(b"12", b"a\0bc\0", last=False)
    assert wire.directory_part(b"12\0a\0bc\0\0") == wire.Part(b"12", b"a\0bc\0", last=True)
    assert wire.directory_part(b"12\0\0") == wire.Part(b"12", b"", last=True)
    with pytest.raises(WireError):
        wire.directory_part(b"12")


def test_transaction_ids() -> None:
    assert wire.transaction_id(b"4294967295\0") == 2**32 - 1
    for bad in (b"", b"x\0", b"0\0", b"-1\0", b"4294967296\0"):
        with pytest.raises(WireError):
            wire.transaction_id(bad)


def test_request_ids_wrap_and_leave_out_0_and_those_in_use() -> None:
    ids = RequestIds(2**32 - 2)
    in_use = {1, 2}
    assert [ids.take(in_use) for _ in range(4)] == [2**32 - 2, 2**32 - 1, 3, 4]


@pytest.mark.parametrize(
    ("errno_name", "kind", "limit"),
    [
        ("ENOENT", XenStoreMissing, None),
        ("EAGAIN", XenStoreConflict, None),
        ("ENOSPC", XenStoreQuota, "domain"),
        ("EDQUOT", XenStoreQuota, "domain"),
        ("E2BIG", XenStoreQuota, "size"),
        ("EACCES", XenStoreError, None),
        ("EINVAL", XenStoreError, None),
        ("ENOSUCHNAME", XenStoreError, None),
    ],
)
def test_names_of_errors(errno_name: str, kind: type[XenStoreError], limit: str | None) -> None:
    error = wire.error(Op.WRITE, "/a", errno_name)
    assert type(error) is kind
    assert error.fields["errno_name"] == errno_name
    assert error.fields["path"] == "/a"
    assert error.fields["operation"] == "write"
    assert error.fields.get("limit") == limit
    assert errno_name in str(error)
    assert "/a" in str(error)


def test_the_meaning_of_an_error_is_in_its_text() -> None:
    assert "Permission denied" in str(wire.error(Op.WRITE, "/a", "EACCES"))


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (b"ENOENT\0", "ENOENT"),
        (b"E2BIG", "E2BIG"),
        (b"", "EIO"),
        (b"\xff\0", "EIO"),
        (b"no", "EIO"),
    ],
)
def test_the_name_in_an_error_answer(payload: bytes, name: str) -> None:
    assert wire.error_name(payload) == name
