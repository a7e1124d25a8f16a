"""Bad input over REST: the right status, a problem document, and nothing has changed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

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
    check_raw(await answer_of(host, head), 431, "http.request-header-fields-too-large")


@pytest.mark.usefixtures("rest")
@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", 400, "http.bad-request"),
        (b"Content-Length: 5\r\nContent-Length: 6", 400, "http.bad-request"),
        (b"Transfer-Encoding: gzip, chunked", 501, "http.not-implemented"),
        (b"X: " + b"x" * 70000, 431, "http.request-header-fields-too-large"),
        (b"\r\n".join(b"x%d: y" % n for n in range(300)), 431, None),
    ],
)
async def test_heads_that_two_servers_may_read_differently_or_that_are_too_large(
    host: Host, head: bytes, status: int, code: str | None
) -> None:
    request = b"POST /v1/validate HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n"
    smuggled = b"0\r\n\r\nGET /v1/healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    client = await RawClient.open(host.rest)
    await client.send(request + smuggled)
    check_raw(await client.answer(), status, code or "http.request-header-fields-too-large")
    assert await client.rest() == b""
    await client.close()


@pytest.mark.usefixtures("rest")
async def test_an_address_that_is_too_long(host: Host) -> None:
    head = b"GET /v1/domains?filter=" + b"x" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await answer_of(host, head)
    assert answer.status == 414 and answer.headers["connection"] == "close"


@pytest.mark.usefixtures("rest")
async def test_an_address_with_its_server(host: Host) -> None:
    head = b"GET http://xend/v1/healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = await answer_of(host, head)
    assert answer.status == 200 and json.loads(answer.body) == {"status": "ok"}


@pytest.mark.parametrize(
    ("method", "path", "name", "meant"),
    [
        ("GET", "/v1/domains?lmit=1", "lmit", "limit"),
        ("DELETE", "/v1/domains/prospero?fource=true", "fource", "force"),
        ("POST", "/v1/domains?defin=true", "defin", "define"),
        ("GET", "/v1/domains/prospero/logs?limit=1&limit=2", "limit", None),
        ("GET", "/v1/healthz?x=", "x", None),
    ],
)
async def test_parameters_that_there_are_not(
    rest: httpx.AsyncClient, method: str, path: str, name: str, meant: str | None
) -> None:
    document = check_problem(await rest.request(method, path), 422, "query.invalid")
    assert document["parameter"] == name
    assert meant is None or f"did you mean '{meant}'?" in document["detail"]
    assert (await rest.get("/v1/domains/prospero")).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/v1/domains", {"name": "a", "memory": "65536", "kernel": "/k"}, "/memory"),
        ("/v1/domains", {"name": "a", "memory": 65536, "kernel": "/k", "vcpus": True}, "/vcpus"),
        ("/v1/domains", {"name": "a", "memory": 65536, "kernel": "/k", "affinity": 5}, "/affinity"),
        ("/v1/domains/prospero/disks", {"path": "/x", "vdev": "xvdb", "bootable": 1}, "/bootable"),
        ("/v1/domains/prospero/actions/trigger", {"trigger": "nmi", "vcpu": "0"}, "/vcpu"),
        ("/v1/tokens", {"name": "a", "role": "viewer", "expires_in": "60"}, "/expires_in"),
        ("/v1/cpupools", {"name": "a", "cpus": ["1"]}, "/cpus/0"),
        ("/v1/domains/prospero/console", {"force": "yes"}, "/force"),
    ],
)
async def test_types_that_are_only_alike(
    rest: httpx.AsyncClient, path: str, body: dict[str, Any], pointer: str
) -> None:
    document = check_problem(await rest.post(path, json=body), 422, "request.invalid")
    assert document["pointer"] == pointer


@pytest.mark.parametrize(
    ("body", "argument", "said"),
    [
        ({"trigger": "nmi", "vcpu": 172}, "vcpu", "has no vcpu 172"),
        ({"trigger": "power"}, "trigger", "only HVM guests"),
    ],
)
async def test_a_trigger_for_what_the_domain_has_not(
    rest: httpx.AsyncClient, body: dict[str, Any], argument: str, said: str
) -> None:
    response = await rest.post("/v1/domains/prospero/actions/trigger", json=body)
    document = check_problem(response, 422, "argument.invalid")
    assert document["fields"]["argument"] == argument and said in document["detail"]


@pytest.mark.parametrize("path", ["/v1/domains", "/v1/validate", "/v1/tokens", "/v1/cpupools"])
async def test_a_field_that_is_there_twice(rest: httpx.AsyncClient, path: str) -> None:
    text = '{"name": "a", "name": "b", "memory": 65536, "kernel": "/k", "role": "viewer"}'
    headers = {"Content-Type": "application/json"}
    response = await rest.post(path, content=text, headers=headers)
    assert "'name'" in check_problem(response, 400, "http.malformed-body")["detail"]


@pytest.mark.parametrize("path", ["/v1/tokens", "/v1/domains/prospero/console", "/v1/restore"])
async def test_bodies_are_json_by_their_type_too(rest: httpx.AsyncClient, path: str) -> None:
    headers = {"Content-Type": "text/plain"}
    response = await rest.post(path, content="{}", headers=headers)
    check_problem(response, 415, "http.unsupported-media-type")


async def test_an_error_of_xend_itself_is_a_problem_too(
    host: Host, rest: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("details")

    monkeypatch.setattr(host.service, "lookup", broken)
    response = await rest.get("/v1/domains/prospero")
    assert "RuntimeError" not in response.text
    check_problem(response, 500, "http.internal-server-error")
    monkeypatch.undo()


async def test_what_there_is_not_says_where_to_look(rest: httpx.AsyncClient) -> None:
    document = check_problem(await rest.get("/v1/domains/"), 404, "http.not-found")
    assert "did you mean /v1/domains?" in document["detail"]
    assert "openapi.json" in document["hint"]
    document = check_problem(await rest.delete("/v1/domains"), 405, "http.method-not-allowed")
    assert document["detail"] == "DELETE is not possible here, but GET, HEAD, POST"


async def test_head_and_options(rest: httpx.AsyncClient) -> None:
    full, head = await rest.get("/v1/host"), await rest.head("/v1/host")
    assert head.status_code == 200 and head.content == b""
    for name in ("etag", "content-type", "content-length"):
        assert head.headers[name] == full.headers[name]
    again = await rest.head("/v1/host", headers={"If-None-Match": head.headers["etag"]})
    assert again.status_code == 304
    assert (await rest.head("/v1/domains/nobody")).status_code == 404
    assert (await rest.head("/v1/events")).status_code == 405
    options = await rest.options("/v1/domains")
    assert options.status_code == 204 and options.headers["allow"] == "GET, HEAD, POST"


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
