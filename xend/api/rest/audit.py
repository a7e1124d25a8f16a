"""The audit: a line for every request that changes something, and for every operation's end.

A request's line is in the file before its answer goes out; the operation that it began has a line
of its own when it ends, whoever asked for it (xm too), and both name the operation.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
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


REFUSALS_AT_ONCE: Final = 20
SECONDS_PER_REFUSAL: Final = 30.0
_SOURCES: Final = 1000


@dataclass(slots=True)
class _Source:
    left: float
    seen: float
    unwritten: int = 0


class RefusalBudget:
    """How many refusals of one source are written: whoever knocks without a key must not be able
    to push what others did out of the audit, which keeps so many lines and no more."""

    def __init__(
        self,
        now: Callable[[], float],
        at_once: float = REFUSALS_AT_ONCE,
        seconds: float = SECONDS_PER_REFUSAL,
    ) -> None:
        """`at_once` in a burst, and then one every `seconds`."""
        self._now = now
        self._at_once = at_once
        self._seconds = seconds
        self._sources: OrderedDict[str, _Source] = OrderedDict()

    def spend(self, source: str) -> int | None:
        """None: it is not to be written.  Else how many before it were not."""
        now = self._now()
        known = self._sources.setdefault(source, _Source(self._at_once, now))
        self._sources.move_to_end(source)
        if len(self._sources) > _SOURCES:
            self._sources.popitem(last=False)
        gained = max(0.0, now - known.seen) / self._seconds
        known.left, known.seen = min(self._at_once, known.left + gained), now
        if known.left < 1:
            known.unwritten += 1
            return None
        known.left -= 1
        unwritten, known.unwritten = known.unwritten, 0
        return unwritten


class Audited:
    """Wraps the application; what only reads is not written down, unless it was refused.  An
    opened WebSocket is: it may type at a console."""

    def __init__(self, app: App, audit: AuditLog, now: Callable[[], float]) -> None:
        self._app = app
        self._audit = audit
        self._now = now
        self._each = RefusalBudget(now)
        self._together = RefusalBudget(now, REFUSALS_AT_ONCE * 50, SECONDS_PER_REFUSAL / 10)

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
        if status in REFUSALS and scope["state"].get("caller") is None:
            unwritten = self._each.spend(_source(scope))
            if unwritten is None or self._together.spend("") is None:
                return
            if unwritten:
                line = replace(line, action=f"{line.action} (and {unwritten} refusals before it)")
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


def _source(scope: Scope) -> str:
    """An address without its port, of IPv6 the network; or a local user."""
    peer = scope["state"].get("peer")
    if peer is not None:
        return f"uid {peer.uid}"
    host = origin_of(scope).rpartition(":")[0]
    return ":".join(host.split(":")[:4]) if ":" in host else host


def _operation(message: Message) -> str:
    """Its id, of the answer's Location."""
    for name, value in message.get("headers", ()):
        if bytes(name).lower() == b"location":
            place = bytes(value).decode("latin-1")
            if place.startswith(_OPERATIONS):
                return place.removeprefix(_OPERATIONS)
    return ""
