"""One socket to xenstored: many requests under way at once, matched to their answers by id.

The socket is read as fast as data arrive, whatever the consumers of watches do: xenstored writes
to its clients in its only thread, so a client that stops reading holds up the whole host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from xend.errors import XenStoreError, XenStoreUnavailable
from xend.store import wire
from xend.store.wire import Op
from xend.trace import mark

EventSink = Callable[[str, str], None]
"""(path, token) of a watch event."""
LossSink = Callable[["Connection"], None]
"""Called once, before anybody else learns that the connection is lost."""


class ConnectionLost(XenStoreUnavailable):
    """The connection broke.  `sent` tells whether xenstored may have carried out the request."""

    def __init__(self, socket: str, reason: str, *, sent: bool) -> None:
        super().__init__(
            f"xenstored on {socket}: {reason}" + ("; it may have been carried out" if sent else ""),
            path=socket,
            reason=reason,
        )
        self.sent = sent


@dataclass(slots=True)
class _Pending:
    op: Op
    path: str
    sent_at: float
    answer: asyncio.Future[bytes] | None
    """None when nobody waits."""
    orphan: Callable[[bytes], None] | None = None
    """Undoes a request whose caller was cancelled before the answer came."""


class Connection(asyncio.Protocol):
    """`timeout`: seconds without an answer after which xenstored counts as hung, and the
    connection as lost."""

    def __init__(
        self,
        socket: str,
        on_event: EventSink,
        on_lost: Callable[[Connection], None],
        timeout: float,
    ) -> None:
        self.socket = socket
        self.lost = asyncio.Event()
        self.reason = "the connection is closed"
        self._loop = asyncio.get_running_loop()
        self._on_event = on_event
        self._on_lost = on_lost
        self._timeout = timeout
        self._decoder = wire.Decoder()
        self._ids = wire.RequestIds()
        self._pending: dict[int, _Pending] = {}
        self._transport: asyncio.WriteTransport | None = None
        self._watchdog: asyncio.TimerHandle | None = None

    # -- asyncio.Protocol --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for packet in self._decoder.feed(data):
                self._dispatch(packet)
        except wire.WireError as error:
            self.abort(f"it does not speak the XenStore protocol: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._transport = None
            self.reason = f"the connection broke ({exc or 'closed by xenstored'})"
        self._lose()

    # -- requests ----------------------------------------------------------------------------

    async def request(
        self,
        op: Op,
        payload: bytes,
        *,
        path: str = "",
        transaction: int = 0,
        orphan: Callable[[bytes], None] | None = None,
    ) -> bytes:
        """The answer's payload.  Raises the XenStoreError that xenstored answered, or
        ConnectionLost.

        When the caller is cancelled the answer is dropped when it comes; if it was a success,
        `orphan` is called with it.
        """
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._send(_Pending(op, path, self._loop.time(), answer, orphan), payload, transaction)
        try:
            return await answer
        except asyncio.CancelledError:
            # The cancellation may come between the answer's arrival and our waking up.
            arrived = answer.done() and not answer.cancelled()
            if arrived and answer.exception() is None and orphan is not None:
                orphan(answer.result())
            raise

    def post(self, op: Op, payload: bytes, *, transaction: int = 0) -> None:
        """A request whose answer interests nobody; none is sent when the connection is lost."""
        if self._transport is not None:
            self._send(_Pending(op, "", self._loop.time(), None), payload, transaction)

    def loss(self) -> ConnectionLost:
        """The error for a request that is not sent because the connection is lost."""
        return ConnectionLost(self.socket, self.reason, sent=False)

    def abort(self, reason: str) -> None:
        """Drops the connection at once; whoever waits gets ConnectionLost."""
        if self._transport is not None:
            self.reason = reason
            transport, self._transport = self._transport, None
            transport.abort()

    # ----------------------------------------------------------------------------------------

    def _send(self, pending: _Pending, payload: bytes, transaction: int) -> None:
        mark(pending.op.name, pending.path)
        number = self._ids.take(self._pending)
        packet = wire.encode(
            pending.op, number, payload, transaction=transaction, path=pending.path
        )
        if self._transport is None:
            raise self.loss()
        self._pending[number] = pending
        self._transport.write(packet)
        if self._watchdog is None:
            self._watchdog = self._loop.call_later(self._timeout, self._check_age)

    def _dispatch(self, packet: wire.Packet) -> None:
        if packet.op is Op.WATCH_EVENT:
            self._on_event(*wire.watch_event(packet.payload))
            return
        pending = self._pending.pop(packet.request, None)
        if pending is None:
            raise wire.WireError(f"an answer to the unknown request {packet.request}")
        if packet.op is Op.ERROR:
            name = wire.error_name(packet.payload)
            _settle(pending, wire.error(pending.op, pending.path, name))
        elif packet.op is pending.op:
            _settle(pending, packet.payload)
        else:
            self._pending[packet.request] = pending
            raise wire.WireError(f"{packet.op.name} as the answer to {pending.op.name}")

    def _check_age(self) -> None:
        """xenstored answers a connection's requests in order, so the first is the oldest."""
        self._watchdog = None
        oldest = next(iter(self._pending.values()), None)
        if oldest is None or self._transport is None:
            return
        left = oldest.sent_at + self._timeout - self._loop.time()
        if left > 0:
            self._watchdog = self._loop.call_later(left, self._check_age)
        else:
            self.abort(f"no answer for {self._timeout:g} s")

    def _lose(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._on_lost(self)
        pending, self._pending = self._pending, {}
        for one in pending.values():
            if one.answer is not None and not one.answer.done():
                one.answer.set_exception(ConnectionLost(self.socket, self.reason, sent=True))
        self.lost.set()


def _settle(pending: _Pending, outcome: bytes | XenStoreError) -> None:
    answer = pending.answer
    if answer is not None and not answer.done():
        if isinstance(outcome, bytes):
            answer.set_result(outcome)
        else:
            answer.set_exception(outcome)
    elif pending.orphan is not None and isinstance(outcome, bytes):
        pending.orphan(outcome)


async def connect(
    socket: str, on_event: EventSink, on_lost: LossSink, timeout: float
) -> Connection:
    """Raises ConnectionLost: nobody listens there, or not to us."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            _, connection = await loop.create_unix_connection(
                lambda: Connection(socket, on_event, on_lost, timeout), socket
            )
    except TimeoutError:
        raise ConnectionLost(
            socket, f"does not accept connections for {timeout:g} s", sent=False
        ) from None
    except OSError as error:
        raise ConnectionLost(socket, error.strerror or str(error), sent=False) from error
    return connection
