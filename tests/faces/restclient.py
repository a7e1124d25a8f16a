"""What the tests of REST share: a client on the Unix socket, and small configurations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

WAIT = {"Prefer": "wait=10"}
PROBLEM = "application/problem+json"


@asynccontextmanager
async def client_of(socket: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://xend", timeout=30) as client:
        yield client


def config(name: str = "prospero", **more: Any) -> dict[str, Any]:
    return {"name": name, "memory": 65536, "kernel": "/boot/vmlinuz", **more}


def check_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    document: dict[str, Any] = response.json()
    assert document["status"] == status
    assert document["code"] == code
    assert document["type"] == f"urn:xend:error:{code}"
    assert document["title"] and document["detail"]
    return document


async def made(rest: httpx.AsyncClient, name: str = "prospero", **query: Any) -> dict[str, Any]:
    settings = query.pop("settings", {})
    response = await rest.post(
        "/v1/domains", json=config(name, **settings), headers=WAIT, params=query
    )
    assert response.status_code == 201, response.text
    document: dict[str, Any] = response.json()
    return document
