"""Bad input over REST: the right status, a problem document, and nothing has changed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.faces.conftest import Host
from tests.faces.rawhttp import Answer, RawClient
from tests.faces.restclient import PROBLEM, WAIT, check_problem, client_of, config, made
from xend.api.http import FaceProtocol

HERE = "/v1/domains/prospero"


@pytest_asyncio.fixture
async def rest(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host.rest) as client:
        await made(client)
        before = await state(client)
        yield client
        assert await state(client) == before


async def state(rest: httpx.AsyncClient) -> list[object]:
    """What must not change: every domain but its counters, every operation."""
    query = {"fields": "name,uuid,domid,power_state,memory,vcpus,managed"}
    domains = (await rest.get("/v1/domains", params=query)).json()["items"]
    operations = (await rest.get("/v1/operations", params={"fields": "id,status"})).json()["items"]
    return [domains, operations, (await rest.get(f"{HERE}/config")).json()]


async def answer_of(host: Host, data: bytes) -> Answer:
    client = await RawClient.open(host.rest)
    await client.send(data)
    answer = await client.answer()
    await client.close()
    return answer


def check_raw(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status
    assert answer.headers["content-type"] == PROBLEM
    assert json.loads(answer.body)["code"] == code


@pytest.mark.usefixtures("rest")
async def test_a_slow_body(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FaceProtocol, "request_seconds", 0.2)
    head = b"POST /v1/domains HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    check_raw(await answer_of(host, head), 408, "http.request-timeout")


@pytest.mark.usefixtures("rest")
async def test_what_is_not_http(host: Host) -> None:
    check_raw(await answer_of(host, b"GARBAGE\r\n\r\n"), 400, "http.bad-request")
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70000
    check_raw(await answer_of(host, head), 400, "http.bad-request")


async def test_bodies_that_are_not_json(rest: httpx.AsyncClient) -> None:
    kind = {"Content-Type": "application/json"}
    for body in (b"", b"{", b"nul", b"[1,]", b'{"memory": NaN}', b"\xff\xfe", b"[" * 100000):
        for address in ("/v1/domains", f"{HERE}/actions/rename", f"{HERE}/disks"):
            response = await rest.post(address, content=body, headers=kind)
            assert response.headers["content-type"] == PROBLEM, (body, address, response.text)
            assert response.status_code in (400, 422), (body[:20], address, response.text)
            assert response.json()["code"] in (
                "http.malformed-body",
                "http.bad-request",
                "request.invalid",
            )


async def test_numbers_that_do_not_fit(rest: httpx.AsyncClient) -> None:
    for field in ("memory", "vcpus", "maxmem", "cpu_weight"):
        for value in (-1, 1.5, "12x", None, 10**30):
            if value == 10**30 and field != "vcpus":
                continue  # A host may have so much one day; this one says how much it has.
            body = config("other", **{field: value})
            response = await rest.post("/v1/domains", json=body, headers=WAIT)
            check_problem(response, 422, "request.invalid")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_ids_that_nobody_has(rest: httpx.AsyncClient, method: str) -> None:
    for address, code in (
        ("/v1/domains/nobody", "domain.not-found"),
        ("/v1/domains/99999", "domain.not-found"),
        ("/v1/domains/5b1ca0e2-9d3f-4d57-8a3c-6d5c3c9f7a11", "domain.not-found"),
        ("/v1/domains/%00", "domain.not-found"),
        ("/v1/domains/..%2f..%2fetc", "http.not-found"),
        ("/v1/operations/none", "not-found"),
        (f"{HERE}/disks/xvdz", "not-found"),
        ("/v1/cpupools/none", "not-found"),
    ):
        response = await rest.request(method, address)
        check_problem(response, 404, code)


async def test_suggestions(rest: httpx.AsyncClient) -> None:
    body = config("other", kernl="/boot/x", vifs=[{"bridg": "x"}])
    response = await rest.post("/v1/domains", json=body)
    errors = check_problem(response, 422, "request.invalid")["errors"]
    found = {error["pointer"]: error.get("suggestion") for error in errors}
    assert found == {"/kernl": "kernel", "/vifs/0/bridg": "bridge"}


async def test_types_that_are_not_taken(rest: httpx.AsyncClient) -> None:
    for kind in ("text/html", "application/xml", "multipart/form-data; boundary=x", "x"):
        for method, address in (
            ("POST", "/v1/domains"),
            ("PUT", f"{HERE}/config"),
            ("POST", f"{HERE}/actions/rename"),
            ("PATCH", f"{HERE}/memory"),
            ("POST", "/v1/convert"),
        ):
            headers = {"Content-Type": kind, "If-Match": "*"}
            response = await rest.request(method, address, content=b"{}", headers=headers)
            check_problem(response, 415, "http.unsupported-media-type")


@pytest.mark.parametrize(
    ("path", "method"), [("nics", "POST"), ("config", "PATCH"), ("nics/0", "PATCH")]
)
async def test_half_a_character(rest: httpx.AsyncClient, path: str, method: str) -> None:
    """It is JSON, but could be written to no file and no XenStore."""
    body = rb'{"bridge": "a\ud800b", "description": "\uDBFF"}'
    headers = {**WAIT, "Content-Type": "application/json", "If-Match": "*"}
    response = await rest.request(method, f"{HERE}/{path}", content=body, headers=headers)
    problem = check_problem(response, 422, "argument.invalid")
    assert "alone is no character" in problem["detail"]
