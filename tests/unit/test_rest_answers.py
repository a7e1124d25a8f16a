"""Lists that a crowd asks for at once: few are made, and nobody gets an older one than asked."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from xend.api.asgi import Message, Receive, Scope, Send
from xend.api.rest.access import Role
from xend.api.rest.answers import Answers
from xend.core.domains import DomainService


class Host:
    """Something that changes, a list of it that takes its time, and who asks for that."""

    def __init__(self, status: int = 200) -> None:
        self.version = (0, 0)
        self.made = 0
        self.fails = False
        self.gate = asyncio.Event()
        self._status = status
        self.answers = Answers(self._app, cast(DomainService, self))

    def change(self) -> None:
        self.version = (self.version[0] + 1, 0)

    async def _app(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        self.made += 1
        body = str(self.version[0]).encode()
        await self.gate.wait()
        if self.fails:
            raise RuntimeError("the list could not be made")
        headers = [(b"etag", b'"' + body + b'"')]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def ask(self) -> tuple[int, int]:
        """The status, and the version that was answered."""
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Any:
            raise AssertionError("a GET has no body")

        caller = SimpleNamespace(role=Role.VIEWER)
        scope: Scope = {
            "path": "/v1/domains",
            "method": "GET",
            "query_string": b"limit=50",
            "headers": [],
            "state": {"caller": caller},
        }
        await self.answers(scope, receive, send)
        return sent[0]["status"], int(sent[1]["body"])

    async def crowd(self, count: int) -> list[asyncio.Task[tuple[int, int]]]:
        tasks = [asyncio.create_task(self.ask()) for _ in range(count)]
        await asyncio.sleep(0)
        return tasks


async def test_a_crowd_is_answered_with_one_list() -> None:
    host = Host()
    tasks = await host.crowd(50)
    host.gate.set()
    assert set(await asyncio.gather(*tasks)) == {(200, 0)} and host.made == 1


async def test_who_asks_after_a_change_waits_for_the_next_list_with_all_others() -> None:
    host = Host()
    before = await host.crowd(20)
    host.change()
    after = await host.crowd(20)
    host.change()
    later = await host.crowd(20)
    host.gate.set()
    assert set(await asyncio.gather(*before)) == {(200, 0)}
    assert set(await asyncio.gather(*after, *later)) == {(200, 2)} and host.made == 2


async def test_changes_without_end_keep_nobody_waiting() -> None:
    host = Host()
    host.gate.set()
    for _ in range(20):
        host.change()
        tasks = await host.crowd(10)
        assert {status for status, _ in await asyncio.gather(*tasks)} == {200}
    assert host.made <= 40


async def test_who_goes_away_leaves_the_others_their_answer() -> None:
    host = Host()
    first, second, *others = await host.crowd(10)
    first.cancel()
    second.cancel()
    await asyncio.wait([first, second])
    host.gate.set()
    assert set(await asyncio.gather(*others)) == {(200, 0)}


async def test_errors_are_each_ones_own() -> None:
    host = Host(status=422)
    tasks = await host.crowd(5)
    host.gate.set()
    assert set(await asyncio.gather(*tasks)) == {(422, 0)} and host.made == 5
    host = Host()
    tasks = await host.crowd(3)
    host.fails = True
    host.gate.set()
    for task in tasks:
        with pytest.raises(RuntimeError, match="could not be made"):
            await task
    host.fails = False
    assert await host.ask() == (200, 0)
