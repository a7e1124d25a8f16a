"""Lists of many: what is answered in portions is what is answered in one, and others get turns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.requests import Request

from xend.api.asgi import InPieces, Message, Receive, Scope, Send
from xend.api.rest.lists import Page, answer
from xend.core.portions import PORTION, portions

KNOWN = ("name", "size", "state")
MANY: Sequence[dict[str, Any]] = [
    {"name": f"guest{number}", "size": number * 7919 % 101, "state": "ab"[number % 2]}
    for number in range(3 * PORTION + 7)
]


def request(accept: str = "application/json", query: bytes = b"") -> Request:
    headers = [(b"accept", accept.encode())]
    return Request({"type": "http", "path": "/v1/x", "query_string": query, "headers": headers})


async def listed(page: Page, accept: str = "application/json") -> bytes:
    response = await answer(
        request(accept), MANY, page, known=KNOWN, id_of=lambda each: str(each["name"])
    )
    return bytes(response.body)


async def items(page: Page) -> Any:
    return json.loads(await listed(page))["items"]


async def test_all_of_them() -> None:
    assert await items(Page()) == MANY
    lines = (await listed(Page(), "application/x-ndjson")).decode().splitlines()
    assert [json.loads(line) for line in lines] == MANY


async def test_filtered_sorted_and_shortened() -> None:
    found = await items(Page(filter="state=a,size>10", sort="-size,name", fields="size,name"))
    wanted = [each for each in MANY if each["state"] == "a" and each["size"] > 10]
    wanted.sort(key=lambda each: each["name"])
    wanted.sort(key=lambda each: each["size"], reverse=True)
    assert found == [{"size": each["size"], "name": each["name"]} for each in wanted]


@pytest.mark.parametrize("sort", [None, "size", "-size", "state,-size"])
async def test_pages_are_the_whole(sort: str | None) -> None:
    found: list[Any] = []
    cursor = None
    while True:
        body = json.loads(await listed(Page(limit=PORTION + 3, cursor=cursor, sort=sort)))
        found += body["items"]
        cursor = body["next"]
        if cursor is None:
            break
    assert found == await items(Page(sort=sort))
    assert sorted(each["name"] for each in found) == sorted(each["name"] for each in MANY)


async def turns_during(page: Page) -> int:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await listed(page)
    counting.cancel()
    return turns


async def test_others_have_their_turn() -> None:
    assert await turns_during(Page()) == 3
    assert await turns_during(Page(filter="size>=0", sort="name,size", fields="name")) == 12
    assert await turns_during(Page(limit=PORTION)) == 0


async def test_few_come_at_once() -> None:
    assert [list(part) async for part in portions([1, 2, 3], 2)] == [[1, 2], [3]]
    nothing: list[int] = []
    assert [part async for part in portions(nothing)] == []


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 25])
async def test_a_long_body_goes_out_in_pieces(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InPieces, "PIECE", 10)
    body = bytes(range(size))

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": body})

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is asked for")

    await InPieces(app)({"type": "http"}, receive, send)
    pieces = sent[1:]
    assert all(len(piece["body"]) <= 10 for piece in pieces)
    assert [bool(piece.get("more_body")) for piece in pieces] == [True] * (len(pieces) - 1) + [
        False
    ]
    assert b"".join(piece["body"] for piece in pieces) == body * 2
