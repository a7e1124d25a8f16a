"""WebSockets on a face's own sockets, with a client of somebody else's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.faces.rawhttp import RawClient
from xend.api.asgi import Receive, Scope, Send, respond
from xend.api.http import MAX_WEBSOCKET_MESSAGE, FaceProtocol, FaceServer
from xend.api.peer import Peer
from xend.api.sockets import Listeners, UnixAddress


class Impatient(FaceProtocol):
    request_seconds = 0.1


class Echo:
    """Sends back what comes; answers plain requests too."""

    def __init__(self) -> None:
        self.peers: list[Peer | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.peers.append(scope["state"]["peer"])
        if scope["type"] != "websocket":
            await respond(send, 200, b"plain", b"text/plain")
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": message["bytes"]})


@contextlib.asynccontextmanager
async def serving(path: Path, *, websockets: bool = True) -> AsyncIterator[Echo]:
    app = Echo()
    server = FaceServer(app, protocol=Impatient, grace=1, websockets=websockets)
    listeners = Listeners()
    task = asyncio.create_task(server.serve(await listeners.open(UnixAddress(path))))
    try:
        yield app
    finally:
        server.stop()
        await task
        listeners.close()


async def test_messages_go_both_ways_for_longer_than_a_request_may_take(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serving(path) as app, unix_connect(str(path), "ws://xend/") as ws:
        await asyncio.sleep(3 * Impatient.request_seconds)
        await ws.send(b"\x00\xff")
        assert await ws.recv() == b"\x00\xff"
        assert app.peers[0] is not None


async def test_a_message_that_is_too_long_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serving(path), unix_connect(str(path), "ws://xend/") as ws:
        with pytest.raises(ConnectionClosed) as caught:
            await ws.send(bytes(MAX_WEBSOCKET_MESSAGE + 1))
            await ws.recv()
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1009


async def test_the_end_of_the_server_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serving(path):
        ws = await unix_connect(str(path), "ws://xend/")
    with pytest.raises(ConnectionClosed) as caught:
        await ws.recv()
    assert caught.value.rcvd is not None and caught.value.rcvd.code == 1012


async def test_a_face_without_websockets_answers_plainly(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serving(path, websockets=False):
        with pytest.raises(InvalidStatus) as caught:
            await unix_connect(str(path), "ws://xend/")
        assert caught.value.response.status_code == 200


async def test_an_upgrade_that_is_no_websocket_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serving(path):
        client = await RawClient.open(path)
        await client.send(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        assert (await client.answer()).status == 400
        await client.close()
