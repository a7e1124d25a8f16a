"""The audit: a line for every request that changes something, and for every operation's end.

A request's line is in the file before its answer goes out; the operation that it began has a line
of its own when it ends, whoever asked for it (xm too), and both name the operation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from xend.api.asgi import App, Message, Receive, Scope, Send
from xend.api.rest.access import Caller
from xend.api.rest.security import origin_of
from xend.core.access import AuditError, AuditLine, AuditLog

log = logging.getLogger("xend.audit")

READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
REFUSALS: Final = frozenset({401, 403})
_TOO_MANY: Final = 429
"""Not written: who is refused like that could fill the disk."""
_OPERATIONS: Final = "/v1/operations/"
_STARTS: Final = ("http.response.start", "websocket.http.response.start", "websocket.accept")


class Audited:
    """Wraps the application; what only reads is not written down, unless it was refused.  An
    opened WebSocket is: it may type at a console."""

    def __init__(self, app: App, audit: AuditLog, now: Callable[[], float]) -> None:
        self._app = app
        self._audit = audit
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def audited(message: Message) -> None:
            if message["type"] in _STARTS:
                await self._note(scope, message)
            await send(message)

        await self._app(scope, receive, audited)

    async def _note(self, scope: Scope, message: Message) -> None:
        status = int(message.get("status", 101))
        method = scope.get("method", "WEBSOCKET")
        if status == _TOO_MANY or (method in READS and status not in REFUSALS):
            return
        line = self._line(scope, method, status, _operation(message))
        log.info("%s (%s, %s): %s: %s", line.who, line.role, line.origin, line.action, line.result)
        try:
            await self._audit.append([line])
        except AuditError as error:
            # A full disk must not keep anybody from stopping a guest.
            log.error("%s", error)

    def _line(self, scope: Scope, method: str, status: int, operation: str) -> AuditLine:
        caller: Caller | None = scope["state"].get("caller")
        parts = scope["path"].split("/")
        domain = parts[3] if parts[1:3] == ["v1", "domains"] and len(parts) > 3 else ""
        return AuditLine(
            time=self._now(),
            who=caller.name if caller else "nobody",
            origin=caller.origin if caller else origin_of(scope),
            face="rest",
            action=f"{method} {scope['path']}"[:1000],
            target=domain[:255],
            result=str(status),
            role=caller.role.word if caller else "",
            operation=operation,
        )


def _operation(message: Message) -> str:
    """Its id, of the answer's Location."""
    for name, value in message.get("headers", ()):
        if bytes(name).lower() == b"location":
            place = bytes(value).decode("latin-1")
            if place.startswith(_OPERATIONS):
                return place.removeprefix(_OPERATIONS)
    return ""
