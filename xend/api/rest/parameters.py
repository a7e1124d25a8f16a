"""Parameters that several resources share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import Header, Path, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection

from xend.api.rest.lists import matches
from xend.api.rest.refusals import InvalidQuery, PreconditionFailed, PreconditionRequired
from xend.api.rest.suggestions import did_you_mean

Ref = Annotated[
    str,
    Path(
        description="name, uuid or domid",
        min_length=1,
        max_length=255,
        examples=["prospero"],
    ),
]
WEBSOCKET_PARAMETERS: Final = frozenset(("ticket", "since", "topics"))
"""Of all of them together."""
IfMatch = Annotated[
    str | None, Header(description="the ETag that the GET had, or * for whatever there is")
]


def required_match(request: Request, current: Callable[[], str]) -> None:
    """428 without If-Match, 412 with a stale one."""
    given = request.headers.get("if-match")
    if given is None:
        raise PreconditionRequired(header="If-Match")
    if not matches(given, current(), weak=False):
        raise PreconditionFailed(expected=given, etag=current())


async def known_parameters(connection: HTTPConnection) -> None:
    """InvalidQuery names a parameter that the address does not have, or that came twice: a
    `?fromce=true` must not be a DELETE without force."""
    given = connection.scope["query_string"]
    if not given:
        return
    seen: set[str] = set()
    known = _known_at(connection)
    for name, _value in parse_qsl(given.decode("latin-1"), keep_blank_values=True):
        if name not in known:
            raise InvalidQuery(
                f"There is no parameter '{name}' here{did_you_mean(name, known)}",
                argument=name[:80],
                value=name[:80],
                expected=", ".join(sorted(known)) or "none",
            )
        if name in seen:
            raise InvalidQuery(f"{name}: it is given twice", argument=name, value=name)
        seen.add(name)


def _known_at(connection: HTTPConnection) -> frozenset[str]:
    route = connection.scope.get("route")
    if not isinstance(route, APIRoute):
        return WEBSOCKET_PARAMETERS
    known: dict[tuple[str, str], frozenset[str]] = connection.app.state.known_parameters
    key = (route.path, connection.scope["method"])
    if key not in known:
        known[key] = frozenset(_query_of(route.dependant))
    return known[key]


def _query_of(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for each in dependant.dependencies:
        yield from _query_of(each)
