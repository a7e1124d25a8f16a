"""Consoles and displays over WebSocket, with the project's own client, on a simulated host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.faces.conftest import Host
from xend.api.rest import tickets
from xend.client import ApiError, AsyncClient, calls


@pytest_asyncio.fixture
async def xend(host: Host) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(f"unix:{host.rest}") as client:
        config = {"name": "web", "memory": 65536, "kernel": "/boot/vmlinuz"}
        await client(calls.create(config, wait=10))
        yield client


async def until(ws: ClientConnection, text: bytes) -> tuple[bytes, list[dict[str, Any]]]:
    """The console's bytes up to and with `text`, and what was said beside them."""
    seen, beside = b"", []
    async with asyncio.timeout(10):
        while text not in seen:
            message = await ws.recv()
            if isinstance(message, bytes):
                seen += message
            else:
                beside.append(json.loads(message))
    return seen, beside


async def said(ws: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            message = await ws.recv()
            if isinstance(message, str) and json.loads(message)["type"] == kind:
                return dict(json.loads(message))


async def refused(attempt: Any) -> dict[str, Any]:
    with pytest.raises(InvalidStatus) as caught:
        await attempt
    return {
        "status": caught.value.response.status_code,
        **json.loads(caught.value.response.body or b"{}"),
    }


async def test_a_login(xend: AsyncClient) -> None:
    async with await xend.console("web") as ws:
        assert ws.subprotocol == "xend.console.v1"
        _, beside = await until(ws, b"web login: ")
        assert {"type": "writer", "you": True} in beside
        assert [each["type"] for each in beside].count("opened") == 1
        await ws.send(b"root\r")
        seen, _ = await until(ws, b"simulator.")
        assert b"root: there is nobody here" in seen


async def test_readers_and_the_writer(xend: AsyncClient) -> None:
    async with await xend.console("web") as writer, await xend.console("web") as second:
        reader = await xend.console("web", access="read")
        await second.send(b"no")
        assert (await said(second, "error"))["code"] == "conflict"
        await reader.send(json.dumps({"type": "claim", "force": True}))
        await writer.send(b"all\r")
        for ws in (writer, second, reader):
            await until(ws, b"all: there")
        await second.send(json.dumps({"type": "claim", "force": True}))
        assert (await said(writer, "writer"))["you"] is False
        assert (await said(second, "writer"))["you"] is True
        await second.send(b"mine\r")
        await until(reader, b"mine: there")
        await reader.close()


async def test_what_is_no_order_is_refused(xend: AsyncClient) -> None:
    async with await xend.console("web") as ws:
        for text in (
            "{",
            "[]",
            '{"type": "fly"}',
            '{"type": "resize", "rows": 0, "columns": 1}',
            '{"type": "resize", "rows": "24", "columns": 80}',
        ):
            await ws.send(text)
            assert (await said(ws, "error"))["code"] == "request.invalid"
        await ws.send(json.dumps({"type": "resize", "rows": 50, "columns": 132}))
        await ws.send(b"still\r")
        await until(ws, b"still: there")


async def test_it_outlives_a_reboot_and_ends_with_the_domain(xend: AsyncClient) -> None:
    async with await xend.console("web") as ws:
        first = await said(ws, "opened")
        await xend(calls.act("web", "reset", wait=10))
        await said(ws, "closed")
        assert (await said(ws, "opened"))["domid"] > first["domid"]
        await xend(calls.act("web", "destroy", wait=10))
        with pytest.raises(ConnectionClosed) as caught:
            await until(ws, b"never")
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 1000


async def test_a_ticket_is_good_once_and_not_for_long(
    xend: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = await xend(calls.console_ticket("web"))
    await (await xend.websocket(ticket["url"], ticket["protocol"])).close()
    again = await refused(xend.websocket(ticket["url"], ticket["protocol"]))
    assert (again["status"], again["code"]) == (401, "unauthenticated")
    monkeypatch.setattr(tickets, "SECONDS", 0.0)
    late = await xend(calls.console_ticket("web"))
    assert (await refused(xend.websocket(late["url"], "x")))["status"] == 401
    bare = late["url"].partition("?")[0]
    assert (await refused(xend.websocket(bare, "x")))["status"] == 401


async def test_a_ticket_opens_only_what_it_is_for(xend: AsyncClient) -> None:
    await xend(calls.create({"name": "two", "memory": 65536, "kernel": "/k"}, wait=10))
    url = (await xend(calls.console_ticket("web")))["url"]
    other = (await xend(calls.domain("two")))["uuid"]
    elsewhere = f"/v1/domains/{other}/console?{url.partition('?')[2]}"
    assert (await refused(xend.websocket(elsewhere, "x")))["status"] == 401


async def test_who_has_no_console(xend: AsyncClient) -> None:
    with pytest.raises(ApiError) as caught:
        await xend(calls.console_ticket("nobody"))
    assert caught.value.status == 404
    with pytest.raises(ApiError) as caught:
        await xend(calls.console_ticket("Domain-0"))
    assert (caught.value.status, caught.value.code) == (409, "domain.bad-state")


# -- VNC -------------------------------------------------------------------------------------------


async def test_a_display(host: Host, xend: AsyncClient) -> None:
    """RFB is the viewer's and the display's business: bytes go both ways."""
    greeted = asyncio.Event()

    async def display(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"RFB 003.008\n")
        assert await reader.readexactly(12) == b"RFB 003.008\n"
        greeted.set()
        writer.write(bytes(200_000))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(display, "127.0.0.1", 0)
    async with server:
        domid = (await xend(calls.domain("web")))["domid"]
        base = f"/local/domain/{domid}/console"
        with pytest.raises(ApiError) as caught:
            await xend(calls.vnc_ticket("web"))
        assert caught.value.code == "domain.bad-state"
        host.xenstored.write(f"{base}/vnc-listen", "0.0.0.0")
        host.xenstored.write(f"{base}/vnc-port", str(server.sockets[0].getsockname()[1]))
        ticket = await xend(calls.vnc_ticket("web"))
        async with await xend.websocket(ticket["url"], "binary") as ws:
            assert ws.subprotocol == "binary"
            assert await ws.recv() == b"RFB 003.008\n"
            await ws.send(b"RFB 003.")
            await ws.send(b"008\n")
            size = 0
            with pytest.raises(ConnectionClosed):
                while True:
                    size += len(await ws.recv())
            assert size == 200_000 and greeted.is_set()
    unreachable = await xend(calls.vnc_ticket("web"))
    problem = await refused(xend.websocket(unreachable["url"], "binary"))
    assert (problem["status"], problem["code"]) == (502, "display.unreachable")
