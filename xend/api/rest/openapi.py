"""The description of this interface (OpenAPI 3.1): FastAPI's, completed.

What FastAPI cannot know is added here: that every failure is a problem document, the header
Idempotency-Key of each POST, which role each operation needs, 304, and the models of bodies that
are read by content type.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from xend.api.rest.access import Role
from xend.api.rest.bodies import NewDomain
from xend.api.rest.problems import MEDIA_TYPE
from xend.api.rest.schemas import Problem
from xend.model.domain import DomainConfig

REF: Final = "#/components/schemas/{model}"
METHODS: Final = ("get", "put", "post", "patch", "delete")
OPEN: Final = ("/", "/v1", "/v1/healthz", "/v1/readyz", "/v1/openapi.json")
"""What needs no role."""

KEY: Final = r'^"?[!#-~]([ -~]*[!#-~])?"?$'
"""Of an Idempotency-Key: printable ASCII; quotes around it are not part of it."""

HEADERS: Final = {
    "ETag": "of what is answered; for If-None-Match, of a configuration also for If-Match",
    "Link": 'the next page, with `rel="next"`, if there is one',
    "Location": "of the operation (202), or of what was made (201)",
    "Operation-Location": "of the operation that has ended",
    "Preference-Applied": "what of Prefer was heeded",
    "Retry-After": "seconds, with 429",
}
DESCRIPTION: Final = """\
Domains of one Xen host.  Memory is in KiB, times are RFC 3339 in UTC, CPU time in nanoseconds.
Every change is an operation: without `Prefer: wait=N` the answer is 202 with its address.
Failures are problem documents (RFC 9457) whose `code` is stable.
"""
TAGS: Final = {
    "domains": "List, make, delete and restore domains.",
    "actions": "What can be asked of a domain.",
    "configuration": "What a domain is meant to be, in each dialect.",
    "devices": "Disks, network interfaces, frame buffers, PCI and USB devices.",
    "resources": "Memory, virtual CPUs, scheduling.",
    "observation": "Counters, logs, events of one domain.",
    "operations": "Every change, with progress.",
    "cpupools": "Which CPUs serve which domains.",
    "events": "Everything that happens.",
    "host": "The machine and the daemon.",
    "console": "Consoles and displays over WebSocket: a POST gives the ticket to open one.",
    "metrics": "For Prometheus.",
    "access": "Tokens, and who did what.",
}


def describe(app: FastAPI, routers: Sequence[APIRouter]) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=DESCRIPTION,
        routes=app.routes,
        openapi_version="3.1.0",
    )
    schemas = document["components"]["schemas"]
    for name, schema in _models().items():
        # Two models of one name would make one of them say what it is not.
        other = schemas.setdefault(name, schema)
        same = set(other.get("properties", ())) == set(schema.get("properties", ()))
        assert same, f"two schemas are called {name}"
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "a token; TCP only"},
        "certificate": {"type": "mutualTLS", "description": "a client certificate; TCP only"},
    }
    roles = dict(_roles(routers))
    for path, method, operation in operations(document):
        _complete(path, method, operation, roles.get((path, method)))
    used = {tag for _, _, operation in operations(document) for tag in operation.get("tags", ())}
    known = [{"name": name, "description": text} for name, text in TAGS.items() if name in used]
    more = [{"name": name} for name in sorted(used - set(TAGS))]
    document["tags"] = known + more
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(path, method, operation) of each."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _models() -> dict[str, Any]:
    models = [(Problem, "serialization"), (NewDomain, "validation"), (DomainConfig, "validation")]
    _, found = models_json_schema(models, ref_template=REF)  # type: ignore[arg-type]
    schemas: dict[str, Any] = found["$defs"]
    return schemas


def _roles(routers: Sequence[APIRouter]) -> Iterator[tuple[tuple[str, str], Role]]:
    for route in (route for router in routers for route in router.routes):
        if not isinstance(route, APIRoute):
            continue
        for dependency in route.dependant.dependencies:
            role = getattr(dependency.call, "role", None)
            if role is not None:
                for method in route.methods or ():
                    yield (route.path, method.lower()), role


def _complete(path: str, method: str, operation: dict[str, Any], role: Role | None) -> None:
    responses = operation["responses"]
    if _is_fastapis(responses.get("422", {})):
        del responses["422"]
    responses["default"] = {
        "description": "A problem",
        "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}},
    }
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == "prefer":  # May come several times (RFC 7240 §2), each a text.
            parameter["schema"] = {"type": "string", "title": "Prefer"}
    if method == "get" and path not in OPEN:
        responses.setdefault("304", {"description": "Nothing has changed (If-None-Match)"})
    for status, response in responses.items():
        headers = _headers(path, method, status, operation)
        if headers:
            response["headers"] = {
                name: {"description": HEADERS[name], "schema": {"type": "string"}}
                for name in headers
            }
    if method == "post":
        operation.setdefault("parameters", []).append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "a repeated request with the same key is done once; kept 24 hours",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": KEY},
                "example": "0f8b7c1e-6d55-4b43-a9f0-2f1b6c1d7e55",
            }
        )
    if role is not None:
        operation["x-role"] = role.word
        operation["security"] = [{}, {"bearer": []}, {"certificate": []}]
    _lists(operation)


def _headers(path: str, method: str, status: str, operation: dict[str, Any]) -> list[str]:
    """Names of those that an answer may have, beside what HTTP has anyway."""
    names = {parameter["name"] for parameter in operation.get("parameters", ())}
    waits = "wait" in names and "prefer" in names
    if status == "default":
        return ["Retry-After", *(["Operation-Location"] if waits else [])]
    if method == "get":
        tagged = path not in (*OPEN, "/v1/events", "/metrics") and "x-stream" not in operation
        return [*(["ETag"] if tagged else []), *(["Link"] if "cursor" in names else [])]
    if status == "202":
        return ["Location", "Preference-Applied"]
    more = ["Operation-Location", "Preference-Applied"] if waits else []
    return ["Location", *more] if status == "201" else more


def _is_fastapis(response: dict[str, Any]) -> bool:
    return "HTTPValidationError" in str(response)


def _lists(operation: dict[str, Any]) -> None:
    """A list can also be had as JSON lines."""
    content = operation["responses"].get("200", {}).get("content", {})
    names = {parameter["name"] for parameter in operation.get("parameters", ())}
    if "fields" in names and "application/json" in content:
        content["application/x-ndjson"] = {
            "schema": {"type": "string", "description": "one item per line"}
        }
