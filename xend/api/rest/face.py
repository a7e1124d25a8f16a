"""The whole REST face: the application, who may come in, and the audit around both."""

from __future__ import annotations

import contextlib
import time

from xend.api.asgi import App, InPieces, Message, Receive, Scope, Send
from xend.api.facts import HostFacts
from xend.api.rest.app import RestApp, build
from xend.api.rest.audit import Audited
from xend.api.rest.hostpaths import AllowedPaths
from xend.api.rest.metrics_requests import RequestMetrics, Timed
from xend.api.rest.parts import RestParts
from xend.api.rest.security import Gatekeeper
from xend.api.rest.security_origins import Origins
from xend.api.rest.tickets import Tickets
from xend.api.rest.tokens import Tokens
from xend.core.domains import DomainService


class RestFace:
    """From the outside in: pieces, times, audit, web origins, who calls, the routes."""

    def __init__(self, app: RestApp, outermost: App) -> None:
        self._app = app
        self._outermost = outermost

    def stop(self) -> None:
        """Streams end; their clients come again."""
        self._app.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._outermost(scope, receive, send)


def face(service: DomainService, facts: HostFacts, parts: RestParts) -> RestFace:
    """Not on the event loop: it takes tenths of a second."""
    tokens = Tokens(parts.records, time.time)
    tickets = Tickets(time.monotonic)
    gatekeeper = Gatekeeper(lambda: parts.rules, tokens, tickets, time.monotonic)
    paths = AllowedPaths(lambda: parts.paths, lambda: parts.rules.images)
    app = build(service, facts, parts.records, gatekeeper, paths)
    _warm(app)
    state = app.fastapi.state
    state.parts, state.tokens, state.tickets = parts, tokens, tickets
    state.requests = RequestMetrics()
    audited = Audited(Origins(app, lambda: parts.rules), parts.audit, time.time)
    return RestFace(app, InPieces(Timed(audited, state.requests, time.perf_counter)))


def _warm(app: RestApp) -> None:
    """FastAPI prepares its routes when the first request comes; better here than there.

    An address without a route goes through all of that and waits for nothing.
    """
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/warm",
        "raw_path": b"/v1/warm",
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
        "scheme": "http",
        "client": None,
        "server": None,
        "state": {},
    }

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        """Nobody is there."""

    with contextlib.suppress(StopIteration):
        app.fastapi(scope, receive, send).send(None)
