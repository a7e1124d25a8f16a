"""Idempotency-Key: a request that is repeated is done once, also over a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest_asyncio

from tests.faces.conftest import Host
from tests.faces.restclient import WAIT, check_problem, client_of, config
from xend.api.rest.idempotency import KIND
from xend.model.units import Domid

KEY = {"Idempotency-Key": "5f2d-first"}


@pytest_asyncio.fixture
async def rest(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host.rest) as client:
        yield client


async def names(rest: httpx.AsyncClient) -> list[str]:
    items = (await rest.get("/v1/domains")).json()["items"]
    return [item["name"] for item in items if item["domid"] != 0]


async def test_the_same_answer_again(rest: httpx.AsyncClient) -> None:
    first = await rest.post("/v1/domains", json=config(), headers={**WAIT, **KEY})
    assert first.status_code == 201
    again = await rest.post("/v1/domains", json=config(), headers={**WAIT, **KEY})
    assert again.status_code == 201 and again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert await names(rest) == ["prospero"]


async def test_an_operation_is_answered_as_it_is_now(rest: httpx.AsyncClient) -> None:
    first = await rest.post("/v1/domains", json=config(), headers=KEY)
    assert first.status_code == 202
    await rest.get(first.headers["location"], params={"wait": 10})
    again = await rest.post("/v1/domains", json=config(), headers=KEY)
    assert again.status_code == 202 and again.headers["location"] == first.headers["location"]
    assert again.json()["status"] == "done"


async def test_the_key_of_another_request(rest: httpx.AsyncClient) -> None:
    await rest.post("/v1/domains", json=config(), headers={**WAIT, **KEY})
    for path, body in (
        ("/v1/domains", config("ariel")),
        ("/v1/domains?paused=true", config()),
        ("/v1/domains/prospero/actions/destroy", None),
    ):
        response = await rest.post(path, json=body, headers=KEY)
        check_problem(response, 422, "idempotency.key-reused")
    assert await names(rest) == ["prospero"]


async def test_two_at_the_same_time(host: Host, rest: httpx.AsyncClient) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def hang(operation: str, _stage: str, _domid: Domid | None) -> None:
        if operation == "create":
            entered.set()
            await release.wait()

    host.hypervisor.faults = hang
    first = asyncio.ensure_future(rest.post("/v1/domains", json=config(), headers={**WAIT, **KEY}))
    await entered.wait()
    second = await rest.post("/v1/domains", json=config(), headers={**WAIT, **KEY})
    check_problem(second, 409, "idempotency.in-progress")
    release.set()
    assert (await first).status_code == 201
    assert await names(rest) == ["prospero"]


async def test_what_had_no_effect_may_be_repeated(rest: httpx.AsyncClient) -> None:
    path = "/v1/domains/prospero/actions/pause"
    check_problem(await rest.post(path, headers={**WAIT, **KEY}), 404, "domain.not-found")
    await rest.post("/v1/domains", json=config(), headers=WAIT)
    assert (await rest.post(path, headers={**WAIT, **KEY})).status_code == 200


async def test_keys_that_are_none(rest: httpx.AsyncClient) -> None:
    for key in ("", "x" * 256):
        response = await rest.post("/v1/domains", json=config(), headers={"Idempotency-Key": key})
        check_problem(response, 422, "query.invalid")
    assert await names(rest) == []


async def _kill_during_create(
    host: Host, rest: httpx.AsyncClient, stage: str
) -> tuple[str, dict[str, Any]]:
    """A create with KEY that stays in its stage for ever; the place of its operation."""
    entered = asyncio.Event()

    async def hang(operation: str, at: str, _domid: Domid | None) -> None:
        if (operation, at) == ("create", stage):
            entered.set()
            await asyncio.Event().wait()

    host.hypervisor.faults = hang
    response = await rest.post("/v1/domains", json=config(), headers=KEY)
    assert response.status_code == 202
    await entered.wait()
    return response.headers["location"], response.json()


async def test_a_create_that_was_cut_off(host: Host) -> None:
    """Its address tells the truth, and the same request makes the one domain that was wanted."""
    async with client_of(host.rest) as rest:
        place, _ = await _kill_during_create(host, rest, "memory")
        uuid = (await rest.get(place)).json()["target"]["uuid"]
    await host.restart()
    async with client_of(host.rest) as rest:
        operation = (await rest.get(place)).json()
        assert operation["status"] == "interrupted" and operation["finished_at"]
        check_problem(await rest.get(operation["links"]["domain"]), 404, "domain.not-found")
        again = await rest.post("/v1/domains", json=config(), headers={**KEY, **WAIT})
        assert again.status_code == 201, again.text
        assert again.json()["uuid"] == uuid
        third = await rest.post("/v1/domains", json=config(), headers={**KEY, **WAIT})
        assert third.json() == again.json()
        assert await names(rest) == ["prospero"]


async def test_a_create_that_was_done_but_not_answered(host: Host) -> None:
    async with client_of(host.rest) as rest:
        first = await rest.post("/v1/domains", json=config(), headers={**KEY, **WAIT})
        assert first.status_code == 201
        # As if the daemon had been killed before the answer was written down.
        [(key, record)] = await host.records.all(KIND)
        await host.records.put(KIND, key, {**record, "answer": None})
    await host.restart()
    async with client_of(host.rest) as rest:
        again = await rest.post("/v1/domains", json=config(), headers={**KEY, **WAIT})
        assert again.status_code == 202 and again.json()["kind"] == "create"
        assert again.json()["target"]["uuid"] == first.json()["uuid"]
        assert await names(rest) == ["prospero"]


async def test_a_create_with_its_own_uuid_that_was_cut_off(host: Host) -> None:
    uuid = "5b1ca0e2-9d3f-4d57-8a3c-6d5c3c9f7a11"
    entered = asyncio.Event()

    async def hang(operation: str, at: str, _domid: Domid | None) -> None:
        if (operation, at) == ("create", "memory"):
            entered.set()
            await asyncio.Event().wait()

    host.hypervisor.faults = hang
    body = config(uuid=uuid)
    async with client_of(host.rest) as rest:
        assert (await rest.post("/v1/domains", json=body, headers=KEY)).status_code == 202
        await entered.wait()
    await host.restart()
    async with client_of(host.rest) as rest:
        again = await rest.post("/v1/domains", json=body, headers={**KEY, **WAIT})
        assert again.status_code == 201 and again.json()["uuid"] == uuid


async def test_one_that_had_not_begun(host: Host, rest: httpx.AsyncClient) -> None:
    """Killed between the key and the operation."""
    first = await rest.post("/v1/domains", json=config(), headers={**KEY, **WAIT})
    await rest.delete("/v1/domains/prospero?force=1", headers=WAIT)
    [(key, record)] = await host.records.all(KIND)
    await host.records.put(KIND, key, {**record, "answer": None, "job": "never-begun"})
    again = await rest.post("/v1/domains", json=config(), headers={**KEY, **WAIT})
    assert again.status_code == 201 and again.json()["uuid"] == first.json()["uuid"]
