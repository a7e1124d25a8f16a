"""The XenStore protocol, without I/O.

A packet is a 16-byte header of four unsigned 32-bit numbers in the host's byte order (operation,
request id, transaction id, payload length) and a payload of at most 4096 bytes.  The answer to a
request repeats its ids; watch events come unasked, with both ids 0.  Source:
xen/include/public/io/xs_wire.h and docs/misc/xenstore.txt of Xen 4.17.

Text is UTF-8 with surrogateescape, so that whatever bytes a guest wrote survive the round trip.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from xend.errors import (
    InvalidArgument,
    XenStoreConflict,
    XenStoreError,
    XenStoreMissing,
    XenStoreQuota,
)

PAYLOAD_MAX: Final = 4096
"""XENSTORE_PAYLOAD_MAX.  xenstored drops the connection of a client that sends more."""

HEADER: Final = struct.Struct("=IIII")
_ID_MAX: Final = 2**32 - 1


class Op(IntEnum):
    """enum xsd_sockmsg_type; the gap is the removed XS_RESTRICT."""

    CONTROL = 0
    DIRECTORY = 1
    READ = 2
    GET_PERMS = 3
    WATCH = 4
    UNWATCH = 5
    TRANSACTION_START = 6
    TRANSACTION_END = 7
    INTRODUCE = 8
    RELEASE = 9
    GET_DOMAIN_PATH = 10
    WRITE = 11
    MKDIR = 12
    RM = 13
    SET_PERMS = 14
    WATCH_EVENT = 15
    ERROR = 16
    IS_DOMAIN_INTRODUCED = 17
    RESUME = 18
    SET_TARGET = 19
    RESET_WATCHES = 21
    DIRECTORY_PART = 22


class WireError(Exception):
    """The stream from xenstored makes no sense: the connection is of no more use.

    Stays between this module and the connection, which closes and reports the loss.
    """


@dataclass(frozen=True, slots=True)
class Packet:
    """One message from xenstored."""

    op: Op
    request: int
    transaction: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """One page of a long directory."""

    generation: bytes
    """Changes whenever the node does: pages of different generations do not belong together."""
    names: bytes
    """NUL-terminated names; their length is also what the next page's offset grows by."""
    last: bool


def encode_text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def decode_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def encode_path(path: str) -> bytes:
    """A NUL inside would end the path early and turn its rest into other fields."""
    data = encode_text(path)
    if 0 in data:
        raise InvalidArgument(
            f"A XenStore path cannot hold a NUL: {path!r}",
            argument="path",
            value=path,
            expected="letters, digits and -/_@",
        )
    return data


def strings(*fields: str) -> bytes:
    """The payload of most requests: every field with a NUL behind it."""
    return b"".join(encode_path(field) + b"\0" for field in fields)


def write_payload(path: str, value: str) -> bytes:
    """WRITE alone has no NUL at its end: the value may be any bytes."""
    return encode_path(path) + b"\0" + encode_text(value)


def encode(op: Op, request: int, payload: bytes, *, transaction: int = 0, path: str = "") -> bytes:
    """One request.  Raises XenStoreQuota when the payload is too long to be sent."""
    if len(payload) > PAYLOAD_MAX:
        raise too_long(op, path, len(payload))
    return HEADER.pack(op, request, transaction, len(payload)) + payload


def too_long(op: Op, path: str, size: int) -> XenStoreQuota:
    verb = op.name.lower()
    return XenStoreQuota(
        f"XenStore {verb} {path}: the request has {size} bytes, XenStore takes at most "
        f"{PAYLOAD_MAX}: store less, or spread it over several nodes",
        errno_name="E2BIG",
        operation=verb,
        path=path,
        limit="payload",
        size=size,
        maximum=PAYLOAD_MAX,
    )


class Decoder:
    """Cuts the byte stream into packets."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of a packet that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yields every packet that `data` completes.  Raises WireError, and then for good."""
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= HEADER.size:
                number, request, transaction, length = HEADER.unpack_from(self._buffer, start)
                if length > PAYLOAD_MAX:
                    raise WireError(f"a packet of {length} bytes")
                end = start + HEADER.size + length
                if end > len(self._buffer):
                    break
                payload = bytes(self._buffer[start + HEADER.size : end])
                start = end
                yield Packet(_operation(number), request, transaction, payload)
        finally:
            del self._buffer[:start]


def _operation(number: int) -> Op:
    try:
        return Op(number)
    except ValueError:
        raise WireError(f"a packet of the unknown type {number}") from None


def watch_event(payload: bytes) -> tuple[str, str]:
    """(path, token)."""
    fields = payload.split(b"\0")
    # Newer versions may append fields.
    if len(fields) < 3:
        raise WireError(f"a watch event of {len(fields) - 1} fields")
    return decode_text(fields[0]), decode_text(fields[1])


def names(payload: bytes) -> list[str]:
    """NUL-terminated strings: children of a node, or its permissions."""
    return [decode_text(name) for name in payload.split(b"\0") if name]


def directory_part(payload: bytes) -> Part:
    """The last page ends with an empty name (an extra NUL) behind the list."""
    generation, separator, rest = payload.partition(b"\0")
    if not separator:
        raise WireError("a page of a directory without its generation")
    last = rest == b"\0" or rest.endswith(b"\0\0")
    return Part(generation, rest[:-1] if last else rest, last)


def transaction_id(payload: bytes) -> int:
    try:
        number = int(payload.rstrip(b"\0"))
    except ValueError:
        raise WireError(f"a transaction id {payload!r}") from None
    if not 0 < number <= _ID_MAX:
        raise WireError(f"a transaction id {number}")
    return number


class RequestIds:
    """Numbers for requests: 1 to 2**32-1 and round again, never one that is still in use.

    0 is left out because watch events carry it.
    """

    def __init__(self, first: int = 1) -> None:
        self._next = first

    def take(self, in_use: Container[int]) -> int:
        while True:
            number = self._next
            self._next = number + 1 if number < _ID_MAX else 1
            if number not in in_use:
                return number


_QUOTAS: Final = {
    "ENOSPC": ("domain", "nodes, transactions or the size of a node of its domain"),
    "EDQUOT": ("domain", "a quota of its domain"),
    "E2BIG": ("size", "the size of a message or the number of watches"),
}


def error(op: Op, path: str, errno_name: str) -> XenStoreError:
    """The exception for an ERROR answer.

    XenStoreQuota says in `limit` which kind was hit: `domain` (a quota xenstored keeps per
    domain), `size` (refused by xenstored), `payload` (refused here, before it was sent).
    """
    verb = op.name.lower()
    if errno_name == "ENOENT":
        return XenStoreMissing(operation=verb, path=path, errno_name=errno_name)
    if errno_name == "EAGAIN":
        return XenStoreConflict(operation=verb, path=path, errno_name=errno_name)
    if errno_name in _QUOTAS:
        limit, what = _QUOTAS[errno_name]
        return XenStoreQuota(
            f"XenStore {verb} {path}: {errno_name}, xenstored limits {what}",
            operation=verb,
            path=path,
            errno_name=errno_name,
            limit=limit,
        )
    return XenStoreError(
        f"XenStore {verb} {path}: {errno_name}{_meaning(errno_name)}",
        operation=verb,
        path=path,
        errno_name=errno_name,
    )


def _meaning(errno_name: str) -> str:
    number = getattr(errno, errno_name, None) if errno_name.isidentifier() else None
    return f" ({os.strerror(number)})" if isinstance(number, int) else ""


def error_name(payload: bytes) -> str:
    """The name in an ERROR answer, e.g. ENOENT; anything unreadable counts as EIO."""
    name = payload.rstrip(b"\0").decode("ascii", "replace")
    return name if name.isascii() and name.isalnum() and name.startswith("E") else "EIO"
