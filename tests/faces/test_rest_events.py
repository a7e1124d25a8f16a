"""The stream of events: server-sent events and WebSocket, replay, heartbeats, slow readers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.faces.conftest import Host
from tests.faces.rawhttp import RawClient
from tests.faces.restclient import WAIT, check_problem, client_of, config, made
from xend.api.rest import events


@pytest_asyncio.fixture
async def rest(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host.rest) as client:
        yield client


async def sse(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """Each event's JSON, its `id:` checked against it."""
    number = ""
    async for line in response.aiter_lines():
        if line.startswith("id: "):
            number = line.removeprefix("id: ")
        elif line.startswith("data: "):
            document: dict[str, Any] = json.loads(line.removeprefix("data: "))
            assert str(document["id"]) == number
            yield document


async def until(stream: AsyncIterator[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """All up to the first `operation done` (or another kind of event), and that one."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        async for event in stream:
            found.append(event)
            if event["kind"] == kind:
                break
    return found


def websocket(host: Host, query: str = "", **more: Any) -> Any:
    return unix_connect(str(host.rest), f"ws://xend/v1/events{query}", **more)


async def received(socket: ClientConnection, kind: str) -> list[dict[str, Any]]:
    async def stream() -> AsyncIterator[dict[str, Any]]:
        async for text in socket:
            yield json.loads(text)

    return await until(stream(), kind)


async def test_both_streams_have_the_same(host: Host, rest: httpx.AsyncClient) -> None:
    start = host.service.events.newest
    await made(rest)
    await rest.post("/v1/domains/prospero/actions/destroy", headers=WAIT)
    async with rest.stream("GET", "/v1/events", params={"since": start}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        first = await until(sse(response), "destroyed")
    async with websocket(host, f"?since={start}") as socket:
        second = await received(socket, "destroyed")
    assert first == second
    assert [event["id"] for event in first] == [*range(start + 1, start + 1 + len(first))]
    kinds = [(event["topic"], event["kind"]) for event in first]
    assert kinds[:2] == [("operation", "queued"), ("operation", "running")]
    assert ("domain", "created") in kinds and ("operation", "done") in kinds
    [done, *_] = [event for event in first if event["kind"] == "done"]
    assert done["ids"]["verb"] == "create" and done["ids"]["name"] == "prospero"
    operation = await rest.get(f"/v1/operations/{done['ids']['operation']}")
    assert operation.json()["status"] == "done"


async def test_json_lines(host: Host, rest: httpx.AsyncClient) -> None:
    await made(rest)
    headers = {"Accept": "application/x-ndjson"}
    async with rest.stream("GET", "/v1/events?since=0", headers=headers) as response:
        assert response.headers["content-type"] == "application/x-ndjson"

        async def documents() -> AsyncIterator[dict[str, Any]]:
            async for line in response.aiter_lines():
                yield json.loads(line)

        lines = await until(documents(), "done")
    async with websocket(host, "?since=0") as socket:
        assert await received(socket, "done") == lines


async def test_what_a_reader_says_is_of_no_interest(host: Host, rest: httpx.AsyncClient) -> None:
    async with websocket(host) as socket:
        for word in (b"\x00\xff", "text", b""):
            await socket.send(word)
        await made(rest)
        assert (await received(socket, "done"))[-1]["ids"]["verb"] == "create"


async def test_a_websocket_to_nowhere(host: Host) -> None:
    for path in ("/v1/nothing", "/v1/domains"):
        with pytest.raises(InvalidStatus) as refused:
            await unix_connect(str(host.rest), f"ws://xend{path}")
        assert refused.value.response.status_code == 404
        assert json.loads(refused.value.response.body)["code"] == "http.not-found"
    with pytest.raises(InvalidStatus) as refused:
        await websocket(host, "?sinse=1")
    assert json.loads(refused.value.response.body)["parameter"] == "sinse"


async def test_topics(host: Host, rest: httpx.AsyncClient) -> None:
    start = host.service.events.newest
    await made(rest)
    await rest.post("/v1/domains/prospero/actions/destroy", headers=WAIT)
    query: dict[str, str | int] = {"since": start, "topics": "domain"}
    async with rest.stream("GET", "/v1/events", params=query) as response:
        found = await until(sse(response), "destroyed")
    assert {event["topic"] for event in found} == {"domain"}
    response = await rest.get("/v1/events", params={"topics": "domains"})
    assert "did you mean 'domain'" in check_problem(response, 422, "query.invalid")["detail"]


async def test_a_reader_resumes_over_a_restart(host: Host) -> None:
    async with client_of(host.rest) as rest:
        start = host.service.events.newest
        await made(rest, "one")
        async with rest.stream("GET", "/v1/events", params={"since": start}) as response:
            before = await until(sse(response), "done")
    await host.restart()
    async with client_of(host.rest) as rest:
        await made(rest, "two")
        last = {"Last-Event-ID": str(before[-1]["id"])}
        async with rest.stream("GET", "/v1/events", headers=last) as response:
            after = await until(sse(response), "done")
    numbers = [event["id"] for event in before + after]
    assert numbers == [*range(start + 1, start + 1 + len(numbers))]
    assert after[-1]["ids"]["name"] == "two"


async def test_numbers_that_never_were(host: Host, rest: httpx.AsyncClient) -> None:
    response = await rest.get("/v1/events", params={"since": 10**9})
    document = check_problem(response, 410, "events.gone")
    assert document["fields"]["newest"] == host.service.events.newest
    response = await rest.get("/v1/events", headers={"Last-Event-ID": "x"})
    check_problem(response, 422, "query.invalid")
    with pytest.raises(InvalidStatus) as refused:
        await websocket(host, f"?since={10**9}")
    assert refused.value.response.status_code == 410
    assert json.loads(refused.value.response.body)["code"] == "events.gone"


async def test_heartbeats(rest: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.05)
    async with rest.stream("GET", "/v1/events") as response:
        lines = response.aiter_lines()
        async with asyncio.timeout(5):
            while not (await anext(lines)).startswith(":"):
                pass


async def test_a_slow_reader_is_told_and_resumes(
    host: Host, rest: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BACKLOG", 4)
    bus = host.service.events
    start = bus.newest
    client = await RawClient.open(host.rest)
    await client.send(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
    await client.reader.readuntil(b"\r\n\r\n")
    for _ in range(20000):  # more than the socket's buffers hold
        bus.publish("changed", "domain", {"uuid": "x" * 100})
    seen = b""
    async with asyncio.timeout(20):
        while b"event: error" not in seen:
            seen += await client.reader.read(65536)
    await client.close()
    problem = json.loads(seen.split(b"event: error\ndata: ")[1].split(b"\n")[0])
    assert problem["code"] == "events.too-slow"
    numbers = [int(part.split(b"\n")[0]) for part in seen.split(b"id: ")[1:]]
    assert numbers == [*range(start + 1, start + 1 + len(numbers))] and len(numbers) < 20000
    assert problem["fields"]["after"] == numbers[-1] if numbers else start


async def test_a_slow_websocket_is_closed_with_a_reason(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BACKLOG", 4)
    bus = host.service.events
    got = []
    async with websocket(host, max_queue=1) as socket:
        await asyncio.sleep(0.2)
        for _ in range(20000):
            bus.publish("changed", "domain", {"uuid": "x" * 100})
        await asyncio.sleep(0.5)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                got.append(json.loads(await socket.recv())["id"])
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1008
    assert "events.too-slow" in closed.value.rcvd.reason
    assert got == [*range(got[0], got[0] + len(got))] if got else True


async def test_streams_do_not_hold_up_the_end(host: Host, rest: httpx.AsyncClient) -> None:
    async with rest.stream("GET", "/v1/events") as response, websocket(host) as socket:
        assert response.status_code == 200
        began = asyncio.get_running_loop().time()
        await host.faces.close()
        assert asyncio.get_running_loop().time() - began < 3
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012


async def test_the_events_of_a_domain(rest: httpx.AsyncClient) -> None:
    await made(rest, "one")
    two = await made(rest, "two")
    items = (await rest.get("/v1/domains/two/events")).json()["items"]
    assert items and {item["ids"]["uuid"] for item in items} == {two["uuid"]}
    since = {"since": items[-1]["id"]}
    assert (await rest.get("/v1/domains/two/events", params=since)).json()["items"] == []
    check_problem(
        await rest.get("/v1/domains/two/events", params={"since": 10**9}), 410, "events.gone"
    )


async def test_a_reader_that_goes_is_forgotten(host: Host, rest: httpx.AsyncClient) -> None:
    before = host.service.events.readers
    for _ in range(3):
        async with rest.stream("GET", "/v1/events") as response:
            assert response.status_code == 200
    await made(rest)
    async with asyncio.timeout(10):
        while host.service.events.readers != before:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
    assert (await rest.post("/v1/domains", json=config(), headers=WAIT)).status_code == 409
