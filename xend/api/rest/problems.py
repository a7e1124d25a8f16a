"""Errors as `application/problem+json` (RFC 9457): one table from class to status.

`code` is the error's stable key; `type` is the same as a URI.  `fields` has what the error knows;
what a client may want to act on has a member of its own: `pointer` (the field of the body that is
wrong), `libxl` (rc and log lines), `script_stderr`, `possible` (what can be done instead), `hint`.
"""

from __future__ import annotations

import http
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from xend.api.asgi import BodyTooLarge, Receive, Scope, Send
from xend.api.rest.access import Unauthenticated
from xend.api.rest.hints import hint_of, possible_in
from xend.api.rest.refusals import (
    DisplayUnreachable,
    InvalidQuery,
    KeyInUse,
    KeyReused,
    MalformedBody,
    NotAcceptable,
    NotFound,
    PreconditionFailed,
    PreconditionRequired,
    UnsupportedMediaType,
)
from xend.api.rest.security_limits import TooManyFailures
from xend.api.rest.suggestions import meant, names_at
from xend.api.rest.tokens import TokenNotFound
from xend.config.problems import InvalidFile
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
    PoolError,
    ResourceError,
    UnsupportedFeature,
    XendError,
    XenStoreError,
    XenStoreUnavailable,
)

MEDIA_TYPE: Final = "application/problem+json"

STATUS: Final[Mapping[type[XendError], int]] = {
    MalformedBody: 400,
    Unauthenticated: 401,
    TooManyFailures: 429,
    TokenNotFound: 404,
    DisplayUnreachable: 502,
    PermissionDenied: 403,
    DomainNotFound: 404,
    NotFound: 404,
    NotAcceptable: 406,
    ConflictError: 409,
    DomainStateError: 409,
    KeyInUse: 409,
    OperationCancelled: 409,
    PoolError: 409,
    ResourceError: 409,
    EventsGone: 410,
    ReaderTooSlow: 410,
    PreconditionFailed: 412,
    BodyTooLarge: 413,
    UnsupportedMediaType: 415,
    ConfigError: 422,
    InvalidArgument: 422,
    InvalidQuery: 422,
    KeyReused: 422,
    PreconditionRequired: 428,
    UnsupportedFeature: 501,
    HypervisorError: 502,
    XenStoreError: 502,
    HypervisorUnavailable: 503,
    XenStoreUnavailable: 503,
    OperationTimeout: 504,
    OperationFailed: 500,
    XendError: 500,
}

_POINTERS: Final[Mapping[str, str]] = {
    "disk": "/disks",
    "vif": "/vifs",
    "vfb": "/vfbs",
    "pci": "/pcis",
    "cpus": "/affinity",
    "extra": "/cmdline",
    "builder": "/type",
}
"""Settings of old files whose field in JSON has another name."""


def status_of(error: XendError) -> int:
    """Of the nearest class in the table."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


_CALLED: Final[Mapping[tuple[str, str], str]] = {
    ("set-memory", "memory"): "/target",
    ("set-max-memory", "maxmem"): "/maximum",
    ("set-max-memory", "memory"): "/maximum",
    ("set-vcpus", "vcpus"): "/online",
    ("attach", "disk"): "/path",
    ("attach", "dev"): "/vdev",
    ("attach", "vif"): "/bridge",
    ("change-device", "disk"): "/path",
    ("change-device", "dev"): "/vdev",
    ("change-device", "vif"): "/bridge",
    ("change-medium", "disk"): "/path",
    ("rename", "name"): "/new",
}
"""(kind of operation, argument or setting) → the field of that request's body."""


@dataclass(frozen=True, slots=True)
class Of:
    """The operation that failed."""

    id: str
    kind: str


def problem(error: XendError, of: Of | None = None) -> dict[str, Any]:
    """The document of one error."""
    status = status_of(error)
    fields = error.fields
    document = {
        "type": f"urn:xend:error:{error.key}",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": str(error),
        "code": error.key,
        "fields": {key: _json(value) for key, value in fields.items()},
    }
    more = {
        "pointer": _pointer(error, of.kind if of else ""),
        "operation": f"/v1/operations/{of.id}" if of else None,
        "parameter": fields.get("argument") if isinstance(error, InvalidQuery) else None,
        "libxl": _libxl(error),
        "script_stderr": fields.get("stderr") or None,
        "possible": _json(fields.get("possible") or possible_in(error)) or None,
        "hint": hint_of(error),
        "errors": _mistakes(error),
    }
    return document | {key: value for key, value in more.items() if value is not None}


def _pointer(error: XendError, kind: str) -> str | None:
    """RFC 6901, of a configuration's or an argument's wrong field."""
    if isinstance(error, PermissionDenied):
        given = error.fields.get("pointer")
        return str(given) if given else None
    if isinstance(error, ConfigError):
        name = error.fields.get("field")
    elif isinstance(error, InvalidArgument):
        name = error.fields.get("argument")
    else:
        return None
    if not name:
        return None
    called = _CALLED.get((kind, str(name))) or _POINTERS.get(str(name))
    return called or pointer_to(str(name).split("."))


def _mistakes(error: XendError) -> list[dict[str, Any]] | None:
    """Each mistake of a file, when all of them were looked for."""
    if not isinstance(error, InvalidFile):
        return None
    return [
        {
            "in": "body",
            "line": each.line,
            "column": each.column,
            "field": each.field,
            "detail": each.message,
            "expected": each.expected,
        }
        for each in error.problems
    ]


def _libxl(error: XendError) -> dict[str, Any] | None:
    if not isinstance(error, HypervisorError):
        return None
    fields = error.fields
    return {
        "operation": fields.get("operation"),
        "rc": fields.get("rc"),
        "rc_name": fields.get("rc_name"),
        "log": _json(fields.get("log", ())),
    }


def respond(
    error: XendError, headers: Mapping[str, str] | None = None, of: Of | None = None
) -> JSONResponse:
    document = problem(error, of)
    if of is not None:
        headers = {"Operation-Location": document["operation"], **(headers or {})}
    if isinstance(error, Unauthenticated):
        headers = {"WWW-Authenticate": str(error.fields.get("scheme", "Bearer")), **(headers or {})}
    if isinstance(error, TooManyFailures):
        headers = {"Retry-After": str(error.fields["retry_after"]), **(headers or {})}
    return JSONResponse(document, document["status"], headers, MEDIA_TYPE)


async def refuse(error: XendError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers for the application, to an HTTP request or to a WebSocket that wants to open."""
    await answer(respond(error), scope, receive, send)


async def answer(response: JSONResponse, scope: Scope, receive: Receive, send: Send) -> None:
    """To an HTTP request, or to a WebSocket that wants to open."""
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(response)
        return
    await response(scope, receive, send)


def plain(
    status: int, detail: str, headers: Mapping[str, str] | None = None, hint: str | None = None
) -> JSONResponse:
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
    if hint:
        document["hint"] = hint
    return JSONResponse(document, status, headers, MEDIA_TYPE)


def invalid(errors: Sequence[Mapping[str, Any]], model: Any = None) -> JSONResponse:
    """422 with a JSON pointer for each wrong field of pydantic's list; `model` is the body's, for
    suggestions."""
    found = [_wrong(error, model) for error in errors]
    first = found[0] if found else {"in": "body", "pointer": "", "detail": "invalid"}
    place = first.get("parameter") or first.get("pointer") or "the request"
    document = {
        "type": "urn:xend:error:request.invalid",
        "title": http.HTTPStatus(422).phrase,
        "status": 422,
        "detail": f"{place}: {first['detail']}",
        "code": "request.invalid",
        **{name: first[name] for name in ("pointer", "parameter") if name in first},
        "errors": found,
    }
    return JSONResponse(document, 422, media_type=MEDIA_TYPE)


def _wrong(error: Mapping[str, Any], model: Any) -> dict[str, Any]:
    where, *path = error["loc"] or ["body"]
    detail = str(error["msg"]).removeprefix("Value error, ")
    found = {"in": str(where), "detail": detail, "code": error["type"]}
    if where == "body":
        found["pointer"] = pointer_to(path)
    else:
        found["parameter"] = ".".join(map(str, path))
    if error["type"] == "extra_forbidden" and path:
        name = str(path[-1])
        found["detail"] = f"there is no field '{name}'"
        suggestion = meant(name, names_at(model, path[:-1]))
        if suggestion:
            found["detail"] += f": did you mean '{suggestion}'?"
            found["suggestion"] = suggestion
    return found


def pointer_to(path: Sequence[str | int]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _json(value: Any) -> Any:
    """Fields may hold anything that is useful in a message."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(item) for item in value]
    return str(value)
