"""Lists that are asked for again and again: the same bytes for a moment, without any work.

Dashboards ask for the same list several times a second, and many of them at once.  An answer is
given again while it is young and nothing has changed that xend did or was told of; what may differ
then is only what guests do by themselves (their CPU time, their ballooning) in that moment.

While something changes all the time nothing is young.  Who comes while an answer is made that began
before the last change waits for the next one, together with all others who wait: a crowd is
answered with two lists and not with one after the other, and everybody sees what was changed before
they asked.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from xend.api.asgi import App, Message, Receive, Scope, Send, header
from xend.api.rest.access import Caller, Role
from xend.api.rest.lists import matches
from xend.core.domains import DomainService

SECONDS: Final = 0.1
"""So old is young."""
STALE_SECONDS: Final = 0.5
"""So old is still answered, while a younger one is made."""
PATHS: Final = frozenset({"/v1/domains", "/v1/operations"})
MOST: Final = 64
"""Different queries that are kept."""
_LARGEST: Final = 4 * 1024 * 1024

Key = tuple[str, bytes, bytes | None]
_WITHOUT_BODY: Final = frozenset({b"content-length", b"content-type"})


@dataclass(slots=True)
class _Kept:
    began: float
    """Monotonic seconds: what happened until then is in it."""
    version: tuple[int, int]
    etag: str
    headers: list[tuple[bytes, bytes]]
    body: bytes


class _Making:
    """An answer that is under way."""

    __slots__ = ("done", "version")

    def __init__(self, version: tuple[int, int]) -> None:
        self.version = version
        self.done: asyncio.Future[_Kept | None] = asyncio.get_running_loop().create_future()
        """None: it is not one to be kept, or it failed."""


class Answers:
    """Around the application, behind who may come in: every caller that has got here may look."""

    def __init__(self, app: App, service: DomainService) -> None:
        self._app = app
        self._service = service
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._making: dict[Key, _Making] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in PATHS or scope["method"] != "GET" or not _may_look(scope):
            await self._app(scope, receive, send)
            return
        key = (scope["path"], scope["query_string"], header(scope, b"accept"))
        given = header(scope, b"if-none-match")
        kept = self._usable(key, STALE_SECONDS)
        if kept is not None:
            # Routing would have noted which route it was.
            scope.setdefault("route", _Route(scope["path"]))
            await _send(kept, given, send)
            if self._usable(key, SECONDS) is None and key not in self._making:
                # Answered already; the next one gets a younger list without waiting for it.
                await self._make(key, scope, receive, _to_nobody)
            return
        kept = await self._shared(key) or await self._make(key, scope, receive, send)
        if kept is not None:
            scope.setdefault("route", _Route(scope["path"]))
            await _send(kept, given, send)

    async def _shared(self, key: Key) -> _Kept | None:
        """What another request makes, if that is as good as an answer begun now."""
        arrived = time.monotonic()
        while (making := self._making.get(key)) is not None:
            nothing_since = making.version == self._service.version
            made = await asyncio.shield(making.done)
            if made is None:
                return None  # An error is nobody else's.
            if nothing_since or made.began >= arrived:
                return made
            # Who was woken first may have made the next one already.
            newest = self._kept.get(key)
            if newest is not None and newest.began >= arrived:
                return newest
        return None

    async def _make(self, key: Key, scope: Scope, receive: Receive, send: Send) -> _Kept | None:
        """None when it is not one to be kept: then it has been sent."""
        if key in self._making:
            return await self._ask(scope, receive, send)
        making = self._making[key] = _Making(self._service.version)
        kept = None
        try:
            kept = await self._ask(scope, receive, send)
            self._keep(key, kept)
        finally:
            del self._making[key]
            making.done.set_result(kept)
        return kept

    def _usable(self, key: Key, seconds: float) -> _Kept | None:
        kept = self._kept.get(key)
        if kept is None or kept.version != self._service.version:
            return None
        return kept if time.monotonic() - kept.began < seconds else None

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> _Kept | None:
        """The whole answer, if it is one to be kept; else it has been sent."""
        version, began = self._service.version, time.monotonic()
        # The application would answer 304 and nothing could be kept of that.
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"if-none-match"]
        head: Message = {}
        kept: _Kept | None = None

        async def heard(message: Message) -> None:
            nonlocal head, kept
            if message["type"] == "http.response.start":
                head = message
                if not _is_keepable(message):
                    await send(message)
            elif not _is_keepable(head):
                await send(message)
            else:
                etag = dict(head["headers"])[b"etag"].decode("latin-1")
                kept = _Kept(began, version, etag, list(head["headers"]), message["body"])

        await self._app(scope, receive, heard)
        return kept

    def _keep(self, key: Key, kept: _Kept | None) -> None:
        if kept is None or len(kept.body) > _LARGEST:
            return
        self._kept[key] = kept
        self._kept.move_to_end(key)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)


def _is_keepable(head: Message) -> bool:
    """A list is answered in one piece."""
    return head["status"] == 200 and any(name == b"etag" for name, _ in head["headers"])


@dataclass(frozen=True, slots=True)
class _Route:
    path: str


def _may_look(scope: Scope) -> bool:
    caller: Caller = scope["state"]["caller"]
    return caller.role >= Role.VIEWER


async def _to_nobody(_message: Message) -> None:
    """The client has its answer."""


async def _send(kept: _Kept, given: bytes | None, send: Send) -> None:
    status, headers, body = 200, kept.headers, kept.body
    if given is not None and matches(given.decode("latin-1"), kept.etag):
        status, body = 304, b""
        headers = [pair for pair in headers if pair[0] not in _WITHOUT_BODY]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
