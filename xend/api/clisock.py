"""The short way for our own command line: JSON in length-prefixed frames on a Unix socket.

A frame is four bytes of length, big endian, then UTF-8 JSON.  A request is
`{"id": N, "method": M, "params": [...]}`, its answer `{"id": N, "result": ...}` or
`{"id": N, "fault": [code, text]}`.  Methods, arguments and faults are those of XML-RPC; results
are plain: no escapes, integers of any size.  Requests of one connection are answered in order.

There is no HTTP, no XML and no framework here: a listing is to cost what the listing costs.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Sequence
from typing import Any, Final

from xend.api import ownverbs
from xend.api.facts import HostFacts
from xend.api.peer import Peer, peer_of
from xend.api.xmlrpc import faults
from xend.api.xmlrpc.app import unknown
from xend.api.xmlrpc.context import CallContext
from xend.api.xmlrpc.domain_answer import DomainAnswers
from xend.api.xmlrpc.methods import UnknownMethod, call
from xend.core.domains import DomainService
from xend.core.views import Caller
from xend.errors import InvalidArgument, PermissionDenied, XendError
from xend.trace import mark

log = logging.getLogger("xend.clisock")

MAX_FRAME: Final = 1024 * 1024
"""Bytes of a request; answers may be longer."""
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_decode = json.JSONDecoder().decode


class _Connection(asyncio.Protocol):
    def __init__(self, server: CliSocket) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport
        self._context: CallContext
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = peer_of(transport.get_extra_info("socket"))
        if peer is None or not self._server.admits(peer):
            error = PermissionDenied("Only root may use this socket")
            self._send({"id": None, "fault": faults.fault_of(error)})
            transport.close()
            return
        self._context = self._server.context(peer)
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        self._buffer += data
        if self._task is None:
            self._next()
        elif len(self._buffer) > MAX_FRAME:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Stays open while an answer is due."""
        self._ended = True
        return self._task is not None

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        if self._task is not None:
            self._task.cancel()  # the wait for a job ends; the job goes on

    def _next(self) -> None:
        """Begins with the next whole frame, if there is one."""
        buffer = self._buffer
        if len(buffer) >= 4:
            size = int.from_bytes(buffer[:4], "big") + 4
            if size > MAX_FRAME:
                error = InvalidArgument(f"A frame of more than {MAX_FRAME} bytes")
                self._send({"id": None, "fault": faults.fault_of(error)})
                self._transport.close()
                return
            if len(buffer) >= size:
                text = bytes(buffer[4:size]).decode("utf-8", "surrogateescape")
                del buffer[:size]
                self._task = self._server.run(self._answer(text))
                return
        self._task = None
        if self._ended:
            self._transport.close()
        else:
            self._transport.resume_reading()

    async def _answer(self, text: str) -> None:
        number: Any = None
        method = "?"
        try:
            number, method, arguments = _parsed(text)
            mark("request", method)
            run = ownverbs.call if ownverbs.is_own(method) else call
            answer = {"id": number, "result": await run(self._context, method, arguments)}
        except UnknownMethod:
            answer = {"id": number, "result": unknown(method)}
        except XendError as error:
            answer = {"id": number, "fault": faults.fault_of(error)}
        except Exception as error:
            log.exception("Internal error handling %s", method)
            answer = {"id": number, "fault": faults.internal(error)}
        self._send(answer)
        mark("answer", method)
        self._next()

    def _send(self, answer: dict[str, Any]) -> None:
        data = _encode(answer).encode()
        self._transport.write(len(data).to_bytes(4, "big") + data)

    def close(self) -> None:
        self._transport.close()


def _parsed(text: str) -> tuple[Any, str, list[Any]]:
    try:
        request = _decode(text)
    except ValueError as error:
        raise InvalidArgument(f"A request that is not JSON: {error}") from error
    match request:
        case {"method": str(method), "params": list(arguments)}:
            return request.get("id"), method, arguments
    raise InvalidArgument('A request needs "method" (text) and "params" (a list)')


class CliSocket:
    """Serves the socket for root, and for the user that the daemon runs as."""

    def __init__(self, service: DomainService, host: HostFacts, answers: DomainAnswers) -> None:
        self._service = service
        self._host = host
        self._answers = answers
        self._uids = frozenset({0, os.geteuid()})
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections: set[_Connection] = set()

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for sock in sockets:
            self._servers.append(await loop.create_server(lambda: _Connection(self), sock=sock))

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for connection in tuple(self.connections):
            connection.close()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    def admits(self, peer: Peer) -> bool:
        return peer.uid in self._uids

    def context(self, peer: Peer) -> CallContext:
        caller = Caller("cli", peer.uid, str(peer))
        return CallContext(self._service, self._host, self._answers, caller)

    def run(self, answer: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(answer)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
