"""Errors as `application/problem+json` (RFC 9457): one table from class to status.

`code` is the error's stable key; `type` is the same as a URI.  `fields` has what the error knows
(libxl's rc and log lines, a script's stderr, the state that a domain is in …).
"""

from __future__ import annotations

import http
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from xend.api.asgi import BodyTooLarge, Receive, Scope, Send
from xend.api.rest.access import Unauthenticated
from xend.core.events import EventsGone, ReaderTooSlow
from xend.errors import (
    ConfigError,
    ConflictError,
    DomainNotFound,
    DomainStateError,
    HypervisorError,
    HypervisorUnavailable,
    InvalidArgument,
    OperationCancelled,
    OperationFailed,
    OperationTimeout,
    PermissionDenied,
    ResourceError,
    UnsupportedFeature,
    XendError,
    XenStoreError,
    XenStoreUnavailable,
)

MEDIA_TYPE: Final = "application/problem+json"


class NotFound(XendError):
    """Nothing is at that address.  Fields: `what`, `value`."""

    key = "not-found"
    template = "There is no {what} '{value}'"


class UnsupportedMediaType(XendError):
    """Fields: `given`, `expected`."""

    key = "http.unsupported-media-type"
    template = "A body of type '{given}' is not understood: expected {expected}"


class MalformedBody(XendError):
    """Not JSON.  Fields: `reason`."""

    key = "http.malformed-body"
    template = "The body is not JSON: {reason}"


STATUS: Final[Mapping[type[XendError], int]] = {
    ConfigError: 422,
    InvalidArgument: 422,
    MalformedBody: 400,
    Unauthenticated: 401,
    PermissionDenied: 403,
    DomainNotFound: 404,
    NotFound: 404,
    DomainStateError: 409,
    ConflictError: 409,
    ResourceError: 409,
    OperationCancelled: 409,
    EventsGone: 410,
    ReaderTooSlow: 410,
    BodyTooLarge: 413,
    UnsupportedMediaType: 415,
    UnsupportedFeature: 501,
    HypervisorError: 502,
    XenStoreError: 502,
    HypervisorUnavailable: 503,
    XenStoreUnavailable: 503,
    OperationTimeout: 504,
    OperationFailed: 500,
    XendError: 500,
}


def status_of(error: XendError) -> int:
    """Of the nearest class in the table."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def problem(error: XendError) -> dict[str, Any]:
    """The document of one error."""
    status = status_of(error)
    return {
        "type": f"urn:xend:error:{error.key}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": str(error),
        "code": error.key,
        "fields": {key: _json(value) for key, value in error.fields.items()},
    }


def respond(error: XendError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    document = problem(error)
    return JSONResponse(document, document["status"], headers, MEDIA_TYPE)


async def refuse(error: XendError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers for the application, to an HTTP request or to a WebSocket that wants to open."""
    response = respond(error)
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(response)
        return
    await response(scope, receive, send)


def plain(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """For what is no error of ours: an unknown address, a wrong method."""
    phrase = http.HTTPStatus(status).phrase
    code = "http." + phrase.lower().replace(" ", "-")
    document = {
        "type": f"urn:xend:error:{code}",
        "title": phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return JSONResponse(document, status, headers, MEDIA_TYPE)


def invalid(errors: Sequence[Mapping[str, Any]]) -> JSONResponse:
    """422 with a JSON pointer (RFC 6901) for each wrong field of pydantic's list."""
    found = []
    for error in errors:
        where, *path = [str(part) for part in error["loc"]] or ["body"]
        pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
        found.append(
            {"in": where, "pointer": pointer, "detail": error["msg"], "code": error["type"]}
        )
    first = found[0] if found else {"pointer": "", "detail": "invalid"}
    document = {
        "type": "urn:xend:error:request.invalid",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": f"{first['pointer'] or 'the request'}: {first['detail']}",
        "code": "request.invalid",
        "errors": found,
    }
    return JSONResponse(document, 422, media_type=MEDIA_TYPE)


def _json(value: Any) -> Any:
    """Fields may hold anything that is useful in a message."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(item) for item in value]
    return str(value)
