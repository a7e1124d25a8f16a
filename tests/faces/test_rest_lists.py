"""Lists over REST: filter, sort, fields, cursors, JSON lines, 304."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.faces.conftest import Host
from tests.faces.restclient import check_problem, client_of, made
from tests.simhost import guest
from xend.api.rest.documents import DOMAIN_FIELDS, DomainRenderer, domain_document
from xend.api.rest.query import paths_of


@pytest_asyncio.fixture
async def rest(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host.rest) as client:
        for number, memory in enumerate((65536, 131072, 98304)):
            await made(client, f"web{number}", define=True, settings={"memory": memory})
        await made(client, "db", paused=True)
        yield client


async def names(rest: httpx.AsyncClient, **query: Any) -> list[str]:
    response = await rest.get("/v1/domains", params=query)
    assert response.status_code == 200, response.text
    return [item["name"] for item in response.json()["items"]]


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ("name~web*", ["web0", "web1", "web2"]),
        ("name=db", ["db"]),
        ("memory.current>65536,power_state=halted", ["web1", "web2"]),
        ("memory.current>=131072,managed=true", ["web1"]),
        ("domid=null", ["web0", "web1", "web2"]),
        ("origin!=xend", ["Domain-0"]),
        ('name="db"', ["db"]),
        ("power_state<paused,name>web0", ["web1", "web2"]),
        ("name~nothing*", []),
    ],
)
async def test_filters(rest: httpx.AsyncClient, filter: str, found: list[str]) -> None:
    assert await names(rest, filter=filter) == found


async def test_sorting(rest: httpx.AsyncClient) -> None:
    found = await names(rest, sort="-memory.current", filter="name~web*")
    assert found == ["web1", "web2", "web0"]
    assert (await names(rest, sort="managed,-name"))[-3:] == ["web2", "web1", "web0"]


async def test_fields(rest: httpx.AsyncClient) -> None:
    response = await rest.get(
        "/v1/domains", params={"fields": "name,memory.current", "filter": "name=web1"}
    )
    assert response.json()["items"] == [{"name": "web1", "memory": {"current": 131072}}]


async def test_pages(rest: httpx.AsyncClient) -> None:
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2, "sort": "name", "fields": "name"}
    page: dict[str, Any] = {}
    for _ in range(3):
        page = (await rest.get("/v1/domains", params=query)).json()
        seen += [item["name"] for item in page["items"]]
        query["cursor"] = page["next"]
    assert seen == ["Domain-0", "db", "web0", "web1", "web2"]
    assert page["next"] is None


async def test_the_next_page_has_an_address(rest: httpx.AsyncClient) -> None:
    """For JSON lines there is no other place for it."""
    headers = {"Accept": "application/x-ndjson"}
    path, names = "/v1/domains?limit=2&sort=-name&fields=name", []
    while path:
        response = await rest.get(path, headers=headers)
        names += [json.loads(line)["name"] for line in response.text.splitlines()]
        path = response.links["next"]["url"] if "next" in response.links else ""
    assert names == sorted(names, reverse=True) and len(names) > 4
    audit = await rest.get("/v1/audit?limit=1")
    assert audit.links["next"]["url"] == f"/v1/audit?limit=1&cursor={audit.json()['next']}"
    async with asyncio.timeout(5):  # the ends of the creates of before come when they are delivered
        while audit.status_code != 304:
            tag = {"If-None-Match": audit.headers["etag"]}
            audit = await rest.get("/v1/audit?limit=1", headers=tag)


async def test_a_page_is_not_shifted_by_what_comes(rest: httpx.AsyncClient) -> None:
    first = (await rest.get("/v1/domains", params={"limit": 2, "sort": "name"})).json()
    await made(rest, "aaa", define=True)
    query = {"limit": 10, "sort": "name", "cursor": first["next"]}
    assert await names(rest, **query) == ["web0", "web1", "web2"]


@pytest.mark.parametrize(
    ("query", "argument"),
    [
        ({"filter": "nmae=web"}, "filter"),
        ({"filter": "name"}, "filter"),
        ({"filter": "name=a," * 20}, "filter"),
        ({"sort": "size"}, "sort"),
        ({"fields": "name,colour"}, "fields"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "%00"}, "cursor"),
    ],
)
async def test_a_wrong_query_is_named(
    rest: httpx.AsyncClient, query: dict[str, str], argument: str
) -> None:
    document = check_problem(await rest.get("/v1/domains", params=query), 422, "query.invalid")
    assert document["fields"]["argument"] == argument


async def test_a_field_that_was_meant(rest: httpx.AsyncClient) -> None:
    response = await rest.get("/v1/domains", params={"fields": "memory.curent"})
    assert "did you mean 'memory.current'" in response.json()["detail"]


async def test_a_cursor_belongs_to_its_list(rest: httpx.AsyncClient) -> None:
    first = (await rest.get("/v1/domains", params={"limit": 1, "sort": "name"})).json()
    response = await rest.get("/v1/domains", params={"cursor": first["next"], "sort": "-name"})
    check_problem(response, 422, "query.invalid")


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"limit": "many"}])
async def test_limits(rest: httpx.AsyncClient, query: dict[str, Any]) -> None:
    check_problem(await rest.get("/v1/domains", params=query), 422, "request.invalid")


async def test_json_lines(rest: httpx.AsyncClient) -> None:
    response = await rest.get("/v1/domains", headers={"Accept": "application/x-ndjson"})
    assert response.headers["content-type"] == "application/x-ndjson"
    assert len([json.loads(line) for line in response.text.splitlines()]) == 5


@pytest.mark.parametrize(
    "path", ["/v1/domains?filter=managed=true", "/v1/domains/web0", "/v1/host"]
)
async def test_nothing_new(rest: httpx.AsyncClient, path: str) -> None:
    first = await rest.get(path)
    tag = first.headers["etag"]
    assert tag.startswith('"')
    again = await rest.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"") and again.headers["etag"] == tag
    other = await rest.get(path, headers={"If-None-Match": '"x", "y"'})
    assert other.status_code == 200


async def test_a_change_is_seen_at_once_although_lists_are_kept(rest: httpx.AsyncClient) -> None:
    for number in range(5):
        before = (await rest.get("/v1/domains")).headers["etag"]
        await made(rest, f"new{number}", define=True)
        after = await rest.get("/v1/domains", headers={"If-None-Match": before})
        assert after.status_code == 200 and f'"new{number}"' in after.text


async def test_the_fast_list_is_the_slow_one(host: Host, rest: httpx.AsyncClient) -> None:
    await made(rest, "odd.name+x:y", paused=True)
    await host.service.pause("db")
    renderer = DomainRenderer()

    async def check() -> None:
        views = await host.service.list()
        fast = json.loads(f"[{','.join(renderer.render(views))}]")
        assert fast == json.loads(json.dumps([domain_document(view) for view in views]))

    await check()
    await check()
    await host.service.unpause("db")
    await check()
    await host.service.rename("db", "store")
    await host.service.set_vcpus("web1", 2)
    await host.service.new(guest("another"))
    await check()
    await host.service.destroy("store")
    await host.service.delete("another")
    started = await rest.post("/v1/domains/web0/actions/start", headers={"Prefer": "wait=60"})
    assert started.status_code < 300
    await check()
    views = await host.service.list()
    assert sorted(DOMAIN_FIELDS) == sorted(paths_of(domain_document(views[0])))


async def test_operations_are_lists_too(rest: httpx.AsyncClient) -> None:
    response = await rest.get(
        "/v1/operations", params={"filter": "kind=new", "sort": "target.name", "fields": "target"}
    )
    found = [item["target"]["name"] for item in response.json()["items"]]
    assert found == ["web0", "web1", "web2"]
    page = (await rest.get("/v1/operations", params={"limit": 3})).json()
    rest_of = (await rest.get("/v1/operations", params={"cursor": page["next"]})).json()
    assert len(rest_of["items"]) == 1 and rest_of["next"] is None
