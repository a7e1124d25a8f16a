"""xend.client against the interface: what it asks is described, what it promises is answered."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints
from unittest.mock import Mock

import httpx
import pytest
import pytest_asyncio

from tests.faces.conftest import Host
from xend.api.rest.app import build
from xend.client import ApiError, AsyncClient, Client, calls, models
from xend.client.calls import Call
from xend.client.connection import Events, Place
from xend.model.domain import DomainConfig

CONFIG = {"name": "web", "memory": 65536, "kernel": "/boot/vmlinuz"}
SAMPLES: Mapping[str, Any] = {
    "ref": "web",
    "verb": "start",
    "kind": "disks",
    "dev": "xvda",
    "part": "cpus",
    "name": "memory",
    "id": "7",
    "config": CONFIG,
    "media_type": "application/json",
    "text": "{}",
    "etag": '"1"',
    "changes": {},
    "arguments": {},
    "device": {},
    "format": "sxp",
    "role": "viewer",
    "pool": "Pool-0",
    "medium": {},
    "change": {},
    "controller": {},
}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    app = build(Mock(), Mock(), Mock(), Mock(), Mock())
    document: dict[str, Any] = app.fastapi.openapi()
    return document


@pytest_asyncio.fixture
async def xend(host: Host) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(f"unix:{host.rest}") as client:
        yield client


def every_call() -> list[tuple[str, Call[Any]]]:
    """Each function of `calls`, with all of its parameters, and all values of its literals."""
    found = []
    for name, function in inspect.getmembers(calls, inspect.isfunction):
        if name.startswith("_") or function.__module__ != calls.__name__:
            continue
        hints = get_type_hints(function)
        parameters = inspect.signature(function).parameters
        given = {each: SAMPLES.get(each, _sample(hints[each])) for each in parameters}
        choices = {
            each: get_args(hints[each])
            for each in ("kind", "part", "name", "verb")
            if each in hints and get_args(hints[each])
        }
        for key, values in choices.items() or [("", ("",))]:
            for value in values:
                found.append((name, function(**{**given, **({key: value} if key else {})})))
    return found


def _sample(hint: Any) -> Any:
    if hint is bool or bool in get_args(hint):
        return True
    if {int, float} & {hint, *get_args(hint)}:
        return 1
    return "x"


def test_every_call_is_described(described: dict[str, Any]) -> None:
    for name, call in every_call():
        path = call.template
        assert path in described["paths"], f"{name}: {path}"
        operation = described["paths"][path].get(call.method.lower())
        assert operation is not None, f"{name}: {call.method} {path}"
        known = {each["name"].lower() for each in operation.get("parameters", ())}
        sent = {*call.parts, *call.query, *(each.lower() for each in call.headers)}
        assert sent - known <= {"content-type"}, f"{name}: {sent - known}"
        required = {
            each["name"] for each in operation.get("parameters", ()) if each.get("required")
        }
        assert required <= sent | {"idempotency-key"}, f"{name}: {required - sent}"
        if call.json is not None or call.text is not None:
            types = operation["requestBody"]["content"]
            assert call.headers.get("Content-Type", "application/json") in types, name


def test_everything_that_is_described_can_be_called(described: dict[str, Any]) -> None:
    called = {(call.method, call.template) for _, call in every_call()}
    verbs = "/v1/domains/{ref}/actions/"
    for path, item in described["paths"].items():
        for method in set(item) & {"get", "put", "post", "patch", "delete"}:
            if path == "/" or (path.startswith(verbs) and method == "post"):
                continue  # `versions`, `act`
            assert (method.upper(), path) in called, f"{method} {path}"


@pytest.mark.parametrize(
    ("model", "schema"),
    [
        (models.Domain, "DomainWithConfig"),
        (models.Operation, "OperationShown"),
        (models.Device, "DeviceShown"),
        (models.Host, "HostShown"),
        (models.Versions, "Versions"),
        (models.Ticket, "TicketDocument"),
        (models.Token, "TokenDocument"),
        (models.NewToken, "NewToken"),
        (models.AuditLine, "AuditDocument"),
        (models.Event, "EventShown"),
    ],
)
def test_the_models_are_those_described(
    described: dict[str, Any], model: type, schema: str
) -> None:
    properties = described["components"]["schemas"][schema]["properties"]
    assert set(get_type_hints(model)) <= set(properties)


async def test_a_domain_by_the_client(host: Host, xend: AsyncClient) -> None:
    operation = await xend(calls.create(CONFIG))
    assert (await xend.finish(operation))["status"] == "done"
    assert (await xend(calls.domains(filter="name=web")))["items"][0]["power_state"] == "running"
    assert (await xend(calls.config("web")))["kernel"] == "/boot/vmlinuz"
    assert "(name web)" in await xend(calls.config_text("web", "sxp"))
    response = await xend.response(calls.config("web"))
    stale = calls.patch_config("web", {"vcpus": 2}, '"stale"')
    with pytest.raises(ApiError) as caught:
        await xend(stale)
    assert (caught.value.status, caught.value.code) == (412, "precondition.failed")
    assert response.headers["etag"]
    await xend(calls.act("web", "rename", {"new": "w:b"}, wait=10))
    assert (await xend(calls.domain("w:b")))["name"] == "w:b"


async def test_a_failed_operation_is_raised(host: Host, xend: AsyncClient) -> None:
    too_much = await xend(calls.create({**CONFIG, "memory": 1 << 30}))
    with pytest.raises(ApiError) as caught:
        await xend.finish(too_much, timeout=10)
    assert caught.value.code == "resource.insufficient" and caught.value.fields


async def test_events_go_on_after_the_daemon_came_back(host: Host, xend: AsyncClient) -> None:
    seen: list[int] = []
    started = asyncio.Event()

    async def follow() -> None:
        async for event in xend.events(since=0):
            seen.append(event["id"])
            started.set()

    task = asyncio.create_task(follow())
    await xend(calls.create(CONFIG, wait=10))
    await asyncio.wait_for(started.wait(), 5)
    await host.restart()
    last = host.service.events.newest
    await xend(calls.create({**CONFIG, "name": "two"}, wait=10))
    async with asyncio.timeout(10):
        while not seen or seen[-1] <= last:  # noqa: ASYNC110 (it sets no event)
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    assert seen == [*range(1, seen[-1] + 1)]


async def test_the_client_that_waits_is_the_same(host: Host) -> None:
    def work() -> list[Any]:
        with Client(f"unix:{host.rest}") as xend:
            operation = xend(calls.create(CONFIG))
            xend.finish(operation, timeout=10)
            events = xend.events(since=0, topics="domain")
            first = next(events)
            with xend.console("web") as console:
                text = b""
                while b"login: " not in text:
                    message = console.recv(5)
                    text += message if isinstance(message, bytes) else b""
            with pytest.raises(ApiError) as caught:
                xend(calls.domain("nobody"))
            return [first["kind"], caught.value.status, xend(calls.healthz())["status"]]

    assert await asyncio.to_thread(work) == ["created", 404, "ok"]


async def test_what_was_not_answered_is_asked_again(tmp_path: Path) -> None:
    """A POST with the same key; a change without one is not."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if len(asked) in (2,):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "s")
    async with server, AsyncClient(f"unix:{tmp_path / 's'}") as client:
        assert (await client.response(calls.vnc_ticket("web"))).status_code == 200
        keys = [head.lower().split(b"idempotency-key: ")[1].split(b"\r\n")[0] for head in asked]
        assert len(keys) == 2 and keys[0] == keys[1]
        with pytest.raises(httpx.TransportError):
            await client(calls.tune("web", "memory", {"target": 1}))
        assert len(asked) == 3


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XEND_REST", raising=False)
    assert Place.of(None).socket == "/var/run/xend/rest.sock"
    monkeypatch.setenv("XEND_REST", "https://host:8443/")
    assert Place.of(None) == Place(None, "https://host:8443")
    assert Place.of(None).websocket == "wss://host:8443"
    assert Place.of("unix:///run/x").socket == "/run/x"
    assert not Place.of("http://127.0.0.1:1").is_secure


def test_event_streams_in_any_pieces() -> None:
    stream = Events(None)
    lines = ["id: 7", 'data: {"id":', "data: 7}", "", ": beat", "", "event: error"]
    assert [each for line in lines for each in stream.feed(line)] == [{"id": 7}]
    assert [*stream.feed('data: {"code": "events.too-slow"}'), *stream.feed("")] == []
    assert stream.last == 7
    with pytest.raises(ApiError):
        for line in ("event: error", 'data: {"code": "events.gone", "status": 410}', ""):
            assert [*stream.feed(line)] == []


def test_the_sample_is_a_configuration() -> None:
    assert DomainConfig.model_validate({**CONFIG, "uuid": "0" * 32}).name == "web"
