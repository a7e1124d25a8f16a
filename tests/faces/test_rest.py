"""REST over its Unix socket, with a client of somebody else's, on a simulated host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.faces.conftest import Host
from tests.faces.rawhttp import RawClient
from tests.faces.restclient import PROBLEM, WAIT, check_problem, client_of, config, made
from xend.api.rest.app import MAX_BODY
from xend.core.ports import Progress
from xend.model.units import Domid


@pytest_asyncio.fixture
async def rest(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host.rest) as client:
        yield client


async def test_domain_0(rest: httpx.AsyncClient) -> None:
    response = await rest.get("/v1/domains")
    assert response.headers["content-length"] == str(len(response.content))
    [domain] = response.json()["items"]
    assert (domain["name"], domain["domid"], domain["origin"]) == ("Domain-0", 0, "host")
    assert domain["memory"]["current"] == 1024 * 1024


async def test_versions_and_health(rest: httpx.AsyncClient) -> None:
    for path in ("/", "/v1"):
        assert (await rest.get(path)).json()["versions"] == ["/v1"]
    assert (await rest.get("/v1/healthz")).json() == {"status": "ok"}


async def test_host(rest: httpx.AsyncClient) -> None:
    host = (await rest.get("/v1/host")).json()
    assert host["total_memory"] == 8 * 1024 * 1024
    assert host["kernel"]["system"] == "Linux"
    assert host["backend"] == "sim"


async def test_create_waits_when_asked_to(rest: httpx.AsyncClient) -> None:
    response = await rest.post("/v1/domains", json=config(), headers=WAIT)
    assert response.status_code == 201
    assert response.headers["preference-applied"] == "wait=10"
    domain = response.json()
    assert domain["power_state"] == "running"
    assert response.headers["location"] == f"/v1/domains/{domain['uuid']}"
    found: dict[str, Any] = {}
    for reference in ("prospero", domain["uuid"], str(domain["domid"])):
        found = (await rest.get(f"/v1/domains/{reference}")).json()
        assert found["uuid"] == domain["uuid"]
    assert found["config"]["kernel"] == "/boot/vmlinuz"


async def test_create_answers_at_once_otherwise(rest: httpx.AsyncClient) -> None:
    response = await rest.post("/v1/domains", json=config(), params={"paused": True})
    assert response.status_code == 202
    operation = response.json()
    assert response.headers["location"] == f"/v1/operations/{operation['id']}"
    assert operation["kind"] == "create" and operation["target"]["name"] == "prospero"
    assert operation["requested_by"]["face"] == "rest"
    done = (await rest.get(response.headers["location"], params={"wait": 10})).json()
    assert done["status"] == "done" and done["error"] is None and not done["cancellable"]
    domain = (await rest.get(done["links"]["domain"])).json()
    assert domain["power_state"] == "paused"


async def test_the_wait_may_be_too_short(host: Host, rest: httpx.AsyncClient) -> None:
    release = asyncio.Event()

    async def hang(operation: str, _stage: str, _domid: Domid | None) -> None:
        if operation == "create":
            await release.wait()

    host.hypervisor.faults = hang
    response = await rest.post("/v1/domains", json=config(), headers={"Prefer": "wait=0"})
    assert response.status_code == 202
    place = response.headers["location"]
    assert (await rest.get(place)).json()["status"] == "running"
    names = [each["name"] for each in (await rest.get("/v1/domains")).json()["items"]]
    assert "Domain-0" in names
    release.set()
    assert (await rest.get(place, params={"wait": 10})).json()["status"] == "done"


async def test_an_operation_can_be_cancelled(host: Host, rest: httpx.AsyncClient) -> None:
    async def hang(operation: str, _stage: str, _domid: Domid | None) -> None:
        if operation == "create":
            await asyncio.Event().wait()

    host.hypervisor.faults = hang
    place = (await rest.post("/v1/domains", json=config())).headers["location"]
    await asyncio.sleep(0.05)
    assert (await rest.delete(place)).status_code == 202
    ended = (await rest.get(place, params={"wait": 10})).json()
    assert ended["status"] == "cancelled"
    assert ended["error"]["code"] == "operation.cancelled"
    assert len((await rest.get("/v1/domains")).json()["items"]) == 1


async def test_an_operation_that_can_only_go_forward_refuses_a_cancel(
    host: Host, rest: httpx.AsyncClient
) -> None:
    await made(rest)
    hanging, release = asyncio.Event(), asyncio.Event()

    async def hang(operation: str, _stage: str, _domid: Domid | None) -> None:
        if operation == "destroy":
            hanging.set()
            await release.wait()

    host.hypervisor.faults = hang
    answer = await rest.post("/v1/domains/prospero/actions/destroy")
    place = answer.headers["location"]
    await hanging.wait()
    shown = (await rest.get(place)).json()
    assert (shown["status"], shown["cancellable"]) == ("running", False)
    check_problem(await rest.delete(place), 409, "domain.bad-state")
    release.set()
    assert (await rest.get(place, params={"wait": 10})).json()["status"] == "done"


async def test_the_life_of_a_domain(rest: httpx.AsyncClient) -> None:
    await made(rest)

    async def act(verb: str, body: Any = None) -> dict[str, Any]:
        response = await rest.post(f"/v1/domains/prospero/actions/{verb}", json=body, headers=WAIT)
        assert response.status_code == 200, response.text
        return (await rest.get("/v1/domains")).json()["items"][-1]  # type: ignore[no-any-return]

    assert (await act("pause"))["power_state"] == "paused"
    assert (await act("unpause"))["power_state"] == "running"
    assert (await act("rename", {"new": "ariel"}))["name"] == "ariel"
    response = await rest.post("/v1/domains/ariel/actions/destroy", headers=WAIT)
    assert response.status_code == 200
    check_problem(await rest.get("/v1/domains/ariel"), 404, "domain.not-found")


async def test_a_managed_domain(rest: httpx.AsyncClient) -> None:
    domain = await made(rest, define=True)
    assert domain["power_state"] == "halted" and domain["managed"] and domain["domid"] is None
    halted = (await rest.get("/v1/domains", params={"state": "halted"})).json()["items"]
    assert [each["name"] for each in halted] == ["prospero"]
    response = await rest.post(
        "/v1/domains/prospero/actions/start", json={"paused": True}, headers=WAIT
    )
    assert response.json()["power_state"] == "paused"


async def test_actions_describe_themselves(rest: httpx.AsyncClient) -> None:
    items = (await rest.get("/v1/domains/0/actions/")).json()["items"]
    rename = next(item for item in items if item["action"] == "rename")
    assert "new" in rename["arguments"]["properties"]
    document = check_problem(
        await rest.post("/v1/domains/0/actions/fly", headers=WAIT), 404, "not-found"
    )
    assert "pause" in document["fields"]["possible"]


async def test_operations_are_listed_newest_first(rest: httpx.AsyncClient) -> None:
    await made(rest, "one")
    await made(rest, "two")
    items = (await rest.get("/v1/operations", params={"limit": 1})).json()["items"]
    assert [item["target"]["name"] for item in items] == ["two"]
    check_problem(await rest.get("/v1/operations/nonsense"), 404, "not-found")
    check_problem(await rest.delete("/v1/operations/nonsense"), 404, "not-found")


async def test_passwords_are_not_shown(rest: httpx.AsyncClient) -> None:
    body = config(vfbs=[{"vncpasswd": "secret1"}], platform={"vncpasswd": "secret2"})
    response = await rest.post("/v1/domains", json=body, headers=WAIT)
    shown = (await rest.get("/v1/domains/prospero")).text
    assert "secret" not in shown + response.text
    assert "********" in shown


# -- Bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"memory": 65536}, "/name"),
        ({"name": "a", "memory": "much"}, "/memory"),
        ({"name": "a", "memory": -1}, "/memory"),
        ({"name": "a b"}, "/name"),
        ({"name": "a", "colour": "red"}, "/colour"),
        ({"name": "a", "uuid": "x"}, "/uuid"),
        ({"name": "a", "disks": [{"vdev": "xvda"}, {"path": "/x"}]}, "/disks/1/vdev"),
        ({"name": "a", "vifs": [{"mac": "zz"}]}, "/vifs/0/mac"),
        ([], ""),
        ("text", ""),
    ],
)
async def test_a_wrong_field_is_named(rest: httpx.AsyncClient, body: Any, pointer: str) -> None:
    response = await rest.post("/v1/domains", json=body)
    document = check_problem(response, 422, "request.invalid")
    assert pointer in [error["pointer"] for error in document["errors"]]
    assert (await rest.get("/v1/operations")).json()["items"] == []


async def test_wrong_arguments_of_an_action(rest: httpx.AsyncClient) -> None:
    await made(rest)
    for verb, body in [
        ("rename", {}),
        ("rename", {"new": ""}),
        ("rename", {"new": "a b"}),
        ("pause", {"x": 1}),
        ("start", {"paused": "perhaps"}),
    ]:
        response = await rest.post(f"/v1/domains/prospero/actions/{verb}", json=body)
        check_problem(response, 422, "request.invalid")


async def test_malformed_json(rest: httpx.AsyncClient) -> None:
    response = await rest.post(
        "/v1/domains", content=b"{", headers={"Content-Type": "application/json"}
    )
    check_problem(response, 400, "http.malformed-body")


async def test_other_media_types(rest: httpx.AsyncClient) -> None:
    response = await rest.post(
        "/v1/domains", content=b"name = 'x'", headers={"Content-Type": "text/plain"}
    )
    check_problem(response, 415, "http.unsupported-media-type")


async def test_unknown_addresses_and_methods(rest: httpx.AsyncClient) -> None:
    check_problem(await rest.get("/v1/teapots"), 404, "http.not-found")
    check_problem(await rest.put("/v1/domains"), 405, "http.method-not-allowed")
    check_problem(await rest.get("/v1/domains", params={"state": "odd"}), 422, "request.invalid")
    check_problem(await rest.get("/v1/domains/nobody"), 404, "domain.not-found")
    response = await rest.post("/v1/domains/nobody/actions/pause")
    check_problem(response, 404, "domain.not-found")


async def test_a_body_that_is_too_large(host: Host, rest: httpx.AsyncClient) -> None:
    client = await RawClient.open(host.rest)
    size = MAX_BODY + 1
    await client.send(
        f"POST /v1/domains HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
    )
    answer = await client.answer()
    assert answer.status == 413 and answer.headers["content-type"] == PROBLEM
    await client.close()


async def test_a_chunked_body(rest: httpx.AsyncClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b'{"name": "prospero", '
        yield b'"memory": 65536, "kernel": "/k"}'

    response = await rest.post(
        "/v1/domains", content=parts(), headers={**WAIT, "Content-Type": "application/json"}
    )
    assert response.status_code == 201


async def test_conflicts_say_with_whom(rest: httpx.AsyncClient) -> None:
    await made(rest)
    response = await rest.post("/v1/domains", json=config(), headers=WAIT)
    document = check_problem(response, 409, "conflict")
    assert document["fields"]["value"] == "prospero"


async def test_the_wrong_state_says_which(rest: httpx.AsyncClient) -> None:
    await made(rest, define=True)
    response = await rest.post("/v1/domains/prospero/actions/pause", headers=WAIT)
    document = check_problem(response, 409, "domain.bad-state")
    assert document["fields"]["state"]


async def test_too_little_memory(rest: httpx.AsyncClient) -> None:
    body = config(memory=64 * 1024 * 1024)
    response = await rest.post("/v1/domains", json=body, headers=WAIT)
    check_problem(response, 409, "resource.insufficient")


async def test_a_failed_operation_keeps_its_problem(host: Host, rest: httpx.AsyncClient) -> None:
    from xend.errors import HypervisorError

    async def fail(operation: str, stage: str, _domid: Domid | None) -> None:
        if (operation, stage) == ("create", "memory"):
            raise HypervisorError(operation="create", rc=-3, rc_name="ERROR_FAIL", log=["no!"])

    host.hypervisor.faults = fail
    response = await rest.post("/v1/domains", json=config(), headers=WAIT)
    document = check_problem(response, 502, "hypervisor.error")
    assert document["fields"]["rc"] == -3 and document["fields"]["log"] == ["no!"]
    [operation] = (await rest.get("/v1/operations")).json()["items"]
    assert operation["status"] == "failed"
    assert operation["error"]["code"] == "hypervisor.error"


async def test_strangers_are_turned_away(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    from xend.api.rest.access import PeerAccess
    from xend.api.rest.app import RestApp

    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    app = RestApp(None, None, PeerAccess(frozenset({0})))  # type: ignore[arg-type]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "state": {}}
    await app(scope, receive, send)
    assert sent[0]["status"] == 403


async def test_the_interface_is_described(rest: httpx.AsyncClient) -> None:
    document = (await rest.get("/v1/openapi.json")).json()
    assert "/v1/domains/{ref}/actions/pause" in document["paths"]
    assert document["info"]["title"] == "xend"


async def test_progress_is_shown(host: Host, rest: httpx.AsyncClient) -> None:
    assert Progress("build").percent is None
    release, entered = asyncio.Event(), asyncio.Event()

    async def hang(operation: str, stage: str, _domid: Domid | None) -> None:
        if (operation, stage) == ("create", "memory"):
            entered.set()
            await release.wait()

    host.hypervisor.faults = hang
    place = (await rest.post("/v1/domains", json=config())).headers["location"]
    await entered.wait()
    assert (await rest.get(place)).json()["progress"]["stage"]
    release.set()
    assert (await rest.get(place, params={"wait": 10})).json()["status"] == "done"


async def test_an_integral_number_is_an_integer(rest: httpx.AsyncClient) -> None:
    text = '{"name": "ariel", "memory": 65536.0, "kernel": "/boot/vmlinuz"}'
    headers = {"Content-Type": "application/json", **WAIT}
    response = await rest.post("/v1/domains?define=true", content=text, headers=headers)
    assert response.status_code == 201
    assert (await rest.get("/v1/domains/ariel/config")).json()["memory"] == 65536


async def test_the_fields_of_an_operation_that_failed(rest: httpx.AsyncClient) -> None:
    """The pointer is that of the body that was sent, and the operation has an address."""
    await made(rest)
    for path, body, pointer in (
        ("vcpus", {"online": 9}, "/online"),
        ("memory", {"target": 1 << 40}, "/target"),
        ("memory", {}, ""),
    ):
        response = await rest.patch(f"/v1/domains/prospero/{path}", json=body, headers=WAIT)
        document = check_problem(response, 422, "argument.invalid")
        assert document.get("pointer", "") == pointer
        if body:
            operation = (await rest.get(document["operation"])).json()
            assert operation["error"]["pointer"] == pointer
            assert response.headers["operation-location"] == document["operation"]
