"""HTTP as xend's clients speak it: uvicorn's h11 protocol with what old clients need.

* They half-close: after the request comes shutdown(SHUT_WR), and then they wait for the answer.
  uvicorn would drop such a connection; here it stays open until all that was asked is answered.
* They speak HTTP/1.0 and do not know chunks: what the protocol says by itself has a length.
* A request that does not arrive completely within REQUEST_SECONDS is answered 408.

WebSockets (RFC 6455) are for faces that want them; what they need is imported with the first one.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import logging
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from xend.api.asgi import TEXT, App
from xend.api.peer import peer_of

REQUEST_SECONDS = 60.0
"""For a request to arrive, head and body, from its first byte on."""
IDLE_SECONDS = 300
"""For a connection before its first request, and between two."""
STALL_SECONDS = 120.0
"""For a client to take something of an answer that is larger than the buffers between."""
GRACE_SECONDS = 5
"""For requests under way when a listener is closed."""
MAX_HEAD = 64 * 1024
"""Bytes of request line and headers together."""
MAX_TARGET = 16 * 1024
"""Bytes of the address in the request line."""
MAX_HEADERS = 200
MAX_CONNECTIONS = 2000
"""Of one listener, and of one address to it; what comes beyond is closed at once, so that nobody
can use up the daemon's file descriptors.  Root and the daemon's own user are not counted."""
MAX_FROM_ONE = 500
MAX_WEBSOCKET_MESSAGE = 1024 * 1024
"""Bytes of a message that a client sends."""

log = logging.getLogger(__name__)

_OURS: Final = frozenset({0, os.geteuid()})


class StrictConnection(h11.Connection):
    """h11's parser, which also refuses what two parsers may understand differently (a body with
    two lengths: RFC 9112 §6.1), and heads that are too large although they came at once.

    `refusal` has the status and the words for what was refused last.
    """

    refusal: tuple[int, str] = (400, "The request is not HTTP")

    def next_event(self) -> Any:
        try:
            event = super().next_event()
            return self._checked(event) if isinstance(event, h11.Request) else event
        except h11.RemoteProtocolError as error:
            self.refusal = (error.error_status_hint, f"The request is refused: {error}")
            raise

    def _checked(self, request: h11.Request) -> h11.Request:
        names = [name for name, _value in request.headers]
        if b"content-length" in names and b"transfer-encoding" in names:
            raise h11.RemoteProtocolError("both Content-Length and Transfer-Encoding")
        if len(request.target) > MAX_TARGET:
            raise h11.RemoteProtocolError(f"an address of more than {MAX_TARGET} bytes", 414)
        size = sum(len(name) + len(value) + 4 for name, value in request.headers)
        if size > MAX_HEAD or len(names) > MAX_HEADERS:
            raise h11.RemoteProtocolError(
                f"headers of more than {MAX_HEAD} bytes, or more than {MAX_HEADERS}", 431
            )
        return _without_authority(request)


def _without_authority(request: h11.Request) -> h11.Request:
    """The absolute form, which a server must accept (RFC 9112 §3.2.2)."""
    if not request.target.lower().startswith((b"http://", b"https://")):
        return request
    rest = request.target.split(b"/", 3)
    target = b"/" + (rest[3] if len(rest) > 3 else b"")
    return h11.Request(
        method=request.method,
        headers=request.headers,
        target=target,
        http_version=request.http_version,
    )


class FaceProtocol(H11Protocol):
    """One connection.  Puts into the scope's state `peer` (xend.api.peer.Peer or None) and
    `certificate` (DER of the client's, which TLS has verified, or None)."""

    request_seconds = REQUEST_SECONDS
    idle_seconds: float = IDLE_SECONDS
    stall_seconds = STALL_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = StrictConnection(h11.SERVER, MAX_HEAD)
        self._half_closed = False
        self._upgraded = False
        self._request_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._begun = False
        """Whether a byte ever came."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        tls = transport.get_extra_info("ssl_object")
        peer = peer_of(sock) if sock is not None else None
        if (peer is None or peer.uid not in _OURS) and self._too_many():
            transport.close()
            return
        self._begin_timer(self.idle_seconds, self._nothing_came)
        self.app_state = {
            **self.app_state,
            "peer": peer,
            "certificate": tls.getpeercert(binary_form=True) if tls is not None else None,
        }

    def data_received(self, data: bytes) -> None:
        if not self._answering() and (self._request_timer is None or not self._begun):
            self._begun = True
            self._begin_timer(self.request_seconds, self._too_slow)
        super().data_received(data)
        if self._upgraded or (self._answering() and not self.cycle.more_body):
            self._stop_timer()

    def eof_received(self) -> bool:  # type: ignore[override]
        """True keeps the connection open for the answer (asyncio.Protocol.eof_received)."""
        if self.scheme == "https":
            return False  # TLS has no half-close in asyncio
        self._half_closed = True
        if self._answering():
            if not self.cycle.more_body:
                return True
            self._refuse(400, "The request ended before its body was complete")
        elif self.conn.trailing_data[0]:
            self._refuse(400, "The request ended within its headers")
        return False

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer = self.loop.call_later(self.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_stall_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_stall_timer()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._half_closed and not self._answering():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        self._refuse(*cast("StrictConnection", self.conn).refusal)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """From here on it is another protocol's connection: it may last for days."""
        self._stop_timer()
        self._stop_stall_timer()
        super().handle_websocket_upgrade(event)
        self._upgraded = True

    def _answering(self) -> bool:
        cycle: Any = self.cycle  # uvicorn's annotation does not say that it begins as None
        return cycle is not None and not cycle.response_complete

    def _too_many(self) -> bool:
        if len(self.connections) <= MAX_FROM_ONE:
            return False
        mine = _host(self)
        same = sum(_host(each) == mine for each in self.connections)
        return same > MAX_FROM_ONE or len(self.connections) > MAX_CONNECTIONS

    def _begin_timer(self, seconds: float, expired: Callable[[], None]) -> None:
        self._stop_timer()
        self._request_timer = self.loop.call_later(seconds, expired)

    def _nothing_came(self) -> None:
        self._request_timer = None
        self.transport.close()

    def _too_slow(self) -> None:
        self._request_timer = None
        self._refuse(408, f"The request did not arrive within {self.request_seconds:g} seconds")

    def _stop_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def refusal(self, status: int, text: str) -> tuple[bytes, bytes]:
        """(content type, body) of what the protocol refuses by itself."""
        return TEXT, f"{text}\n".encode()

    def _refuse(self, status: int, text: str) -> None:
        """Answers without the application, which sees the client go away; then closes."""
        self._stop_timer()
        if self._answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            content_type, body = self.refusal(status, text)
            head = h11.Response(
                status_code=status,
                headers=[
                    (b"content-type", content_type),
                    (b"content-length", b"%d" % len(body)),
                    (b"connection", b"close"),
                ],
                reason=http.HTTPStatus(status).phrase.encode(),
            )
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def _host(connection: object) -> str:
    """Of a connection of uvicorn's; empty on a Unix socket."""
    client: tuple[str, int] | None = getattr(connection, "client", None)
    return client[0] if client else ""


class ProblemProtocol(FaceProtocol):
    """Refuses with problem documents (RFC 9457), as the application behind it does."""

    def refusal(self, status: int, text: str) -> tuple[bytes, bytes]:
        phrase = http.HTTPStatus(status).phrase
        code = "http." + phrase.lower().replace(" ", "-")
        document = {
            "type": f"urn:xend:error:{code}",
            "title": phrase,
            "status": status,
            "detail": text,
            "code": code,
        }
        return b"application/problem+json", json.dumps(document).encode()


def websocket_protocol(**arguments: Any) -> asyncio.Protocol:
    """One WebSocket, by uvicorn's sans-IO protocol; imported late, most hosts never need it."""
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    protocol = WebSocketsSansIOProtocol(**arguments)
    # Its line about each connection would have the query string, so perhaps a secret, in it.
    protocol.logger = logging.getLogger("xend.websocket")
    protocol.logger.setLevel(logging.WARNING)
    return protocol


class FaceServer(uvicorn.Server):
    """Serves one application on sockets that are already listening.

    Unlike its base it leaves signals alone, and sleeps until it is stopped instead of waking ten
    times a second: a management daemon should cost nothing while nobody asks.
    """

    def __init__(
        self,
        app: App,
        *,
        protocol: type[FaceProtocol] = FaceProtocol,
        tls: ssl.SSLContext | None = None,
        grace: float = GRACE_SECONDS,
        websockets: bool = False,
    ) -> None:
        config = uvicorn.Config(
            app,
            http=protocol,
            # uvicorn only calls it, so a function that imports late will do.
            ws=cast("type[asyncio.Protocol]", websocket_protocol) if websockets else "none",
            ws_max_size=MAX_WEBSOCKET_MESSAGE,
            ws_per_message_deflate=False,
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            headers=[("server", "xend")],
            timeout_keep_alive=IDLE_SECONDS,
            h11_max_incomplete_event_size=MAX_HEAD,
        )
        config.load()
        config.ssl = tls
        super().__init__(config)
        self._grace = grace
        self._stopped = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)  # sets the default headers
        await self._stopped.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answers what is under way, cuts off what is not done in time; polls for nothing."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        tasks = self.server_state.tasks
        if tasks:
            _done, late = await asyncio.wait(tasks, timeout=self._grace)
            for task in late:
                task.cancel()
            if late:
                log.warning("%d requests were cut off", len(late))
                await asyncio.wait(late)
        for connection in list(self.server_state.connections):
            # Python 3.11.2 (of Debian 12) cannot abort a TLS connection that was closed twice.
            with contextlib.suppress(AttributeError):
                connection.transport.abort()
        for server in self.servers:
            await server.wait_closed()

    def stop(self) -> None:
        """No new connections; `serve` returns when those under way are answered or cut off."""
        self.should_exit = True
        self._stopped.set()

    async def serve(self, sockets: Sequence[socket.socket] | None = None) -> None:
        await super().serve(list(sockets or ()))
