"""The REST face: a FastAPI application over the same service as every other face."""

from __future__ import annotations

import logging
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from xend import __version__
from xend.api.asgi import BodyLimit, BodyTooLarge, Receive, Scope, Send
from xend.api.facts import HostFacts
from xend.api.peer import Peer
from xend.api.rest import domains, host, operations, problems
from xend.core.domains import DomainService
from xend.errors import PermissionDenied, XendError

log = logging.getLogger("xend.rest")

MAX_BODY: Final = 1024 * 1024


def build(service: DomainService, facts: HostFacts, allowed_uids: frozenset[int]) -> RestApp:
    app = FastAPI(
        title="xend",
        version=__version__,
        summary="Domains on this Xen host",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            XendError: _xend_error,
            RequestValidationError: _invalid,
            HTTPException: _http_error,
        },
    )
    app.state.service = service
    app.state.facts = facts
    for router in (domains.router, operations.router, host.router):
        app.include_router(router)
    return RestApp(app, allowed_uids)


class RestApp:
    """The outermost layer: who may come in, how large a body may be, and the last resort."""

    def __init__(self, app: FastAPI, allowed_uids: frozenset[int]) -> None:
        self.fastapi = app
        self._app = BodyLimit(app, MAX_BODY, _too_large)
        self._allowed_uids = allowed_uids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer: Peer | None = scope["state"].get("peer")
        if peer is None or peer.uid not in self._allowed_uids:
            who = str(peer) if peer is not None else "a stranger"
            error = PermissionDenied(f"{who} may not use this socket", peer=who)
            await problems.respond(error)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except Exception:
            # Starlette has sent the 500 already, if nothing had been sent before.
            log.exception("Internal error handling %s %s", scope["method"], scope["path"])


async def _too_large(send: Send, error: BodyTooLarge) -> None:
    response = problems.respond(error, {"Connection": "close"})
    await response({"type": "http"}, _nothing, send)


async def _nothing() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def _xend_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, XendError)
    return problems.respond(error)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    for each in errors:
        if each["type"] == "json_invalid":
            reason = each.get("ctx", {}).get("error", each["msg"])
            return problems.respond(problems.MalformedBody(reason=reason))
    return problems.invalid(errors)


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problems.plain(error.status_code, str(error.detail), error.headers)
