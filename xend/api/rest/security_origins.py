"""What a web browser may do here for the page of another site: nothing, unless it is configured.

A browser attaches a client certificate by itself, and any page can reach the loopback interface, so
a foreign `Origin` is refused before anything is done, WebSockets included (RFC 6455, 10.2).
CORS: https://fetch.spec.whatwg.org/#http-cors-protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from xend.api.asgi import App, Message, Receive, Scope, Send, header
from xend.api.rest import problems
from xend.api.rest.security_rules import RestRules
from xend.errors import PermissionDenied

_METHODS: Final = b"GET, POST, PUT, PATCH, DELETE"
_HEADERS: Final = (
    b"Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Last-Event-ID, Prefer"
)
_EXPOSED: Final = b"ETag, Location, Preference-Applied, Retry-After"
_SECONDS: Final = b"600"


class OriginRefused(PermissionDenied):
    """Field: `origin`."""

    key = "origin-refused"
    template = "Pages of {origin} may not call: xend-rest-cors-origins does not name it"


class Origins:
    """Wraps the application.  Requests without an Origin (all but browsers') pass untouched."""

    def __init__(self, app: App, rules: Callable[[], RestRules]) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = header(scope, b"origin")
        if origin is None or _is_own(scope, origin):
            await self._app(scope, receive, send)
            return
        if origin.decode("latin-1") not in self._rules().origins:
            error = OriginRefused(origin=origin.decode("latin-1")[:255])
            await problems.refuse(error, scope, receive, send)
            return
        allowed = [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
        if _is_preflight(scope):
            await _answer_preflight(send, allowed)
            return

        async def shared(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = [*allowed, (b"access-control-expose-headers", _EXPOSED)]
                message = {**message, "headers": [*message.get("headers", ()), *more]}
            await send(message)

        await self._app(scope, receive, shared)


def _is_own(scope: Scope, origin: bytes) -> bool:
    """The page came from this server itself.  By name only over TLS: a name that an attacker
    points at 127.0.0.1 would be its page's Host, too (DNS rebinding), but has no certificate."""
    host = header(scope, b"host")
    return (
        scope.get("scheme") in ("https", "wss")
        and host is not None
        and origin == (b"https://" + host)
    )


def _is_preflight(scope: Scope) -> bool:
    return (
        scope.get("method") == "OPTIONS"
        and header(scope, b"access-control-request-method") is not None
    )


async def _answer_preflight(send: Send, allowed: list[tuple[bytes, bytes]]) -> None:
    headers = [
        *allowed,
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _HEADERS),
        (b"access-control-max-age", _SECONDS),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
