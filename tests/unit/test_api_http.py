"""The HTTP protocol against clients of every age, over a real Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from tests.faces.rawhttp import RawClient, post
from xend.api import http
from xend.api.asgi import (
    CLOSE,
    BodyLimit,
    BodyTooLarge,
    ClientGone,
    Message,
    Receive,
    Scope,
    Send,
    read_body,
    respond,
)
from xend.api.http import FaceProtocol, FaceServer
from xend.api.peer import Peer
from xend.api.sockets import Listeners, UnixAddress

LIMIT = 1000


class Echo:
    """Answers with the body; a path /slow waits until released."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.gone = 0
        self.peers: list[Peer | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.peers.append(scope["state"]["peer"])
        try:
            body = await read_body(scope, receive, LIMIT)
        except BodyTooLarge as error:
            await respond(
                send, 413, str(error).encode(), b"text/plain", [(b"connection", b"close")]
            )
            return
        except ClientGone:
            self.gone += 1
            return
        if scope["path"] == "/slow":
            await self.release.wait()
        await respond(send, 200, body, b"text/plain")


class Bored(FaceProtocol):
    idle_seconds = 0.2


class Impatient(FaceProtocol):
    request_seconds = 0.2


@contextlib.asynccontextmanager
async def serving(
    app: object, path: Path, protocol: type[FaceProtocol] = FaceProtocol
) -> AsyncIterator[FaceServer]:
    listeners = Listeners()
    server = FaceServer(app, protocol=protocol, grace=1)  # type: ignore[arg-type]
    task = asyncio.create_task(server.serve(await listeners.open(UnixAddress(path))))
    try:
        yield server
    finally:
        server.stop()
        await task
        listeners.close()


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "s"


async def test_half_closed_request_is_answered(socket_path: Path) -> None:
    app = Echo()
    async with serving(app, socket_path):
        client = await RawClient.open(socket_path)
        await client.send(post(b"hello", path="/slow"))
        client.half_close()
        await asyncio.sleep(0.05)  # the server sees the end of input before it answers
        app.release.set()
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"hello")
        assert await client.rest() == b""  # and then it closes
        await client.close()


@pytest.mark.parametrize("pieces", [1, 7, 40])
async def test_half_close_however_the_bytes_arrive(socket_path: Path, pieces: int) -> None:
    data = post(b"some body of a request", version="1.0")
    async with serving(Echo(), socket_path):
        client = await RawClient.open(socket_path)
        step = len(data) // pieces + 1
        for start in range(0, len(data), step):
            await client.send(data[start : start + step])
            await asyncio.sleep(0)
        client.half_close()
        assert (await client.answer()).body == b"some body of a request"
        await client.close()


async def test_pipelined_requests_before_a_half_close_are_all_answered(socket_path: Path) -> None:
    async with serving(Echo(), socket_path):
        client = await RawClient.open(socket_path)
        await client.send(post(b"one") + post(b"two") + post(b"three"))
        client.half_close()
        assert [(await client.answer()).body for _ in range(3)] == [b"one", b"two", b"three"]
        assert await client.rest() == b""
        await client.close()


async def test_who_says_nothing_is_closed(socket_path: Path) -> None:
    async with serving(Echo(), socket_path, Bored):
        client = await RawClient.open(socket_path)
        assert await client.rest() == b""
        await client.close()


async def test_who_does_not_read_is_cut_off(socket_path: Path) -> None:
    """It may be slow, but something must go on."""
    ended = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(20):
                await send(
                    {"type": "http.response.body", "body": b"x" * 300_000, "more_body": True}
                )
            await send({"type": "http.response.body", "body": b""})
        finally:
            ended.set()

    class Stalling(FaceProtocol):
        stall_seconds = 0.4

    async with serving(endless, socket_path, Stalling):
        slow, still = await RawClient.open(socket_path), await RawClient.open(socket_path)
        await slow.send(post(b""))
        size = 0
        while data := await slow.reader.read(300_000):  # reads, with pauses
            size += len(data)
            await asyncio.sleep(0.01)
            if size > 6_000_000:
                break
        assert size > 6_000_000
        ended.clear()
        await still.send(post(b""))
        async with asyncio.timeout(5):
            await ended.wait()
        for client in (slow, still):
            await client.close()


async def test_connections_are_counted(socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of root are not: nobody can keep it out."""
    monkeypatch.setattr(http, "MAX_FROM_ONE", 3)
    monkeypatch.setattr(http, "_OURS", frozenset())
    async with serving(Echo(), socket_path):
        held = [await RawClient.open(socket_path) for _ in range(3)]
        for client in held:
            await client.send(post(b"first"))
            assert (await client.answer()).status == 200
        late = await RawClient.open(socket_path)
        assert await late.rest() == b""
        monkeypatch.setattr(http, "_OURS", frozenset({os.geteuid()}))
        root = await RawClient.open(socket_path)
        await root.send(post(b"still"))
        assert (await root.answer()).body == b"still"
        monkeypatch.setattr(http, "_OURS", frozenset())
        for client in (held.pop(), root, late):
            await client.close()
        await asyncio.sleep(0.05)
        again = await RawClient.open(socket_path)
        await again.send(post(b"again"))
        assert (await again.answer()).body == b"again"
        for client in (*held, again):
            await client.close()


async def test_http_1_0_gets_a_length_and_is_closed(socket_path: Path) -> None:
    async with serving(Echo(), socket_path):
        client = await RawClient.open(socket_path)
        await client.send(post(b"x", version="1.0"))
        answer = await client.answer()
        assert answer.headers["content-length"] == "1"
        assert "transfer-encoding" not in answer.headers
        assert await client.rest() == b""
        await client.close()


async def test_http_1_0_without_host_or_body(socket_path: Path) -> None:
    async with serving(Echo(), socket_path):
        client = await RawClient.open(socket_path)
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.answer()).status == 200
        await client.close()


async def test_kept_connection_serves_many_requests(socket_path: Path) -> None:
    async with serving(Echo(), socket_path):
        client = await RawClient.open(socket_path)
        for number in range(20):
            body = b"%d" % number
            await client.send(post(body))
            assert (await client.answer()).body == body
        await client.close()


async def test_body_larger_than_the_limit_is_refused_unread(socket_path: Path) -> None:
    async with serving(Echo(), socket_path):
        client = await RawClient.open(socket_path)
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000000\r\n\r\n")
        answer = await client.answer()
        assert answer.status == 413
        assert b"1000 bytes" in answer.body
        assert await client.rest() == b""
        await client.close()


async def test_chunked_body_is_counted(socket_path: Path) -> None:
    async with serving(Echo(), socket_path):
        client = await RawClient.open(socket_path)
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(11):
            await client.send(b"64\r\n" + b"y" * 100 + b"\r\n")
        assert (await client.answer()).status == 413
        await client.close()


async def test_body_limit_wraps_an_application(socket_path: Path) -> None:
    async def refuse(send: Send, error: BodyTooLarge) -> None:
        await respond(send, 413, b"too big", b"text/plain", [CLOSE])

    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await receive())
        await respond(send, 200, b"ok", b"text/plain")

    async with serving(BodyLimit(app, 10, refuse), socket_path):
        for size, status in ((10, 200), (11, 413)):
            client = await RawClient.open(socket_path)
            await client.send(post(b"z" * size))
            assert (await client.answer()).status == status
            await client.close()
    assert [message["body"] for message in seen] == [b"z" * 10]


async def test_headers_without_end_are_refused(socket_path: Path) -> None:
    async with serving(Echo(), socket_path):
        client = await RawClient.open(socket_path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(20):
                await client.send(b"X: " + b"a" * 4096 + b"\r\n" if _ else b"GET / HTTP/1.1\r\n")
        answer = await client.answer()
        assert answer.status == 431
        assert answer.headers["content-length"] == str(len(answer.body))
        await client.close()


@pytest.mark.parametrize(
    "data", [b"not http at all\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"(ls)\n\n"]
)
async def test_other_protocols_get_400(socket_path: Path, data: bytes) -> None:
    async with serving(Echo(), socket_path):
        client = await RawClient.open(socket_path)
        await client.send(data)
        assert (await client.answer()).status == 400
        assert await client.rest() == b""
        await client.close()


@pytest.mark.parametrize(
    "data", [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Le", post(b"whole body")[:-4]]
)
async def test_request_cut_off_by_end_of_input(socket_path: Path, data: bytes) -> None:
    app = Echo()
    async with serving(app, socket_path):
        client = await RawClient.open(socket_path)
        await client.send(data)
        client.half_close()
        answer = await client.answer()
        assert answer.status == 400
        assert b"ended" in answer.body
        await client.close()
    assert app.gone == (1 if app.peers else 0)


@pytest.mark.parametrize("data", [b"POST / HTTP/1.1\r\nHo", post(b"whole body")[:-4]])
async def test_slow_request_gets_408(socket_path: Path, data: bytes) -> None:
    async with serving(Echo(), socket_path, Impatient):
        client = await RawClient.open(socket_path)
        await client.send(data)
        assert (await client.answer()).status == 408
        assert await client.rest() == b""
        await client.close()


async def test_idle_and_slow_to_answer_connections_are_not_cut(socket_path: Path) -> None:
    app = Echo()
    async with serving(app, socket_path, Impatient):
        client = await RawClient.open(socket_path)
        await asyncio.sleep(0.3)
        await client.send(post(b"late", path="/slow"))
        await asyncio.sleep(0.3)
        app.release.set()
        assert (await client.answer()).body == b"late"
        await client.close()


async def test_peer_is_known(socket_path: Path) -> None:
    app = Echo()
    async with serving(app, socket_path):
        client = await RawClient.open(socket_path)
        await client.send(post(b""))
        await client.answer()
        await client.close()
    assert app.peers == [Peer(os.getpid(), os.getuid(), os.getgid())]


async def test_client_that_vanishes_disturbs_nobody(socket_path: Path) -> None:
    app = Echo()
    async with serving(app, socket_path):
        client = await RawClient.open(socket_path)
        await client.send(post(b"x" * 100)[:-50])
        await client.close()
        client = await RawClient.open(socket_path)
        await client.send(post(b"next"))
        assert (await client.answer()).body == b"next"
        await client.close()


async def test_stop_waits_for_a_request_under_way(socket_path: Path) -> None:
    app = Echo()
    async with serving(app, socket_path) as server:
        client = await RawClient.open(socket_path)
        await client.send(post(b"last", path="/slow"))
        await asyncio.sleep(0.05)
        server.stop()
        await asyncio.sleep(0.05)
        app.release.set()
        assert (await client.answer()).body == b"last"
        await client.close()


async def test_stop_cuts_off_a_client_that_does_not_read(socket_path: Path) -> None:
    async def flood(scope: Scope, receive: Receive, send: Send) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": []}
        await send(head)
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})

    async with serving(flood, socket_path) as server:
        client = await RawClient.open(socket_path)
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.2)
        server._grace = 0.2
        async with asyncio.timeout(3):
            server.stop()
            await asyncio.sleep(0.5)
        await client.close()


def mangled(random: Random) -> bytes:
    """A request with something wrong in it, or with nothing but noise."""
    data = bytearray(post(random.randbytes(random.randrange(60)), path="/x"))
    for _ in range(random.randrange(1, 6)):
        at = random.randrange(len(data))
        match random.randrange(4):
            case 0:
                data[at] = random.randrange(256)
            case 1:
                del data[at : at + random.randrange(1, 20)]
            case 2:
                data[at:at] = random.choice(
                    [b"\r\n", b"\r\n\r\n", b"\0", b": ", random.randbytes(9)]
                )
            case 3:
                data[at:at] = data[: random.randrange(len(data))]
        data = data or bytearray(b"?")
    return bytes(data)


async def test_noise_never_stops_the_server(
    socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    random = Random(4)
    async with serving(Echo(), socket_path):
        for _ in range(300):
            client = await RawClient.open(socket_path)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                await client.send(mangled(random))
                client.half_close()
                answer = await client.rest()
                assert answer == b"" or answer.startswith(b"HTTP/1.1 "), answer
            await client.close()
        client = await RawClient.open(socket_path)
        await client.send(post(b"still here"))
        assert (await client.answer()).body == b"still here"
        await client.close()
    assert "Traceback" not in caplog.text
