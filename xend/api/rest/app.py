"""The REST face: a FastAPI application over the same service as every other face."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, get_type_hints

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from xend import __version__
from xend.api.asgi import App, BodyLimit, BodyTooLarge, Receive, Scope, Send
from xend.api.facts import HostFacts
from xend.api.rest import (
    acting,
    audit_routes,
    cdrom,
    configs,
    console,
    converting,
    cpupools,
    devices,
    domains,
    events,
    host,
    importing,
    metrics,
    observing,
    operations,
    problems,
    restoring,
    tokens_routes,
    tuning,
    usb,
    vnc,
)
from xend.api.rest.access import Access
from xend.api.rest.answers import Answers
from xend.api.rest.bodies import InvalidBody
from xend.api.rest.documents import DomainRenderer
from xend.api.rest.hostpaths import AllowedPaths
from xend.api.rest.idempotency import Idempotency
from xend.api.rest.lists import dumps
from xend.api.rest.openapi import describe
from xend.api.rest.parameters import known_parameters
from xend.api.rest.refusals import MalformedBody
from xend.core.domains import DomainService
from xend.core.ports import Records
from xend.errors import XendError

log = logging.getLogger("xend.rest")

MAX_BODY: Final = 1024 * 1024


STREAMS: Final = frozenset({"/v1/events"})
"""Answers without an end, of which there is no head alone."""

ROUTERS: Final = (
    console.router,
    vnc.router,
    domains.router,
    acting.router,
    configs.router,
    devices.router,
    usb.router,
    cdrom.router,
    tuning.router,
    observing.router,
    restoring.router,
    importing.router,
    converting.router,
    operations.router,
    cpupools.router,
    events.router,
    host.router,
    metrics.router,
    tokens_routes.router,
    audit_routes.router,
)
"""One per resource."""


def build(
    service: DomainService,
    facts: HostFacts,
    records: Records,
    access: Access,
    paths: AllowedPaths,
) -> RestApp:
    app = _application()
    app.state.service = service
    app.state.facts = facts
    app.state.records = records
    app.state.paths = paths
    app.state.domain_renderer = DomainRenderer()
    app.state.event_texts = events.EventTexts()
    app.state.stopping = asyncio.Event()
    once = Idempotency(Answers(app, service), records, service, MAX_BODY)
    return RestApp(app, once, access)


def description() -> dict[str, Any]:
    """This interface, without anything behind it."""
    return _application().openapi()


def _application() -> FastAPI:
    app = FastAPI(
        title="xend",
        version=__version__,
        summary="Domains on this Xen host",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
        exception_handlers={
            XendError: _xend_error,
            RequestValidationError: _invalid,
            HTTPException: _http_error,
            Exception: _internal_error,
        },
        dependencies=[Depends(known_parameters)],
    )
    app.state.known_parameters = {}
    for router in ROUTERS:
        app.include_router(router)
    app.router.default = _nowhere
    app.openapi = _Description(app)  # type: ignore[method-assign]
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


class _Description:
    """Made once, when it is first asked for."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._made: dict[str, Any] | None = None
        self._text: bytes | None = None

    def __call__(self) -> dict[str, Any]:
        if self._made is None:
            self._made = describe(self._app, ROUTERS)
        return self._made

    def text(self) -> bytes:
        if self._text is None:
            self._text = dumps(self())
        return self._text


class RestApp:
    """The outermost layer: who may come in, how large a body may be, and the last resort."""

    def __init__(self, app: FastAPI, once: App, access: Access) -> None:
        self.fastapi = app
        self._app = BodyLimit(once, MAX_BODY, _too_large)
        self._access = access

    def stop(self) -> None:
        """Streams end; their clients come again."""
        self.fastapi.state.stopping.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not await self._admitted(scope, receive, send):
            return
        try:
            # A WebSocket has no body: the length of its frames is limited by the protocol.
            app = self._app if scope["type"] == "http" else self.fastapi
            if scope.get("method") == "HEAD" and scope["path"] not in STREAMS:
                # The server leaves the body out, by the method that came.
                got = {**scope, "method": "GET"}
                await app(got, receive, send)
                scope.setdefault("route", got.get("route"))
                return
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


async def _xend_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, XendError)
    return problems.respond(error, of=request.scope["state"].get("failed"))


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    model = error.model if isinstance(error, InvalidBody) else _body_model(_request)
    for each in errors:
        if each["type"] == "json_invalid":
            reason = each.get("ctx", {}).get("error", each["msg"])
            return problems.respond(MalformedBody(reason=reason))
    return problems.invalid(errors, model)


def _body_model(request: Request) -> Any:
    """By convention the parameter `body` of a route has the body's model."""
    endpoint = request.scope.get("endpoint")
    return get_type_hints(endpoint).get("body") if endpoint is not None else None


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code != 405:
        return problems.plain(error.status_code, str(error.detail), headers)
    headers["Allow"] = ", ".join(_methods_of(request.scope["path"]))
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=headers)
    detail = f"{request.method} is not possible here, but {headers['Allow']}"
    return problems.plain(405, detail, headers)


async def _internal_error(_request: Request, _error: Exception) -> Response:
    """Starlette raises it again afterwards, and RestApp logs it."""
    detail = "xend has made a mistake: its log has the details"
    return problems.plain(500, detail, {"Connection": "close"})


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """No route: as for HTTP, so for a WebSocket."""
    path = scope["path"]
    other = path.removesuffix("/") if path.endswith("/") else f"{path}/"
    words = f"There is nothing at {path}"
    if _methods_of(other):
        words += f": did you mean {other}?"
    response = problems.plain(404, words, hint="GET /v1/openapi.json has each address.")
    await problems.answer(response, scope, receive, send)


def _methods_of(path: str) -> list[str]:
    """All that an address answers to: each method has a route of its own, and Starlette names
    only those of the first."""
    found = {
        method
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.path_regex.match(path)
        for method in route.methods or ()
    }
    if "GET" in found and path not in STREAMS:
        found.add("HEAD")
    return sorted(found)
