"""One connection to an XML-RPC server: HTTP over a Unix socket, TCP, TLS or `ssh HOST xm serve`."""

from __future__ import annotations

import _socket

from xend.cli.failures import Fault, ProtocolError, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_HEADERS = (
    "Accept-Encoding: gzip\r\n"
    "User-Agent: xmlrpclib.py/1.0.1 (by www.pythonware.com)\r\n"
    "Content-Type: text/xml\r\n"
)
_CHUNK = 65536
_MAX_HEAD = 1 << 16


class ConnectionLost(Unreachable):
    """The peer closed, or was gone; `sent` tells whether it may have seen the request."""

    def __init__(self, errno: int, reason: str, *, sent: bool) -> None:
        super().__init__(errno, reason)
        self.sent = sent


class Channel:
    """Bytes to and from the server, however it is reached."""

    def __init__(
        self,
        send: Callable[[bytes], object],
        receive: Callable[[int], bytes],
        close: Callable[[], object],
        fileno: int,
    ) -> None:
        self.send = send
        self.receive = receive
        self.close = close
        self.fileno = fileno
        """To wait for what is to be received."""


class HttpConnection:
    """Posts bodies and returns the answers' bodies; stays open between two posts."""

    def __init__(self, connect: Callable[[], Channel], host: str, path: str) -> None:
        self._connect = connect
        self._head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{_HEADERS}"
        self._channel: Channel | None = None
        self._buffer = b""

    def post(self, body: bytes) -> bytes:
        """Once more on a new connection when the kept one turns out to be closed already."""
        kept = self._channel is not None
        try:
            return self._post(body)
        except ConnectionLost as error:
            if not kept or error.sent:
                raise
            return self._post(body)

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _post(self, body: bytes) -> bytes:
        if self._channel is None:
            self._channel = self._connect()
            self._buffer = b""
        head = f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode()
        try:
            self._channel.send(head + body)
        except OSError as error:
            self.close()
            raise ConnectionLost(error.errno or 0, error.strerror or "", sent=False) from error
        try:
            return self._answer()
        except OSError as error:
            self.close()
            if isinstance(error, ConnectionLost):
                raise
            raise ConnectionLost(error.errno or 0, error.strerror or "", sent=True) from error

    def _answer(self) -> bytes:
        status, reason, headers = self._read_head()
        body = self._read_body(headers)
        if headers.get("connection", "").lower() == "close":
            self.close()
        if status != 200:
            raise ProtocolError(status, reason)
        if headers.get("content-encoding") == "gzip":
            import zlib

            return zlib.decompress(body, 31)
        return body

    def _more(self) -> bool:
        assert self._channel is not None
        data = self._channel.receive(_CHUNK)
        self._buffer += data
        return bool(data)

    def _read_head(self) -> tuple[int, str, dict[str, str]]:
        while b"\r\n\r\n" not in self._buffer and b"\n\n" not in self._buffer:
            if len(self._buffer) > _MAX_HEAD:
                raise ProtocolError(-1, "")
            if not self._more():
                if not self._buffer:
                    raise ConnectionLost(104, "Connection reset by peer", sent=True)
                raise ProtocolError(-1, "")
        end = b"\r\n\r\n" if b"\r\n\r\n" in self._buffer else b"\n\n"
        head, self._buffer = self._buffer.split(end, 1)
        first, *lines = head.decode("latin-1").splitlines()
        version, _, rest = first.partition(" ")
        number, _, reason = rest.partition(" ")
        if not version.startswith("HTTP/") or not number.isdigit():
            raise ProtocolError(-1, "")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if version == "HTTP/1.0":
            headers.setdefault("connection", "close")
        return int(number), reason, headers

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._read_chunks()
        length = headers.get("content-length", "")
        if length.isdigit():
            return self._take(int(length))
        while self._more():
            pass
        body, self._buffer = self._buffer, b""
        self.close()
        return body

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._more():
                raise ConnectionLost(104, "Connection reset by peer", sent=True)
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return body

    def _read_chunks(self) -> bytes:
        parts: list[bytes] = []
        while True:
            while b"\r\n" not in self._buffer:
                if not self._more():
                    raise ConnectionLost(104, "Connection reset by peer", sent=True)
            line, self._buffer = self._buffer.split(b"\r\n", 1)
            size = int(line.split(b";")[0], 16)
            part = self._take(size + 2)[:size]
            if not size:
                return b"".join(parts)
            parts.append(part)


def open_uri(uri: str) -> HttpConnection:
    """The connection that an XM_SERVER value describes; ValueError when it describes none."""
    scheme, _, rest = uri.partition(":")
    if scheme == "ssh":
        return _over_ssh(rest, uri)
    if scheme not in ("httpu", "http", "https"):
        raise ValueError(f"unsupported XML-RPC protocol in '{uri}': use httpu, http, https or ssh")
    if not rest.startswith("//"):
        raise ValueError(f"Invalid URL '{uri}'")
    if scheme == "httpu":
        path = rest[2:]
        return HttpConnection(lambda: unix_channel(path), path, "/RPC2")
    host, slash, path = rest[2:].partition("/")
    secure = scheme == "https"
    return HttpConnection(lambda: _tcp_channel(host, secure), host, slash + path or "/RPC2")


def unix_channel(path: str) -> Channel:
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        raise Unreachable(error.errno, error.strerror) from error
    return Channel(sock.sendall, sock.recv, sock.close, sock.fileno())


def _tcp_channel(host: str, secure: bool) -> Channel:
    import socket  # the whole library: for names, two address families, and TLS

    name, _, port = host.partition(":")
    try:
        sock = socket.create_connection((name, int(port or (443 if secure else 80))))
        if secure:
            sock = _with_tls(sock)
    except OSError as error:
        raise Unreachable(error.errno, error.strerror or str(error)) from error
    return Channel(sock.sendall, sock.recv, sock.close, sock.fileno())


def _with_tls(sock: socket.socket) -> socket.socket:
    """Not verified, as the original's client did not: each daemon has a certificate of its own."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock)


def _over_ssh(rest: str, uri: str) -> HttpConnection:
    if not rest.startswith("//"):
        raise ValueError(f"Invalid ssh URL '{uri}'")
    place, _, path = rest[2:].partition("/")
    user, at, host = place.rpartition("@")
    if not at:
        import getpass

        user = getpass.getuser()
    return HttpConnection(lambda: _ssh_channel(user, host), host, "/" + (path or "RPC2"))


def _ssh_channel(user: str, host: str) -> Channel:
    import subprocess

    try:
        child = subprocess.Popen(
            ["ssh", f"{user}@{host}", "xm serve"],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise Fault(0, "ssh executable not found!") from error
    assert child.stdin is not None and child.stdout is not None
    stdin, stdout = child.stdin, child.stdout

    def receive(size: int) -> bytes:
        return stdout.read(size) or b""

    def close() -> None:
        stdin.close()
        stdout.close()
        child.wait()

    return Channel(stdin.write, receive, close, stdout.fileno())
