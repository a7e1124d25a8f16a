"""What an ASGI application of ours looks like, and the few things all of them need.

Specification: https://asgi.readthedocs.io/en/latest/specs/www.html (http scope only).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

from xend.errors import XendError

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]


class BodyTooLarge(XendError):
    """Fields: `limit` in bytes."""

    key = "http.body-too-large"
    template = "The request's body is larger than {limit} bytes"


class ClientGone(XendError):
    """The client went away (or was too slow) before its request was complete."""

    key = "http.client-gone"
    template = "The client closed before its request was complete"


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header called `name` (lower case)."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def declared_length(scope: Scope) -> int | None:
    """Content-Length; the HTTP parser has already refused what is no number."""
    text = header(scope, b"content-length")
    return int(text) if text is not None else None


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body, at most `limit` bytes: BodyTooLarge before a byte of a larger one is read,
    when its length is declared.  ClientGone when it ends early."""
    length = declared_length(scope)
    if length is not None and length > limit:
        raise BodyTooLarge(limit=limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise BodyTooLarge(limit=limit)
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


async def respond(
    send: Send, status: int, body: bytes, content_type: bytes, headers: Headers = ()
) -> None:
    """A whole answer with its length: old clients do not know chunks."""
    fields = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


CLOSE = (b"connection", b"close")
TEXT = b"text/plain; charset=utf-8"


class BodyLimit:
    """Wraps an application so that no body larger than `limit` bytes reaches it."""

    def __init__(
        self, app: App, limit: int, refuse: Callable[[Send, BodyTooLarge], Awaitable[None]]
    ) -> None:
        self._app = app
        self._limit = limit
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if header(scope, b"transfer-encoding") is None:
                length = declared_length(scope) or 0
                if length > self._limit:
                    raise BodyTooLarge(limit=self._limit)
            else:  # no length to believe: count before the application sees any of it
                receive = replay(await read_body(scope, receive, self._limit), receive)
        except BodyTooLarge as error:
            await self._refuse(send, error)
            return
        except ClientGone:
            return
        await self._app(scope, receive, send)


class InPieces:
    """Wraps an application so that of a long body only as much is handed over as the client takes:
    what lies in the buffers of a slow one is a piece and not a list of thousands, and others have
    their turn in between."""

    PIECE = 256 * 1024

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def cut(message: Message) -> None:
            body = message.get("body", b"")
            if len(body) > self.PIECE and message["type"] == "http.response.body":
                kind, size, last = message["type"], self.PIECE, (len(body) - 1) // self.PIECE
                for place in range(last):
                    piece = body[place * size : (place + 1) * size]
                    await send({"type": kind, "body": piece, "more_body": True})
                    await asyncio.sleep(0)
                message = {**message, "body": body[last * size :]}
            await send(message)

        await self._app(scope, receive, cut)


def replay(body: bytes, receive: Receive) -> Receive:
    """A body that was read already, then whatever comes after it."""
    pending = [body]

    async def again() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return again
