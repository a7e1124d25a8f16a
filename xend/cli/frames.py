"""The daemon's short way for its own command line: JSON in length-prefixed frames.

A frame is four bytes of length, big endian, then UTF-8 JSON.  A request is
`{"id":N,"method":M,"params":[…]}`; its answer `{"id":N,"result":…}` or
`{"id":N,"fault":[code,text]}`.  Methods, arguments, results and faults are those of XML-RPC.

Scanner and encoder behind the `json` module are used directly: importing the module brings regular
expressions along, which is half of the time that a whole command may take.
"""

from __future__ import annotations

import _socket
from _json import encode_basestring_ascii, make_encoder, make_scanner

from xend.cli.failures import Fault, ProtocolError, Unreachable
from xend.trace import mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CHUNK = 1 << 16
_BATCH = 64
"""Requests sent before an answer is read: together they fit into a socket's buffer."""


class _Context:
    """What the scanner reads its settings from (the attributes of json.JSONDecoder)."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


_scan = make_scanner(_Context())  # type: ignore[arg-type]


def load(text: str) -> Any:
    """The value of a JSON text; ProtocolError when it is none."""
    try:
        value, _end = _scan(text, 0)
    except (StopIteration, ValueError) as error:
        raise ProtocolError(200, "answer is not JSON") from error
    return value


def _refuse(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} is nothing that a call can carry")


_pieces = make_encoder(  # as json.JSONEncoder makes it
    None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, True
)


def dump(value: Any) -> str:
    """JSON of a call's argument: text, numbers, truth, nothing, and lists or maps of them."""
    return "".join(_pieces(value, 0))


class FrameConnection:
    """Calls over one connection, one after the other."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._sock: _socket.socket | None = None
        self._last_id = 0
        self._ahead = b""

    def connect(self) -> None:
        """Unreachable when nobody listens."""
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            sock.connect(self._path)
        except OSError as error:
            sock.close()
            raise Unreachable(error.errno, error.strerror) from error
        self._sock = sock

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
            self._ahead = b""

    def call(self, method: str, params: tuple[Any, ...]) -> Any:
        mark("xm calls", method)
        self._send(self._request(method, params))
        answer = self._receive()
        mark("xm answered", method)
        return _result(answer)

    def call_each(self, method: str, calls: list[tuple[Any, ...]]) -> list[Any]:
        """The results in order; the first fault, once all that was sent has been answered."""
        results: list[Any] = []
        for start in range(0, len(calls), _BATCH):
            batch = calls[start : start + _BATCH]
            self._send(b"".join([self._request(method, params) for params in batch]))
            answers = [self._receive() for _ in batch]
            results += [_result(answer) for answer in answers]
        return results

    def _request(self, method: str, params: tuple[Any, ...]) -> bytes:
        self._last_id += 1
        arguments = ",".join([dump(value) for value in params])
        data = f'{{"id":{self._last_id},"method":"{method}","params":[{arguments}]}}'.encode()
        return len(data).to_bytes(4, "big") + data

    def _send(self, data: bytes) -> None:
        """A kept connection that turns out to be closed is opened anew: nothing was read of it."""
        if self._sock is not None:
            try:
                self._sock.sendall(data)
                return
            except OSError:
                self.close()
        self.connect()
        assert self._sock is not None
        self._sock.sendall(data)

    def _receive(self) -> str:
        """One frame; what came after it stays for the next."""
        sock = self._sock
        assert sock is not None
        data = self._ahead or sock.recv(_CHUNK)
        while len(data) < 4:
            data += self._more(sock)
        size = int.from_bytes(data[:4], "big") + 4
        if len(data) < size:
            parts, have = [data], len(data)
            while have < size:
                part = self._more(sock)
                parts.append(part)
                have += len(part)
            data = b"".join(parts)
        self._ahead = data[size:]
        return data[4:size].decode("utf-8", "surrogateescape")

    def _more(self, sock: _socket.socket) -> bytes:
        part = sock.recv(_CHUNK)
        if not part:
            self.close()
            raise Unreachable(104, "Connection reset by peer")
        return part


def _result(text: str) -> Any:
    answer = load(text)
    if "fault" in answer:
        code, message = answer["fault"]
        raise Fault(code, message)
    return answer["result"]
