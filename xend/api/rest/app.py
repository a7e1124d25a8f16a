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
from xend.api.rest import domains, host, operations, problems
from xend.api.rest.access import Access
from xend.core.domains import DomainService
from xend.core.ports import Records
from xend.errors import XendError

log = logging.getLogger("xend.rest")

MAX_BODY: Final = 1024 * 1024


ROUTERS: Final = (domains.router, operations.router, host.router)
"""One per resource."""


def build(service: DomainService, facts: HostFacts, records: Records, access: Access) -> RestApp:
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
    app.state.records = records
    for router in ROUTERS:
        app.include_router(router)
    return RestApp(app, access)


class RestApp:
    """The outermost layer: who may come in, how large a body may be, and the last resort."""

    def __init__(self, app: FastAPI, access: Access) -> None:
        self.fastapi = app
        self._app = BodyLimit(app, MAX_BODY, _too_large)
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not await self._admitted(scope, receive, send):
            return
        try:
            # A WebSocket has no body: the length of its frames is limited by the protocol.
            app = self._app if scope["type"] == "http" else self.fastapi
            await app(scope, receive, send)
        except Exception:
            # Starlette has sent the 500 already, if nothing had been sent before.
            log.exception("Internal error handling %s", scope["path"])

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> bool:
        try:
            scope["state"]["caller"] = await self._access.identify(scope)
        except XendError as error:
            await problems.refuse(error, scope, receive, send)
            return False
        return True


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
