"""The description of the interface, the page made from it, and whether both are true."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
from fastapi.routing import APIRoute

from tests.faces.conftest import Host
from tests.faces.restclient import client_of, made
from xend.api.rest.app import ROUTERS, description
from xend.api.rest.guide import CURL, guide
from xend.api.rest.openapi import OPEN, operations

ROOT = Path(__file__).parents[2]
DOCUMENT = description()
OPERATIONS = [(path, method, operation) for path, method, operation in operations(DOCUMENT)]


@pytest_asyncio.fixture
async def rest(host: Host) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(host.rest) as client:
        yield client


def test_the_guide_is_current() -> None:
    """Else: scripts/gen-docs."""
    assert (ROOT / "docs/rest.md").read_text() == guide(DOCUMENT)


def test_each_endpoint_is_described() -> None:
    routes = {
        (route.path, method.lower())
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.include_in_schema
        for method in route.methods or ()
    }
    assert routes == {(path, method) for path, method, _ in OPERATIONS}
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)


def test_operations_are_complete() -> None:
    for path, method, operation in OPERATIONS:
        _check_complete(path, f"{method} {path}", operation)


def _check_complete(path: str, where: str, operation: dict[str, Any]) -> None:
    assert operation["summary"] and operation["responses"]["default"], where
    assert path in OPEN or operation["x-role"] in ("viewer", "operator", "admin"), where
    good = [status for status in operation["responses"] if status.startswith("2")]
    assert good, where
    for status in good:
        content = operation["responses"][status].get("content", {})
        assert content or status == "204", (where, status)
        assert all(entry.get("schema") for entry in content.values())
    for parameter in operation.get("parameters", ()):
        text = parameter.get("description") or parameter["schema"].get("title")
        assert text, (where, parameter)


def test_references_lead_somewhere() -> None:
    names = set(re.findall(r"#/components/schemas/([^\"]+)", json.dumps(DOCUMENT)))
    assert names <= set(DOCUMENT["components"]["schemas"])


async def test_the_description_is_served(rest: httpx.AsyncClient) -> None:
    assert (await rest.get("/v1/openapi.json")).json() == json.loads(json.dumps(DOCUMENT))


def commands() -> list[str]:
    text = (ROOT / "docs/rest.md").read_text().partition("## Endpoints")[2]
    return [line for line in text.splitlines() if line.startswith(CURL)]


def test_each_endpoint_has_a_curl() -> None:
    assert len(commands()) == len(OPERATIONS)


async def test_the_curls_are_understood(host: Host, rest: httpx.AsyncClient) -> None:
    """As they stand in the guide: none is malformed, unknown, or answered without a document."""
    await made(rest, define=True)
    for command in commands():
        words = shlex.split(command)
        if "-N" in words:
            continue
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        headers = dict(
            words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H"
        )
        body = words[words.index("-d") + 1] if "-d" in words else None
        address = words[-1].removeprefix("http://localhost")
        response = await rest.request(method, address, headers=headers, content=body)
        assert response.status_code not in (400, 405, 406, 415, 428), (command, response.text)
        assert response.status_code < 500, (command, response.text)
        if response.status_code == 422:
            assert response.json()["code"] in ("config.invalid", "argument.invalid"), command
